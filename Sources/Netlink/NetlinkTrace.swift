internal import CLinux
internal import CMNL

/// Every message of a socket on standard error, as libmnl prints them: to see what is said to the kernel and what it
/// answers.
///
/// ```swift
/// try NetlinkTrace.$isOn.withValue(true) { try KernelDriver().observe(request) }
/// ```
public enum NetlinkTrace {
    /// Whether sockets that are opened in this task are traced, for as long as they are open.
    @TaskLocal public static var isOn = false

    enum Direction: String {
        case toKernel = "to the kernel"
        case fromKernel = "from the kernel"
    }

    /// Prints the messages that `bytes` hold, each with its direction and name.
    static func print(_ direction: Direction, _ bytes: UnsafeRawBufferPointer, _ family: NetlinkProtocol) {
        guard var message = bytes.baseAddress?.assumingMemoryBound(to: nlmsghdr.self) else { return }
        var left = Int32(clamping: bytes.count)
        while mnl_nlmsg_ok(message, left) {
            let type = MessageType(rawValue: message.pointee.nlmsg_type)
            let headerLength = family.names(type)?.headerLength ?? 0
            let title = "\(direction.rawValue): \(family.name(of: type))"
            mnl_print_message(title, message, Int(message.pointee.nlmsg_len), headerLength)
            guard let next = mnl_nlmsg_next(message, &left) else { return }
            message = UnsafePointer(next)
        }
    }
}
