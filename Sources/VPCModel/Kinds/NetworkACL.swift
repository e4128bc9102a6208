public import IPAddressing

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

extension NetworkACL: ResourceType {
    public static let names = KindNames("NetworkACL", short: ["acl"])
    public static var kind: ResourceKind { .networkACL }
}

extension ResourceKind {
    public static let networkACL = ResourceKind(of: NetworkACL.self)
}

extension Model {
    public var acls: [NetworkACL] {
        get { self[NetworkACL.self] }
        _modify { yield &self[NetworkACL.self] }
    }
}
