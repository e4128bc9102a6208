/// Protocol and ports, or ICMP type and code.
public struct TrafficMatch: Hashable, Sendable {
    /// The IP protocol number; nil: all.
    public var ipProtocol: IPProtocol?
    /// Destination ports, of protocols that have some (`IPProtocol.hasPorts`); empty: all.
    public var ports: [ClosedRange<UInt16>]
    /// ICMP only; nil: every type.
    public var icmpType: UInt8?
    /// Only with a type; nil: every code.
    public var icmpCode: UInt8?

    public init(
        ipProtocol: IPProtocol? = nil, ports: [ClosedRange<UInt16>] = [], icmpType: UInt8? = nil, icmpCode: UInt8? = nil
    ) {
        self.ipProtocol = ipProtocol
        self.ports = ports
        self.icmpType = icmpType
        self.icmpCode = icmpCode
    }
}

/// An IP protocol number (IANA protocol-numbers).
public struct IPProtocol: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt8
    public init(_ rawValue: UInt8) { self.rawValue = rawValue }

    public static let icmp = IPProtocol(1)
    public static let tcp = IPProtocol(6)
    public static let udp = IPProtocol(17)
    public static let gre = IPProtocol(47)
    public static let esp = IPProtocol(50)
    public static let sctp = IPProtocol(132)

    /// Those that have a name in manifests.
    public static let named: [(name: String, value: IPProtocol)] = [
        ("icmp", .icmp), ("tcp", .tcp), ("udp", .udp), ("sctp", .sctp), ("gre", .gre), ("esp", .esp),
    ]

    /// Source and destination port are the first four bytes of its header.
    public var hasPorts: Bool { self == .tcp || self == .udp || self == .sctp }
    public var description: String { Self.named.first { $0.value == self }?.name ?? String(rawValue) }
    public static func < (left: IPProtocol, right: IPProtocol) -> Bool { left.rawValue < right.rawValue }
}
