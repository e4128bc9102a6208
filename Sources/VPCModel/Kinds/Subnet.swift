public import IPAddressing

public struct Subnet: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the VPC.
    public var vpc: String
    public var cidr: IPPrefix
    /// The address guests use as their default gateway; the subnet's first usable address when nil.
    public var gateway: IPAddress?
    public var zone: String?
    /// Name of the route table; the VPC's main table (local routes only) when nil.
    public var routeTable: String?
    /// Name of the network ACL.
    public var acl: String?
    /// What its guests are told by DHCP; nobody is answered when nil.
    public var dhcp: DHCPOptions?

    public init(
        metadata: Metadata, vpc: String, cidr: IPPrefix, gateway: IPAddress? = nil, zone: String? = nil,
        routeTable: String? = nil, acl: String? = nil, dhcp: DHCPOptions? = nil
    ) {
        self.metadata = metadata
        self.vpc = vpc
        self.cidr = cidr
        self.gateway = gateway
        self.zone = zone
        self.routeTable = routeTable
        self.acl = acl
        self.dhcp = dhcp
    }
}

extension Subnet: ResourceType {
    public static let names = KindNames("Subnet")
    public static var kind: ResourceKind { .subnet }
}

extension ResourceKind {
    public static let subnet = ResourceKind(of: Subnet.self)
}

extension Model {
    public var subnets: [Subnet] {
        get { self[Subnet.self] }
        _modify { yield &self[Subnet.self] }
    }
}
