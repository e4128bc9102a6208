internal import VPCModel

extension NetworkACL: ResolvableResource {
    static let resolution = [ResolutionStep(.policiesOfSubnets) { $0.resolveACLs() }]

    static func elements(of topology: Topology) -> Slots<ResolvedACL> { topology.acls }
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<ResolvedACL>) -> Result) -> Result {
        body(&topology.acls)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedACL>) -> Result
    ) -> Result {
        body(&change.acls)
    }

    init(_ resolved: ResolvedACL, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name), vpc: topology.vpcs[resolved.vpc].name, ingress: resolved.ingress,
            egress: resolved.egress)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let acl = resolver.topology.acls[number]
        resolver.index.aclsOfVPC.insert(number, to: acl.vpc)
        resolver.topology.policyElements += acl.cost.elements
        resolver.index.policyEffort += acl.cost.effort
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let acl = resolver.topology.acls[number]
        resolver.index.aclsOfVPC.remove(number, from: acl.vpc)
        resolver.topology.policyElements -= acl.cost.elements
        resolver.index.policyEffort -= acl.cost.effort
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.index.subnetsOfACL[number].map { NumberedResource(kind: .subnet, number: $0) }
    }

    func concerned(by new: NetworkACL, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        vpc == new.vpc ? [] : Self.referrers(to: number, resolver)
    }
}
