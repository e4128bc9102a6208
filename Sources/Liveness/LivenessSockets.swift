internal import CTraffic
internal import Glibc
internal import IPAddressing
internal import Netlink
internal import Traffic

/// Where packets of a session come and go: a device of a namespace, or any where it is several hops.
struct BFDSocket: Sendable {
    private let receiving: Socket
    private let sending: Socket
    private let destination: SocketAddress
    private let isSingleHop: Bool

    /// RFC 5881, section 4, and RFC 5883, section 5.
    static let singleHopPort: UInt16 = 3784
    static let multihopPort: UInt16 = 4784

    var descriptor: Int32 { receiving.descriptor }

    /// In the namespace of the calling thread.
    /// - Parameter device: Nil: several hops.
    init(from source: IPAddress, to destination: IPAddress, by device: String?) throws(NetlinkError) {
        let port = device == nil ? Self.multihopPort : Self.singleHopPort
        isSingleHop = device != nil
        self.destination = SocketAddress(destination, port)
        receiving = try Socket(AF_INET, SOCK_DGRAM)
        sending = try Socket(AF_INET, SOCK_DGRAM)
        for socket in [receiving, sending] {
            if let device { try socket.bind(toDevice: device) }
            // A guest may send as much as it likes: a few packets are enough, and what is too much is not kept.
            try socket.set(SOL_SOCKET, SO_RCVBUF, 16384)
            try socket.set(Int32(IPPROTO_IP), IP_TTL, 255)
            // Network control (RFC 4594).
            try socket.set(Int32(IPPROTO_IP), IP_TOS, 0xC0)
        }
        try receiving.set(Int32(IPPROTO_IP), IP_RECVTTL, 1)
        try receiving.bind(SocketAddress(source, port))
        try bindSender(to: source)
    }

    /// To one of the ports that the source of a session has to be of (RFC 5881, section 4).
    private func bindSender(to source: IPAddress) throws(NetlinkError) {
        for attempt in 1... {
            do throws(NetlinkError) {
                return try sending.bind(SocketAddress(source, .random(in: 49152...65535)))
            } catch {
                if error.errno != EADDRINUSE || attempt == 100 { throw error }
            }
        }
    }

    /// - Returns: 0, or the error number.
    func send(_ packet: BFDPacket) -> Int32 { sending.send(packet.bytes, to: destination) }

    /// What has come from the other end, nothing else; nil when nothing is queued. With TTL 255 it comes from the link
    /// itself, because every router takes one away (RFC 5082).
    func receive() -> Result<BFDPacket, BFDPacket.Flaw>? {
        var bytes = [UInt8](repeating: 0, count: 256)
        var (source, ttl) = (sockaddr_in(), Int32(-1))
        while true {
            let count = receive_with_ttl(receiving.descriptor, &bytes, bytes.count, &source, &ttl)
            if count < 0 {
                if errno == EAGAIN || errno == EBADF { return nil }
                continue
            }
            guard SocketAddress(source).address == destination.address, !isSingleHop || ttl == 255 else { continue }
            do throws(BFDPacket.Flaw) { return .success(try BFDPacket(bytes[..<count])) } catch {
                return .failure(error)
            }
        }
    }
}

/// Echo requests, and the answers to them.
struct EchoSocket: Sendable {
    private let socket: Socket

    var descriptor: Int32 { socket.descriptor }

    /// In the namespace of the calling thread.
    /// - Parameter device: Nil: whichever a route leads to.
    init(from source: IPAddress, by device: String?) throws(NetlinkError) {
        socket = try Socket(AF_INET, SOCK_RAW, Int32(IPPROTO_ICMP))
        // ICMP_FILTER (linux/icmp.h) takes a bit for each type that is not wanted: all but echo replies.
        try socket.set(SOL_RAW, ICMP_FILTER, ~1)
        if let device { try socket.bind(toDevice: device) }
        try socket.set(SOL_SOCKET, SO_RCVBUF, 16384)
        try socket.bind(SocketAddress(source, 0))
    }

    /// - Returns: 0, or the error number.
    func request(_ sequence: UInt16, _ identifier: UInt16, of destination: IPAddress) -> Int32 {
        let request = EchoRequest(identifier: identifier, sequence: sequence, size: 16)
        return socket.send(request.bytes, to: SocketAddress(destination, 0))
    }

    /// An answer and who gave it; nil when nothing is queued.
    func receive() -> (reply: EchoReply, from: IPAddress)? {
        while let (bytes, from) = socket.receive(atMost: 256) {
            if let packet = IPv4Packet(bytes[...]), let reply = EchoReply(packet) { return (reply, from.address) }
        }
        return nil
    }
}

/// Where messages about facts come and go.
struct FactSocket: Sendable {
    private let socket: Socket
    private let address: IPAddress
    private let seal: FactSeal?

    var descriptor: Int32 { socket.descriptor }

    init(at address: IPAddress, _ seal: FactSeal?) throws(NetlinkError) {
        (self.address, self.seal) = (address, seal)
        socket = try Socket(AF_INET, SOCK_DGRAM)
        try socket.set(Int32(IPPROTO_IP), IP_TTL, 255)
        try socket.set(Int32(IPPROTO_IP), IP_TOS, 0xC0)
        try socket.set(Int32(IPPROTO_IP), IP_RECVTTL, 1)
        try socket.set(SOL_SOCKET, SO_RCVBUF, 1 << 20)
        try socket.bind(SocketAddress(address, LivenessService.port))
    }

    func send(_ message: FactMessage, to destination: IPAddress) {
        let bytes = message.bytes
        // What is lost on the way is sent again, and so is what does not leave.
        _ = socket.send(
            seal?.sealed(bytes, from: address, to: destination) ?? bytes,
            to: SocketAddress(destination, LivenessService.port))
    }

    enum Arrival {
        case message(FactMessage, from: IPAddress)
        /// And why: one phrase.
        case refused(String, from: IPAddress)
    }

    /// Nil when nothing is queued. Without a key only the link itself is believed: TTL 255 (RFC 5082).
    func receive() -> Arrival? {
        var bytes = [UInt8](repeating: 0, count: 2048)
        var (source, ttl) = (sockaddr_in(), Int32(-1))
        while true {
            let count = receive_with_ttl(socket.descriptor, &bytes, bytes.count, &source, &ttl)
            if count < 0 {
                if errno == EAGAIN || errno == EBADF { return nil }
                continue
            }
            let from = SocketAddress(source)
            do throws(FactMessage.Flaw) {
                return .message(try message(in: Array(bytes[..<count]), from, ttl: ttl), from: from.address)
            } catch {
                return .refused(error.description, from: from.address)
            }
        }
    }

    private func message(
        in datagram: [UInt8], _ from: SocketAddress, ttl: Int32
    ) throws(FactMessage.Flaw) -> FactMessage {
        guard from.port == LivenessService.port else { throw FactMessage.Flaw("they come from port \(from.port)") }
        guard let seal else {
            guard ttl == 255 else {
                throw FactMessage.Flaw("they have passed a router (TTL \(ttl)): a routed underlay needs exchangeKey")
            }
            return try FactMessage(datagram)
        }
        guard let content = seal.opened(datagram, from: from.address, to: address) else {
            throw FactMessage.Flaw("they are not of exchangeKey: has that host the same one?")
        }
        return try FactMessage(content)
    }
}

extension Socket {
    func bind(toDevice name: String) throws(NetlinkError) {
        let result = name.withCString {
            setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, $0, socklen_t(strlen($0) + 1))
        }
        guard result == 0 else { throw NetlinkError(errno: errno, operation: "bind to device \(name)") }
    }
}
