internal import CLinux
internal import Glibc

/// What the kernel, or a system call on the way to it, refused.
///
/// ```
/// RTM_NEWROUTE: Nexthop id does not exist (EINVAL, RTA_NH_ID)
/// RTM_NEWLINK: File exists (EEXIST)
/// ```
public struct NetlinkError: Error, Hashable, Sendable {
    /// The positive error number: `ENOENT`, `EPERM`, ….
    public var errno: Int32
    /// What was tried: the kernel's name of the message (`RTM_NEWROUTE`), or of the system call and its object.
    public var operation: String
    /// The kernel's own words (extended acknowledgement), where it had some.
    public var message: String?
    /// The attribute that the kernel objects to, from the outermost to the innermost:
    /// `IFLA_LINKINFO.IFLA_INFO_DATA.IFLA_GRE_LOCAL`. A missing attribute is named where it should have been.
    public var attribute: String?
    /// Whether ``attribute`` names something that should be in the message and is not.
    public var isMissing: Bool
    /// Where the attribute starts, in bytes from the start of the message.
    public var attributeOffset: Int?

    public init(
        errno: Int32, operation: String, message: String? = nil, attribute: String? = nil, isMissing: Bool = false,
        attributeOffset: Int? = nil
    ) {
        self.errno = errno
        self.operation = operation
        self.message = message
        self.attribute = attribute
        self.isMissing = isMissing
        self.attributeOffset = attributeOffset
    }

    /// The symbol of the error number: `ENOENT`.
    public var errnoName: String {
        guard let name = linux_errno_name(errno) else { return "errno \(errno)" }
        return String(cString: name)
    }

    /// libc's sentence for the error number: "No such file or directory".
    public var errnoDescription: String {
        guard let text = linux_errno_description(errno) else { return "Unknown error" }
        return String(cString: text)
    }

    /// The current thread's `errno`, of a system call that has just failed.
    static func system(_ operation: String) -> NetlinkError {
        NetlinkError(errno: Glibc.errno, operation: operation)
    }

    /// Bytes from the kernel that could not be understood (`EBADMSG`), or a message that could not be encoded.
    init(_ error: CodecError, operation: String) {
        if case .attributeTooLong = error {
            self.init(errno: EMSGSIZE, operation: operation, message: error.description)
        } else {
            self.init(errno: EBADMSG, operation: operation, message: error.description)
        }
    }
}

extension NetlinkError: CustomStringConvertible {
    public var description: String {
        var detail = errnoName
        if let attribute { detail += isMissing ? ", \(attribute) is missing" : ", \(attribute)" }
        return "\(operation): \(message ?? errnoDescription) (\(detail))"
    }
}
