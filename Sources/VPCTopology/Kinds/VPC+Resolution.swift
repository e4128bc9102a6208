internal import VPCModel

extension VPC: ResolvableResource {
    static let resolution = [ResolutionStep(.hostsAndVPCs) { $0.resolveVPCs() }]

    static func elements(of topology: Topology) -> Slots<ResolvedVPC> { topology.vpcs }
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<ResolvedVPC>) -> Result) -> Result {
        body(&topology.vpcs)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedVPC>) -> Result
    ) -> Result {
        body(&change.vpcs)
    }

    init(_ resolved: ResolvedVPC, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name), id: resolved.id, cidrs: resolved.cidrs,
            denialLog: resolved.denialLog)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        resolver.index.vpcIDs[resolver.topology.vpcs[number].id] = number
        resolver.topology.makeRoomForVPCs()
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let id = resolver.topology.vpcs[number].id
        if resolver.index.vpcIDs[id] == number { resolver.index.vpcIDs[id] = nil }
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        let index = resolver.index
        return (index.subnetsOfVPC[number] ?? []).map { NumberedResource(kind: .subnet, number: $0) }
            + index.routeTablesOfVPC[number].map { NumberedResource(kind: .routeTable, number: $0) }
            + index.groupsOfVPC[number].map { NumberedResource(kind: .securityGroup, number: $0) }
            + index.aclsOfVPC[number].map { NumberedResource(kind: .networkACL, number: $0) }
    }

    /// Everything of a VPC has its place by the id.
    func concerned(by new: VPC, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        if id != new.id { return nil }
        return Set(cidrs) == Set(new.cidrs) ? [] : Self.referrers(to: number, resolver)
    }
}
