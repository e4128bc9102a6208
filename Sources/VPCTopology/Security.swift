public import IPAddressing
public import VPCModel

/// A security group with its references resolved.
public struct ResolvedSecurityGroup: Sendable, Equatable {
    public var name: String
    public var vpc: Int
    /// In the order of the manifest: a rule is named by its position.
    public var ingress: [ResolvedSecurityRule]
    public var egress: [ResolvedSecurityRule]
    /// Numbers of `Topology.interfaces`, by address.
    public var members: [Int]
    /// What its rules come to, of both directions.
    var cost = PolicyCost()

    public init(
        name: String, vpc: Int, ingress: [ResolvedSecurityRule], egress: [ResolvedSecurityRule], members: [Int]
    ) {
        self.name = name
        self.vpc = vpc
        self.ingress = ingress
        self.egress = egress
        self.members = members
    }
}

public struct ResolvedSecurityRule: Sendable, Equatable {
    public var traffic: TrafficMatch
    public var cidrs: [IPPrefix]
    /// Numbers of `Topology.securityGroups`.
    public var groups: [Int]
    /// Numbers of `Topology.loadBalancers`.
    public var balancers: [Int] = []
    /// What these stand for, ascending: of an ingress rule their own addresses, of an egress rule those of their targets.
    public var balanced: [IPPrefix] = []

    public init(traffic: TrafficMatch, cidrs: [IPPrefix], groups: [Int]) {
        self.traffic = traffic
        self.cidrs = cidrs
        self.groups = groups
    }
}

/// A network ACL with its lines in the order in which they decide.
public struct ResolvedACL: Sendable, Equatable {
    public var name: String
    public var vpc: Int
    /// By priority.
    public var ingress: [ACLRule]
    public var egress: [ACLRule]
    /// What its lines come to, of both directions.
    var cost = PolicyCost()

    public init(name: String, vpc: Int, ingress: [ACLRule], egress: [ACLRule]) {
        self.name = name
        self.vpc = vpc
        self.ingress = ingress
        self.egress = egress
    }
}

/// What a security group or ACL costs.
struct PolicyCost: Sendable, Equatable {
    /// Of nftables.
    var elements = 0
    /// Steps that it takes to find out.
    var effort = 0

    static func + (left: PolicyCost, right: PolicyCost) -> PolicyCost {
        PolicyCost(elements: left.elements + right.elements, effort: left.effort + right.effort)
    }
}
