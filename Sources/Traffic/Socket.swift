package import CTraffic
package import Glibc
package import IPAddressing
package import Netlink

/// A socket that closes with its last reference.
package final class Socket: Sendable {
    package let descriptor: Int32

    /// A new, non-blocking socket in the namespace of the calling thread.
    package init(_ domain: Int32, _ type: __socket_type, _ proto: Int32 = 0) throws(NetlinkError) {
        let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        descriptor = socket(domain, Int32(type.rawValue) | flags, proto)
        guard descriptor >= 0 else { throw .system("open a socket") }
    }

    /// Takes over a descriptor; it will not block, nor be left to child processes.
    package init(owning descriptor: Int32) {
        self.descriptor = descriptor
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }

    deinit { close(descriptor) }

    package func set(_ level: Int32, _ option: Int32, _ value: Int32) throws(NetlinkError) {
        var value = value
        guard setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
            throw .system("set socket option \(option)")
        }
    }

    package func option(_ level: Int32, _ option: Int32) -> Int32? {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, level, option, &value, &length) == 0 ? value : nil
    }

    package func bind(_ address: SocketAddress) throws(NetlinkError) {
        let result = address.withPointer { Glibc.bind(descriptor, $0, $1) }
        guard result == 0 else { throw .system("bind to \(address)") }
    }

    /// A socket that takes the datagrams to an address, in the namespace of the calling thread.
    package convenience init(datagramsTo address: SocketAddress) throws(NetlinkError) {
        try self.init(AF_INET, SOCK_DGRAM)
        try bind(address)
    }

    /// Takes packets of a protocol (`ETH_P_*`) from all devices of its namespace; of a packet socket.
    package func bindToPackets(_ protocolNumber: UInt16) throws(NetlinkError) {
        var address = sockaddr_ll()
        address.sll_family = UInt16(AF_PACKET)
        address.sll_protocol = protocolNumber.bigEndian
        let result = address.withPointer { Glibc.bind(descriptor, $0, $1) }
        guard result == 0 else { throw .system("bind to packets") }
    }

    /// Whether the connection stands already; else it is on its way (wait for POLLOUT, then see `pendingError`).
    package func connect(_ address: SocketAddress) -> Result<Bool, NetlinkError> {
        let result = address.withPointer { Glibc.connect(descriptor, $0, $1) }
        if result == 0 { return .success(true) }
        return errno == EINPROGRESS ? .success(false) : .failure(.system("connect to \(address)"))
    }

    /// SO_ERROR, which is 0 after success.
    package var pendingError: Int32 { option(SOL_SOCKET, SO_ERROR) ?? EBADF }

    package var localAddress: SocketAddress? {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        return result == 0 ? SocketAddress(address) : nil
    }

    /// 0, or the error number.
    package func send(_ bytes: [UInt8], to address: SocketAddress) -> Int32 {
        let count = address.withPointer { sendto(descriptor, bytes, bytes.count, 0, $0, $1) }
        return count == bytes.count ? 0 : errno
    }

    /// A datagram and who sent it; nil when nothing is queued.
    package func receive(atMost size: Int = 2048) -> (bytes: [UInt8], from: SocketAddress)? {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        var bytes = [UInt8](repeating: 0, count: size)
        while true {
            let count = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(descriptor, &bytes, size, 0, $0, &length)
                }
            }
            if count >= 0 { return (Array(bytes[..<count]), SocketAddress(address)) }
            // Errors that came by ICMP are reported once each; the socket goes on.
            if errno == EAGAIN || errno == EBADF { return nil }
        }
    }
}

extension sockaddr_ll {
    /// As calls take an address, whatever its kind.
    package func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: self) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_ll>.size))
            }
        }
    }
}

/// An IPv4 address and a port.
package struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    package var address: IPAddress
    package var port: UInt16

    package init(_ address: IPAddress, _ port: UInt16) {
        self.address = address
        self.port = port
    }

    package init(_ address: sockaddr_in) {
        self.init(IPAddress(v4: UInt32(bigEndian: address.sin_addr.s_addr)), UInt16(bigEndian: address.sin_port))
    }

    package var rawValue: sockaddr_in {
        var raw = sockaddr_in()
        raw.sin_family = sa_family_t(AF_INET)
        raw.sin_port = port.bigEndian
        raw.sin_addr.s_addr = address.v4.bigEndian
        return raw
    }

    package func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: rawValue) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    package var description: String { "\(address):\(port)" }
}

/// What is waited for.
package struct PollSet {
    package init() {}

    package private(set) var entries: [pollfd] = []

    package mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

    /// - Returns: Where to find the answer.
    @discardableResult
    package mutating func add(_ descriptor: Int32, _ events: Int32) -> Int {
        entries.append(pollfd(fd: descriptor, events: Int16(truncatingIfNeeded: events), revents: 0))
        return entries.count - 1
    }

    /// Waits until something is ready or the time is over.
    package mutating func wait(until deadline: ContinuousClock.Instant?) {
        var milliseconds: Int32 = -1
        if let deadline {
            let left = ContinuousClock.now.duration(to: deadline)
            milliseconds = left <= .zero ? 0 : Int32(min(left.milliseconds + 1, 60_000))
        }
        // EINTR: the caller's loop looks at the time and comes back.
        if poll(&entries, nfds_t(entries.count), milliseconds) < 0 {
            for index in entries.indices { entries[index].revents = 0 }
        }
    }

    package func isReady(_ index: Int) -> Bool { entries[index].revents != 0 }
}

extension Duration {
    /// Rounded down.
    package var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
