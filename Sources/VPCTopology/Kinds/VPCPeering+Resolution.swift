internal import IPAddressing
internal import VPCModel

extension VPCPeering: ResolvableResource {
    static let resolution = [ResolutionStep(.routeTables) { $0.resolvePeerings() }]

    static func elements(of topology: Topology) -> Slots<ResolvedPeering> { topology.peerings }
    static func elements<Result>(
        _ topology: inout Topology, _ body: (inout Slots<ResolvedPeering>) -> Result
    ) -> Result {
        body(&topology.peerings)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedPeering>) -> Result
    ) -> Result {
        body(&change[ResolvedPeering.self])
    }

    init(_ resolved: ResolvedPeering, in topology: Topology) {
        func side(_ side: ResolvedPeering.Side) -> Side {
            Side(vpc: topology.vpcs[side.vpc].name, prefixes: side.stated)
        }
        self.init(
            metadata: Metadata(name: resolved.name), requester: side(resolved.requester),
            accepter: side(resolved.accepter), isAccepted: resolved.accepted)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {}
    static func leave(_ number: Int, _ resolver: inout Resolver) {}

    /// What depends on one is in routes, groups and probes.
    static var changesEverything: Bool { true }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] { [] }

    func concerned(by new: VPCPeering, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? { nil }
}

extension Resolver {
    fileprivate mutating func resolvePeerings() {
        let accepted = Set(model.peeringAcceptances.map(\.peering))
        for peering in model.vpcPeerings.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            let requester = side(peering.requester, "requester", of: peering)
            let accepter = side(peering.accepter, "accepter", of: peering)
            guard let requester, let accepter else {
                giveUp(peering)
                continue
            }
            let resolved = ResolvedPeering(
                name: peering.metadata.name, requester: requester, accepter: accepter,
                isAccepted: peering.isAccepted || accepted.contains(peering.metadata.name),
                accepted: peering.isAccepted)
            check(resolved, of: peering)
            _ = place(VPCPeering.self, peering.metadata.name, resolved)
        }
    }

    private mutating func side(
        _ side: VPCPeering.Side, _ field: FieldPath.Component, of peering: VPCPeering
    ) -> ResolvedPeering.Side? {
        let path: FieldPath = ["spec", field]
        if !side.translate.isEmpty {
            report(
                "not-supported", "addresses are not translated between peers yet",
                hint: "give one of the VPCs other blocks, or name the prefixes that are to be reached",
                at: peering.reference, path + ["translate"])
        }
        guard let vpc = number(of: VPC.self, side.vpc, for: peering.reference, path + ["vpc"]) else { return nil }
        let cidrs = topology.vpcs[vpc].cidrs
        for (position, prefix) in side.prefixes.enumerated()
        where !cidrs.contains(where: { $0.contains(prefix) }) {
            report(
                "prefix-outside-vpc", "\(prefix) is not inside of a block of VPC \(side.vpc)",
                hint: "choose a part of \(listed(cidrs.map(\.description)))", at: peering.reference,
                path + ["prefixes", .index(position)],
                related: Diagnostic.Related(
                    "the VPC's blocks are here", at: ResourceReference(.vpc, side.vpc), ["spec", "cidrs"]))
        }
        let prefixes = side.prefixes.isEmpty ? cidrs : side.prefixes.sorted().outermost
        return ResolvedPeering.Side(vpc: vpc, stated: side.prefixes, prefixes: prefixes)
    }

    private mutating func check(_ resolved: ResolvedPeering, of peering: VPCPeering) {
        let (reference, path): (ResourceReference, FieldPath) = (peering.reference, ["spec", "accepter"])
        let (one, other) = (topology.vpcs[resolved.requester.vpc], topology.vpcs[resolved.accepter.vpc])
        guard resolved.requester.vpc != resolved.accepter.vpc else {
            report(
                "peering-with-itself", "VPC \(one.name) is on both sides", hint: "name two VPCs", at: reference,
                path + ["vpc"])
            return
        }
        if let first = topology.peerings.first(where: {
            $0.far(from: resolved.requester.vpc)?.vpc == resolved.accepter.vpc
        }) {
            report(
                "duplicate-peering", "\(one.name) and \(other.name) have a peering, \(first.name)",
                hint: "one for both: it may name several prefixes", at: reference, ["spec"],
                related: Diagnostic.Related(
                    "it is here", at: ResourceReference(.vpcPeering, first.name), ["spec"]))
        }
        if one.region != other.region {
            report(
                "not-supported",
                "VPC \(one.name) is in region \(one.region ?? "none"), \(other.name) in \(other.region ?? "none"): peerings"
                    + " across regions are not supported yet", hint: "peer VPCs of one region", at: reference,
                path + ["vpc"])
        }
        if peering.isAccepted, one.account != other.account {
            report(
                "accepted-by-another",
                "VPC \(other.name) is of account \(other.account ?? "none"), \(one.name) of \(one.account ?? "none"): who asks"
                    + " does not accept",
                hint: "have the other account write a PeeringAcceptance, and leave accepted out", at: reference,
                ["spec", "accepted"],
                related: Diagnostic.Related(
                    "the VPC that is asked is here", at: ResourceReference(.vpc, other.name), ["spec", "account"]))
        }
        checkOverlap(resolved, reference)
    }

    private mutating func checkOverlap(_ peering: ResolvedPeering, _ reference: ResourceReference) {
        for prefix in peering.accepter.prefixes {
            guard let taken = peering.requester.prefixes.first(where: { $0.overlaps(prefix) }) else { continue }
            report(
                "peering-overlap",
                "\(prefix) of VPC \(topology.vpcs[peering.accepter.vpc].name) overlaps \(taken) of VPC"
                    + " \(topology.vpcs[peering.requester.vpc].name)",
                hint: "name the prefixes that are to be reached on each side", at: reference,
                place(of: peering.accepter, "accepter"),
                related: Diagnostic.Related(
                    "the other one is here", at: reference, place(of: peering.requester, "requester")))
        }
    }

    private func place(of side: ResolvedPeering.Side, _ field: FieldPath.Component) -> FieldPath {
        side.stated.isEmpty ? ["spec", field, "vpc"] : ["spec", field, "prefixes"]
    }
}
