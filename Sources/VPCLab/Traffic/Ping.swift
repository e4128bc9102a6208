import CTraffic
import Glibc
public import IPAddressing
import Netlink
public import Traffic

/// How to ping.
public struct PingOptions: Sendable, Hashable {
    /// Nil: the kernel's own.
    public var ttl: Int32?
    /// Bytes behind the ICMP header.
    public var size = 56
    /// What the kernel does with the DF bit (IP_MTU_DISCOVER).
    public var fragmentation = Fragmentation.allowed
    /// For each attempt.
    public var timeout = Duration.seconds(1)
    public var attempts = 3

    public enum Fragmentation: Sendable, Hashable {
        case allowed
        /// The DF bit is set, and packets bigger than the path's known MTU are not sent.
        case forbidden
    }

    public init() {}

    public init(
        ttl: Int32? = nil, size: Int = 56, fragmentation: Fragmentation = .allowed, timeout: Duration = .seconds(1),
        attempts: Int = 3
    ) {
        self.ttl = ttl
        self.size = size
        self.fragmentation = fragmentation
        self.timeout = timeout
        self.attempts = attempts
    }
}

/// What came of a ping.
public enum PingOutcome: Sendable, Hashable {
    case reply(after: Duration)
    case error(ICMPError)
    /// The kernel here did not send it; the error number.
    case notSent(Int32)
    case silence

    public var isReply: Bool {
        if case .reply = self { true } else { false }
    }
    public var error: ICMPError? {
        if case .error(let error) = self { error } else { nil }
    }
}

extension Station {
    /// Sends ICMP echo requests until something comes back.
    public func ping(_ destination: IPAddress, _ options: PingOptions = PingOptions()) throws -> PingOutcome {
        let socket = try namespace.run {
            let socket = try Socket(AF_INET, SOCK_RAW, Int32(IPPROTO_ICMP))
            if let source { try socket.bind(SocketAddress(source, 0)) }
            if let ttl = options.ttl { try socket.set(Int32(IPPROTO_IP), IP_TTL, ttl) }
            let mode = options.fragmentation == .forbidden ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT
            try socket.set(Int32(IPPROTO_IP), IP_MTU_DISCOVER, mode)
            return socket
        }
        let identifier = UInt16.random(in: 1...UInt16.max)
        let start = ContinuousClock.now
        var polls = PollSet()
        for attempt in 1...options.attempts {
            let request = EchoRequest(identifier: identifier, sequence: UInt16(attempt), size: options.size)
            let failure = socket.send(request.bytes, to: SocketAddress(destination, 0))
            if failure != 0 { return .notSent(failure) }
            let deadline = start + options.timeout * attempt
            while ContinuousClock.now < deadline {
                polls.removeAll()
                polls.add(socket.descriptor, POLLIN)
                polls.wait(until: deadline)
                while let (bytes, _) = socket.receive(atMost: 65536) {
                    guard let packet = IPv4Packet(bytes[...]) else { continue }
                    if let reply = EchoReply(packet), reply.identifier == identifier {
                        return .reply(after: start.duration(to: .now))
                    }
                    if let error = packet.icmpError, let flow = error.about, flow.sender == identifier,
                        Int32(flow.protocolNumber) == Int32(IPPROTO_ICMP), flow.destination == destination
                    {
                        return .error(error)
                    }
                }
            }
        }
        return .silence
    }
}
