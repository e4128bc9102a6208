internal import VPCModel

extension Subnet: ResolvableResource {
    static let resolution = [ResolutionStep(.subnets) { $0.resolveSubnets() }]

    static func elements(of topology: Topology) -> Slots<ResolvedSubnet> { topology.subnets }
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<ResolvedSubnet>) -> Result) -> Result
    {
        body(&topology.subnets)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedSubnet>) -> Result
    ) -> Result {
        body(&change.subnets)
    }

    init(_ resolved: ResolvedSubnet, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name), vpc: topology.vpcs[resolved.vpc].name, cidr: resolved.cidr,
            gateway: resolved.gateway, routeTable: resolved.routeTable.map { topology.routeTables[$0].name },
            acl: resolved.acl.map { topology.acls[$0].name })
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let (subnet, subnets) = (resolver.topology.subnets[number], resolver.topology.subnets)
        resolver.index.subnetsOfVPC[subnet.vpc, default: []].insert(number) { subnets[$0].cidr < subnet.cidr }
        if let table = subnet.routeTable { resolver.index.subnetsOfRouteTable.insert(number, to: table) }
        if let acl = subnet.acl { resolver.index.subnetsOfACL.insert(number, to: acl) }
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let (subnet, subnets) = (resolver.topology.subnets[number], resolver.topology.subnets)
        resolver.index.subnetsOfVPC[subnet.vpc, default: []].remove(number) { subnets[$0].cidr < subnet.cidr }
        if let table = subnet.routeTable {
            resolver.index.subnetsOfRouteTable.remove(number, from: table)
            resolver.suspectRouteTables.insert(table)
        }
        if let acl = subnet.acl { resolver.index.subnetsOfACL.remove(number, from: acl) }
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.index.interfaces(of: number, in: resolver.topology).map {
            NumberedResource(kind: .networkInterface, number: $0)
        }
    }

    func concerned(by new: Subnet, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        if (vpc, cidr, usableGateway) == (new.vpc, new.cidr, new.usableGateway) { return [] }
        let interfaces = Self.referrers(to: number, resolver)
        if vpc == new.vpc { return interfaces }
        return interfaces + interfaces.flatMap { NetworkInterface.referrers(to: $0.number, resolver) }
    }
}
