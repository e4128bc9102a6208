internal import VPCModel

extension SecurityGroup: ResolvableResource {
    static let resolution = [
        ResolutionStep(.policiesOfInterfaces) { $0.resolveSecurityGroups() },
        ResolutionStep(.sizes) { $0.checkPolicySizes() },
    ]

    static func elements(of topology: Topology) -> Slots<ResolvedSecurityGroup> { topology.securityGroups }
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<ResolvedSecurityGroup>) -> Result)
        -> Result
    {
        body(&topology.securityGroups)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedSecurityGroup>) -> Result
    ) -> Result {
        body(&change.securityGroups)
    }

    /// Its members are known by the interfaces, and may be many.
    static func noted(_ former: ResolvedSecurityGroup) -> ResolvedSecurityGroup { former.with(members: []) }

    static func restored(_ former: ResolvedSecurityGroup, _ now: ResolvedSecurityGroup) -> ResolvedSecurityGroup {
        former.with(members: now.members)
    }

    init(_ resolved: ResolvedSecurityGroup, in topology: Topology) {
        func rules(_ resolved: [ResolvedSecurityRule]) -> [SecurityRule] {
            resolved.map { rule in
                SecurityRule(
                    traffic: rule.traffic,
                    peers: rule.cidrs.map { .cidr($0) }
                        + rule.groups.map { .securityGroup(topology.securityGroups[$0].name) })
            }
        }
        self.init(
            metadata: Metadata(name: resolved.name), vpc: topology.vpcs[resolved.vpc].name,
            ingress: rules(resolved.ingress), egress: rules(resolved.egress))
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let group = resolver.topology.securityGroups[number]
        resolver.index.groupsOfVPC.insert(number, to: group.vpc)
        for peer in group.namedGroups { resolver.index.groupsNamingGroup.insert(number, to: peer) }
        resolver.topology.policyElements += group.cost.elements
        resolver.index.policyEffort += group.cost.effort
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let group = resolver.topology.securityGroups[number]
        resolver.index.groupsOfVPC.remove(number, from: group.vpc)
        for peer in group.namedGroups { resolver.index.groupsNamingGroup.remove(number, from: peer) }
        resolver.topology.policyElements -= group.cost.elements
        resolver.index.policyEffort -= group.cost.effort
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.topology.securityGroups[number].members.map { NumberedResource(kind: .networkInterface, number: $0) }
            + resolver.index.groupsNamingGroup[number].map { NumberedResource(kind: .securityGroup, number: $0) }
    }

    func concerned(by new: SecurityGroup, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        vpc == new.vpc ? [] : Self.referrers(to: number, resolver)
    }
}

extension ResolvedSecurityGroup {
    fileprivate func with(members: [Int]) -> ResolvedSecurityGroup {
        var group = self
        group.members = members
        return group
    }

    fileprivate var namedGroups: Set<Int> { Set((ingress + egress).flatMap(\.groups)) }
}
