public import CLinux

/// The `nlmsg_type` of a message: what is asked, or what is told.
///
/// Numbers come from the kernel headers: `MessageType(RTM_NEWROUTE)`. nfnetlink packs a subsystem into the high byte,
/// see ``netfilter(subsystem:message:)``.
public struct MessageType: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt16

    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    @inlinable public init(_ value: some BinaryInteger) { rawValue = UInt16(truncatingIfNeeded: value) }

    /// The type of a message of an nfnetlink subsystem, such as `NFNL_SUBSYS_NFTABLES`.
    @inlinable public static func netfilter(subsystem: some BinaryInteger, message: some BinaryInteger) -> Self {
        Self(UInt16(truncatingIfNeeded: subsystem) << 8 | UInt16(truncatingIfNeeded: message))
    }

    static let error = Self(NLMSG_ERROR)
    static let done = Self(NLMSG_DONE)
    static let noop = Self(NLMSG_NOOP)
}

/// The `nlmsg_flags` of a message.
public struct MessageFlags: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt16

    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    init(_ value: Int32) { rawValue = UInt16(truncatingIfNeeded: value) }

    /// A request to the kernel; the writer always sets it.
    public static let request = Self(NLM_F_REQUEST)
    /// More messages of this reply follow.
    public static let multipart = Self(NLM_F_MULTI)
    /// Answer even when all went well.
    public static let acknowledge = Self(NLM_F_ACK)
    /// Send the notification of this change to the requester as well.
    public static let echo = Self(NLM_F_ECHO)
    /// What is listed changed while it was being listed: the list may lack or repeat entries.
    public static let dumpInterrupted = Self(NLM_F_DUMP_INTR)
    /// The kernel applied the filter that the dump request named.
    public static let dumpFiltered = Self(NLM_F_DUMP_FILTERED)

    /// List all objects (of GET requests).
    public static let dump = Self(NLM_F_ROOT | NLM_F_MATCH)

    /// Replace the object if it is there (of NEW requests).
    public static let replace = Self(NLM_F_REPLACE)
    /// Fail with `EEXIST` if the object is there (of NEW requests).
    public static let exclusive = Self(NLM_F_EXCL)
    /// Make the object if it is not there (of NEW requests).
    public static let create = Self(NLM_F_CREATE)
    /// Add behind the objects of the same key (of NEW requests).
    public static let append = Self(NLM_F_APPEND)

    /// In a reply: the request was cut down to its header.
    static let capped = Self(NLM_F_CAPPED)
    /// In a reply: attributes follow that say more (extended acknowledgement).
    static let extendedAcknowledgement = Self(NLM_F_ACK_TLVS)
}

/// Sizes and the alignment of the wire format (linux/netlink.h).
@usableFromInline enum Wire {
    @inlinable static var messageHeader: Int { MemoryLayout<nlmsghdr>.size }
    @inlinable static var attributeHeader: Int { MemoryLayout<nlattr>.size }
    /// An attribute's length is 16 bits and includes its own header.
    @inlinable static var attributeLimit: Int { Int(UInt16.max) }
    /// The two high bits of an attribute's type are flags: nested, network byte order.
    @inlinable static var nested: UInt16 { UInt16(truncatingIfNeeded: NLA_F_NESTED) }
    @inlinable static var typeMask: UInt16 { UInt16(truncatingIfNeeded: ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER)) }

    /// Messages and attributes start at multiples of 4 (`NLMSG_ALIGNTO`, `NLA_ALIGNTO`).
    @inlinable @inline(__always)
    static func aligned(_ length: Int) -> Int { (length &+ 3) & ~3 }
}

/// Bytes that are not what the wire format, or the kernel's documentation of an attribute, promises.
public enum CodecError: Error, Hashable, Sendable {
    /// Fewer bytes are left than a message header has.
    case truncatedMessageHeader(available: Int)
    /// A message says that it is shorter than its own header, or longer than what was received.
    case messageLength(UInt32, available: Int)
    /// A message has no room for the fixed structure that its type starts with.
    case truncatedPayload(type: UInt16, length: Int, expected: Int)
    /// Fewer bytes are left than an attribute header has.
    case truncatedAttributeHeader(available: Int)
    /// An attribute says that it is shorter than its own header, or longer than what contains it.
    case attributeLength(UInt16, type: UInt16, available: Int)
    /// An attribute is too short for the value it should hold.
    case attributeValue(type: UInt16, length: Int, expected: Int)
    /// More bytes were to be written into an attribute than its 16-bit length can say.
    case attributeTooLong(type: UInt16, length: Int)
}

extension CodecError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .truncatedMessageHeader(let available):
            "\(available) bytes left where a message header needs \(Wire.messageHeader)"
        case .messageLength(let length, let available):
            "a message claims \(length) bytes of \(available)"
        case .truncatedPayload(let type, let length, let expected):
            "a message of type \(type) carries \(length) bytes, expected at least \(expected)"
        case .truncatedAttributeHeader(let available):
            "\(available) bytes left where an attribute header needs \(Wire.attributeHeader)"
        case .attributeLength(let length, let type, let available):
            "attribute \(type) claims \(length) bytes of \(available)"
        case .attributeValue(let type, let length, let expected):
            "attribute \(type) carries \(length) bytes, expected at least \(expected)"
        case .attributeTooLong(let type, let length):
            "attribute \(type) would carry \(length) bytes, more than its 16-bit length can say"
        }
    }
}
