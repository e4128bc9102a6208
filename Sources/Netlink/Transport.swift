internal import CLinux
internal import CMNL
internal import Glibc

/// A bound netlink socket of libmnl with its receive buffer: bytes in, bytes out, no meaning.
struct Transport: ~Copyable, @unchecked Sendable {
    // Sendable although it holds a pointer: it is the only owner of that memory, and it cannot be copied.

    /// What one attempt to receive came to.
    enum Reception {
        case datagram(byteCount: Int)
        /// Nothing is queued.
        case empty
        /// The queue was full and the kernel threw messages away (`ENOBUFS`). How many is unknown; it says so once for
        /// any number of them.
        case overrun
        /// Someone other than the kernel sent this, or nothing but a header came: not for us.
        case foreign
    }

    private let socket: OpaquePointer
    private let buffer: UnsafeMutableRawBufferPointer
    /// Whose messages are printed; nil where none are.
    private let tracedFamily: NetlinkProtocol?

    /// The kernel fills at most 32 KiB of a dump into one datagram; replies and notifications are smaller.
    static let bufferSize = 64 << 10

    init(
        _ family: NetlinkProtocol, receiveBuffer: Int, sendBuffer: Int, groups: [MulticastGroup] = []
    ) throws(NetlinkError) {
        guard let socket = mnl_socket_open2(family.rawValue, Int32(SOCK_CLOEXEC.rawValue)) else {
            throw .system("socket(AF_NETLINK, \(family.rawValue))")
        }
        do throws(NetlinkError) {
            try Self.set(socket, NETLINK_EXT_ACK, 1, "NETLINK_EXT_ACK")
            try Self.set(socket, NETLINK_CAP_ACK, 1, "NETLINK_CAP_ACK")
            if family.strictChecking { try Self.set(socket, NETLINK_GET_STRICT_CHK, 1, "NETLINK_GET_STRICT_CHK") }
            try Self.setSize(socket, SO_RCVBUFFORCE, SO_RCVBUF, receiveBuffer, "SO_RCVBUF")
            try Self.setSize(socket, SO_SNDBUFFORCE, SO_SNDBUF, sendBuffer, "SO_SNDBUF")
            guard mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0 else { throw .system("bind netlink socket") }
            for group in groups {
                try Self.set(
                    socket, NETLINK_ADD_MEMBERSHIP, Int32(bitPattern: group.rawValue),
                    "join netlink group \(group.rawValue)")
            }
        } catch {
            mnl_socket_close(socket)
            throw error
        }
        self.socket = socket
        buffer = .allocate(byteCount: Self.bufferSize, alignment: 16)
        tracedFamily = NetlinkTrace.isOn ? family : nil
    }

    deinit {
        mnl_socket_close(socket)
        buffer.deallocate()
    }

    var descriptor: Int32 { mnl_socket_get_fd(socket) }

    /// The address the kernel gave to this socket. Not the process id: a process may have many sockets.
    var portID: UInt32 { mnl_socket_get_portid(socket) }

    private static func set(
        _ socket: OpaquePointer, _ option: Int32, _ value: Int32, _ name: String
    ) throws(NetlinkError) {
        var value = value
        guard mnl_socket_setsockopt(socket, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
            throw .system(name)
        }
    }

    /// Sets a buffer's size beyond the system's limit where we may, and as near to it as allowed where we may not.
    private static func setSize(
        _ socket: OpaquePointer, _ forced: Int32, _ option: Int32, _ size: Int, _ name: String
    ) throws(NetlinkError) {
        var value = Int32(clamping: size)
        let length = socklen_t(MemoryLayout<Int32>.size)
        let descriptor = mnl_socket_get_fd(socket)
        if setsockopt(descriptor, SOL_SOCKET, forced, &value, length) == 0 { return }
        guard setsockopt(descriptor, SOL_SOCKET, option, &value, length) == 0 else { throw .system(name) }
    }

    /// Sends `bytes` to the kernel, which has worked through all of them when this returns.
    func send(_ bytes: RawSpan, operation: () -> String) throws(NetlinkError) {
        let count = bytes.byteCount
        let sent = bytes.withUnsafeBytes { bytes -> Int in
            if let tracedFamily { NetlinkTrace.print(.toKernel, bytes, tracedFamily) }
            while true {
                let sent = mnl_socket_sendto(socket, bytes.baseAddress, bytes.count)
                if sent >= 0 || errno != EINTR { return sent }
            }
        }
        guard sent >= 0 else { throw .system("send \(operation())") }
        guard sent == count else { throw NetlinkError(errno: EMSGSIZE, operation: "send \(operation())") }
    }

    /// Takes the next datagram from the queue; does not wait.
    ///
    /// Not `mnl_socket_recvfrom`: it waits, and does not say who the sender is.
    mutating func receive() throws(NetlinkError) -> Reception {
        var sender = sockaddr_nl()
        var part = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
        var result = 0
        var flags: Int32 = 0
        withUnsafeMutablePointer(to: &sender) { sender in
            withUnsafeMutablePointer(to: &part) { part in
                var header = msghdr()
                header.msg_name = UnsafeMutableRawPointer(sender)
                header.msg_namelen = socklen_t(MemoryLayout<sockaddr_nl>.size)
                header.msg_iov = part
                header.msg_iovlen = 1
                repeat {
                    result = recvmsg(descriptor, &header, Int32(MSG_DONTWAIT))
                } while result < 0 && errno == EINTR
                flags = header.msg_flags
            }
        }
        if result < 0 {
            switch errno {
            case EAGAIN: return .empty
            case ENOBUFS: return .overrun
            default: throw .system("receive from netlink socket")
            }
        }
        guard flags & Int32(MSG_TRUNC) == 0 else {
            throw NetlinkError(
                errno: EMSGSIZE, operation: "receive from netlink socket",
                message: "a datagram is larger than \(buffer.count) bytes")
        }
        // Any process may send to our port; only the kernel is believed.
        guard sender.nl_pid == 0, result > 0 else { return .foreign }
        if let tracedFamily {
            NetlinkTrace.print(.fromKernel, UnsafeRawBufferPointer(rebasing: buffer[..<result]), tracedFamily)
        }
        return .datagram(byteCount: result)
    }

    /// The datagram received last.
    @_lifetime(borrow self)
    func datagram(_ byteCount: Int) -> RawSpan {
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<byteCount])
        return _overrideLifetime(RawSpan(_unsafeBytes: bytes), borrowing: self)
    }

    /// Waits until something can be received.
    ///
    /// - Parameter timeout: Nil waits for ever.
    /// - Returns: False when the time is over.
    func wait(_ timeout: Duration?) throws(NetlinkError) -> Bool {
        let clock = ContinuousClock()
        let deadline = timeout.map { clock.now + $0 }
        while true {
            var milliseconds: Int32 = -1
            if let deadline {
                let left = max(.zero, clock.now.duration(to: deadline))
                let (seconds, attoseconds) = left.components
                // Rounded up, so as not to spin through the last millisecond.
                milliseconds = Int32(
                    clamping: min(seconds, 1_000_000) * 1000 + (attoseconds + 999_999_999_999_999)
                        / 1_000_000_000_000_000)
            }
            var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = poll(&request, 1, milliseconds)
            if ready > 0 { return true }
            if ready == 0 { return false }
            guard errno == EINTR else { throw .system("poll netlink socket") }
        }
    }
}
