internal import IPAddressing
internal import VPCModel

extension PeeringAcceptance: ResolvableResource {
    static let resolution = [ResolutionStep(.subnets) { $0.resolvePeeringAcceptances() }]

    static func elements(of topology: Topology) -> Slots<ResolvedPeeringAcceptance> { topology.peeringAcceptances }
    static func elements<Result>(
        _ topology: inout Topology, _ body: (inout Slots<ResolvedPeeringAcceptance>) -> Result
    ) -> Result {
        body(&topology.peeringAcceptances)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedPeeringAcceptance>) -> Result
    ) -> Result {
        body(&change[ResolvedPeeringAcceptance.self])
    }

    init(_ resolved: ResolvedPeeringAcceptance, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name), peering: topology.peerings[resolved.peering].name,
            account: resolved.account)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {}
    static func leave(_ number: Int, _ resolver: inout Resolver) {}

    /// What depends on one is in routes, groups and probes.
    static var changesEverything: Bool { true }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] { [] }

    func concerned(by new: PeeringAcceptance, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? { nil }
}

extension Resolver {
    fileprivate mutating func resolvePeeringAcceptances() {
        var first: [Int: String] = [:]
        for acceptance in model.peeringAcceptances.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            let (name, reference) = (acceptance.metadata.name, acceptance.reference)
            guard let number = number(of: VPCPeering.self, acceptance.peering, for: reference, ["spec", "peering"])
            else {
                giveUp(acceptance)
                continue
            }
            if let other = first[number] {
                report(
                    "duplicate-acceptance", "\(acceptance.peering) is accepted by \(other) already",
                    hint: "remove one of them", at: reference, ["spec", "peering"],
                    related: Diagnostic.Related(
                        "the other one is here", at: ResourceReference(.peeringAcceptance, other), ["spec", "peering"]))
            }
            first[number] = first[number] ?? name
            checkAccount(of: acceptance, number)
            _ = place(
                PeeringAcceptance.self, name,
                ResolvedPeeringAcceptance(name: name, peering: number, account: acceptance.account))
        }
    }

    /// Nobody accepts for somebody else.
    private mutating func checkAccount(of acceptance: PeeringAcceptance, _ number: Int) {
        let vpc = topology.vpcs[topology.peerings[number].accepter.vpc]
        guard vpc.account != acceptance.account else { return }
        report(
            "acceptance-account",
            "the VPC that \(acceptance.peering) asks for, \(vpc.name), is of account \(vpc.account ?? "none"), not of"
                + " \(acceptance.account)", hint: "its account says so, or nobody does", at: acceptance.reference,
            ["spec", "account"],
            related: Diagnostic.Related("the VPC is here", at: ResourceReference(.vpc, vpc.name), ["spec"]))
    }
}
