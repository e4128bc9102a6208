/// One resource of any kind.
public enum Resource: Hashable, Sendable {
    case host(Host)
    case vpc(VPC)
    case subnet(Subnet)
    case routeTable(RouteTable)
    case networkInterface(NetworkInterface)
    case securityGroup(SecurityGroup)
    case networkACL(NetworkACL)
    case probe(Probe)

    public var kind: ResourceKind {
        switch self {
        case .host: .host
        case .vpc: .vpc
        case .subnet: .subnet
        case .routeTable: .routeTable
        case .networkInterface: .networkInterface
        case .securityGroup: .securityGroup
        case .networkACL: .networkACL
        case .probe: .probe
        }
    }

    public var metadata: Metadata {
        switch self {
        case .host(let host): host.metadata
        case .vpc(let vpc): vpc.metadata
        case .subnet(let subnet): subnet.metadata
        case .routeTable(let table): table.metadata
        case .networkInterface(let interface): interface.metadata
        case .securityGroup(let group): group.metadata
        case .networkACL(let acl): acl.metadata
        case .probe(let probe): probe.metadata
        }
    }

    public var reference: ResourceReference { ResourceReference(kind, metadata.name) }
}

extension Model {
    public init(_ resources: some Sequence<Resource>) {
        self.init()
        for resource in resources { append(resource) }
    }

    public mutating func append(_ resource: Resource) {
        switch resource {
        case .host(let host): hosts.append(host)
        case .vpc(let vpc): vpcs.append(vpc)
        case .subnet(let subnet): subnets.append(subnet)
        case .routeTable(let table): routeTables.append(table)
        case .networkInterface(let interface): interfaces.append(interface)
        case .securityGroup(let group): securityGroups.append(group)
        case .networkACL(let acl): acls.append(acl)
        case .probe(let probe): probes.append(probe)
        }
    }

    /// The resources of one kind, in the order of the documents.
    public func resources(of kind: ResourceKind) -> [Resource] {
        switch kind {
        case .host: hosts.map(Resource.host)
        case .vpc: vpcs.map(Resource.vpc)
        case .subnet: subnets.map(Resource.subnet)
        case .routeTable: routeTables.map(Resource.routeTable)
        case .networkInterface: interfaces.map(Resource.networkInterface)
        case .securityGroup: securityGroups.map(Resource.securityGroup)
        case .networkACL: acls.map(Resource.networkACL)
        case .probe: probes.map(Resource.probe)
        }
    }

    /// All resources, kind by kind, each kind in the order of the documents.
    public var resources: [Resource] { ResourceKind.allCases.flatMap { resources(of: $0) } }
}
