public import IPAddressing

/// A stateful filter on network interfaces: what no rule allows is denied; replies of what is allowed pass.
public struct SecurityGroup: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the VPC.
    public var vpc: String
    public var ingress: [SecurityRule]
    public var egress: [SecurityRule]

    /// The most groups that one interface may have.
    public static let maximumPerInterface = 5

    public init(metadata: Metadata, vpc: String, ingress: [SecurityRule] = [], egress: [SecurityRule] = []) {
        self.metadata = metadata
        self.vpc = vpc
        self.ingress = ingress
        self.egress = egress
    }
}

/// Traffic that a security group allows.
public struct SecurityRule: Hashable, Sendable {
    public var traffic: TrafficMatch
    /// The far ends: `from` of an ingress rule, `to` of an egress rule; at least one.
    public var peers: [Peer]

    public enum Peer: Hashable, Sendable {
        case cidr(IPPrefix)
        /// The interfaces that have the group of this name.
        case securityGroup(String)
    }

    public init(traffic: TrafficMatch, peers: [Peer]) {
        self.traffic = traffic
        self.peers = peers
    }
}

/// A stateless filter on what enters and leaves a subnet.
public struct NetworkACL: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the VPC.
    public var vpc: String
    public var ingress: [ACLRule]
    public var egress: [ACLRule]

    public init(metadata: Metadata, vpc: String, ingress: [ACLRule] = [], egress: [ACLRule] = []) {
        self.metadata = metadata
        self.vpc = vpc
        self.ingress = ingress
        self.egress = egress
    }
}

extension NetworkACL {
    /// Where the line with that priority stands in its manifest, `spec.ingress[1]`; nil where there is none.
    public func path(ofLine priority: Int, isIngress: Bool) -> FieldPath? {
        let position = (isIngress ? ingress : egress).firstIndex { $0.priority == priority }
        return position.map { ["spec", .key(isIngress ? "ingress" : "egress"), .index($0)] }
    }
}

/// A line of a network ACL. The line with the lowest priority number that matches decides; without one it is deny.
public struct ACLRule: Hashable, Sendable {
    /// 1…32766, unique in its direction.
    public var priority: Int
    public var action: Action
    public var traffic: TrafficMatch
    /// The far end.
    public var cidr: IPPrefix

    public static let priorities = 1...32766

    public enum Action: String, Hashable, Sendable, CaseIterable {
        case allow
        case deny
    }

    public init(priority: Int, action: Action, traffic: TrafficMatch, cidr: IPPrefix) {
        self.priority = priority
        self.action = action
        self.traffic = traffic
        self.cidr = cidr
    }
}

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
