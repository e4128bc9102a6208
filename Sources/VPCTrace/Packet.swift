public import IPAddressing
public import VPCModel

/// One packet as the policies see it: addresses, protocol, and what tells flows of one protocol apart.
public struct Packet: Hashable, Sendable, CustomStringConvertible {
    public var source: IPAddress
    public var destination: IPAddress
    public var content: Content

    public enum Content: Hashable, Sendable {
        case icmp(type: UInt8, code: UInt8)
        case tcp(sourcePort: UInt16, destinationPort: UInt16)
        case udp(sourcePort: UInt16, destinationPort: UInt16)
        case sctp(sourcePort: UInt16, destinationPort: UInt16)

        /// Of what has some.
        public var ports: (source: UInt16, destination: UInt16)? {
            switch self {
            case .icmp: nil
            case .tcp(let source, let destination), .udp(let source, let destination),
                .sctp(let source, let destination):
                (source, destination)
            }
        }
    }

    public static let echoRequest = Content.icmp(type: 8, code: 0)
    public static let echoReply = Content.icmp(type: 0, code: 0)
    /// The first of the ports that IANA leaves to clients (RFC 6335).
    public static let ephemeralPort: UInt16 = 49152

    public init(from source: IPAddress, to destination: IPAddress, _ content: Content) {
        self.source = source
        self.destination = destination
        self.content = content
    }

    public var ipProtocol: IPProtocol {
        switch content {
        case .icmp: .icmp
        case .tcp: .tcp
        case .udp: .udp
        case .sctp: .sctp
        }
    }

    /// Requests and what answers them: echo, timestamp, information, address mask (RFC 792, RFC 950). Connection tracking
    /// lets nothing else of ICMP begin a connection (`nf_conntrack_proto_icmp.c`).
    static let icmpAnswers: [UInt8: UInt8] = [8: 0, 13: 14, 15: 16, 17: 18]

    /// What the destination sends back.
    public var answer: Packet {
        let content: Content =
            switch content {
            case .icmp(let type, let code): .icmp(type: Self.icmpAnswers[type] ?? type, code: code)
            case .tcp(let source, let destination): .tcp(sourcePort: destination, destinationPort: source)
            case .udp(let source, let destination): .udp(sourcePort: destination, destinationPort: source)
            case .sctp(let source, let destination): .sctp(sourcePort: destination, destinationPort: source)
            }
        return Packet(from: destination, to: source, content)
    }

    /// `tcp 443`, `icmp echo request`: what a rule's traffic is compared with.
    public var traffic: String {
        switch content {
        case .icmp(8, 0): "icmp echo-request"
        case .icmp(0, 0): "icmp echo-reply"
        case .icmp(let type, let code): "icmp type \(type) code \(code)"
        case .tcp(_, let port): "tcp \(port)"
        case .udp(_, let port): "udp \(port)"
        case .sctp(_, let port): "sctp \(port)"
        }
    }

    /// `10.0.1.10 → 10.0.2.20, tcp 443 (from port 49152)`.
    public var description: String {
        let ports = content.ports.map { " (from port \($0.source))" } ?? ""
        return "\(source) → \(destination), \(traffic)\(ports)"
    }
}

extension TrafficMatch {
    /// Whether a rule is about this packet.
    func matches(_ packet: Packet) -> Bool {
        guard let ipProtocol else { return true }
        guard ipProtocol == packet.ipProtocol else { return false }
        switch packet.content {
        case .icmp(let type, let code):
            guard let icmpType else { return true }
            return icmpType == type && (icmpCode ?? code) == code
        case .tcp(_, let port), .udp(_, let port), .sctp(_, let port):
            return ports.isEmpty || ports.contains { $0.contains(port) }
        }
    }

    /// `tcp 80, 8000-8999`, `icmp type 8`, `all`: as in manifests.
    var text: String {
        guard let ipProtocol else { return "all" }
        if let icmpType { return "\(ipProtocol) type \(icmpType)" + (icmpCode.map { " code \($0)" } ?? "") }
        if ports.isEmpty { return "\(ipProtocol)" }
        let list = ports.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
        return "\(ipProtocol) " + list.joined(separator: ", ")
    }
}
