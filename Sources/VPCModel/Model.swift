/// The kinds a manifest may hold, in the order in which they are listed.
public enum ResourceKind: String, Hashable, Sendable, CaseIterable, Comparable {
    case host = "Host"
    case vpc = "VPC"
    case subnet = "Subnet"
    case routeTable = "RouteTable"
    case networkInterface = "NetworkInterface"
    case securityGroup = "SecurityGroup"
    case networkACL = "NetworkACL"
    case probe = "Probe"

    private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
    public static func < (left: ResourceKind, right: ResourceKind) -> Bool { left.rank < right.rank }
}

/// Names one resource of a manifest set.
public struct ResourceReference: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var kind: ResourceKind
    public var name: String

    public init(_ kind: ResourceKind, _ name: String) {
        self.kind = kind
        self.name = name
    }

    /// `Subnet/blue-web`.
    public var description: String { "\(kind.rawValue)/\(name)" }

    public static func < (left: ResourceReference, right: ResourceReference) -> Bool {
        left.kind == right.kind ? left.name < right.name : left.kind < right.kind
    }
}

/// All resources of a manifest set, in the order of the documents.
public struct Model: Hashable, Sendable {
    public var hosts: [Host] = []
    public var vpcs: [VPC] = []
    public var subnets: [Subnet] = []
    public var routeTables: [RouteTable] = []
    public var interfaces: [NetworkInterface] = []
    public var securityGroups: [SecurityGroup] = []
    public var acls: [NetworkACL] = []
    public var probes: [Probe] = []
    /// What the documents hold beside these resources; a model with gaps is never acted upon.
    public var gaps = Gaps()

    public init() {}
}

/// What is known of the documents that could not be decoded.
///
/// A reference to such a resource is not dangling: reporting it would only repeat the error in the document itself.
public struct Gaps: Hashable, Sendable {
    /// Resources that were named but not decoded.
    public var resources: Set<ResourceReference> = []
    /// Kinds of which a document was found whose name could not be read.
    public var kinds: Set<ResourceKind> = []

    public init() {}

    public var isEmpty: Bool { resources.isEmpty && kinds.isEmpty }

    /// Whether this resource may exist although the model lacks it.
    public func mayHold(_ resource: ResourceReference) -> Bool {
        !isEmpty && (kinds.contains(resource.kind) || resources.contains(resource))
    }
}
