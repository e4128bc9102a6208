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
        /// The interfaces that have the group of this name; of a peer, `VPC/GROUP`.
        case securityGroup(String)
        /// The addresses of the load balancer of this name; of an egress rule those of its targets.
        case loadBalancer(String)
    }

    public init(traffic: TrafficMatch, peers: [Peer]) {
        self.traffic = traffic
        self.peers = peers
    }
}

extension SecurityGroup: ResourceType {
    public static let names = KindNames("SecurityGroup", short: ["sg"])
    public static var kind: ResourceKind { .securityGroup }
}

extension ResourceKind {
    public static let securityGroup = ResourceKind(of: SecurityGroup.self)
}

extension Model {
    public var securityGroups: [SecurityGroup] {
        get { self[SecurityGroup.self] }
        _modify { yield &self[SecurityGroup.self] }
    }
}
