internal import IPAddressing
internal import VPCModel

// Routes that lead to other VPCs.
extension Resolver {
    /// A peering as the next hop of a route.
    mutating func peering(
        _ name: String, for destination: IPPrefix, among count: Int, of table: Int, _ source: RouteTable,
        _ path: FieldPath
    ) -> Int? {
        guard let number = number(of: VPCPeering.self, name, for: source.reference, path) else { return nil }
        guard count == 1 else {
            report(
                "next-hop-not-alone", "the peering \(name) is one of \(count) next hops",
                hint: "a peering is alone in its route: only interfaces share one", at: source.reference, path)
            return nil
        }
        let peering = topology.peerings[number]
        let here = Diagnostic.Related("the peering is here", at: ResourceReference(.vpcPeering, name), ["spec"])
        guard let far = peering.far(from: topology.routeTables[table].vpc) else {
            let sides = [peering.requester, peering.accepter].map { topology.vpcs[$0.vpc].name }
            report(
                "next-hop-other-vpc",
                "the peering \(name) is between \(sides[0]) and \(sides[1]), the route table in \(source.vpc)",
                hint: "name a peering of the route table's VPC", at: source.reference, path, related: here)
            return nil
        }
        let vpc = topology.vpcs[far.vpc].name
        guard far.prefixes.contains(where: { $0.overlaps(destination) }) else {
            report(
                "peering-not-there", "nothing of \(destination) is reached by the peering \(name)",
                hint: "of VPC \(vpc) that is \(listed(far.prefixes.map(\.description)))", at: source.reference, path,
                related: here)
            return nil
        }
        if !peering.isAccepted {
            warn(
                "peering-pending", "nobody is reached by the peering \(name): it is not accepted",
                hint: topology.vpcs[peering.requester.vpc].account == topology.vpcs[peering.accepter.vpc].account
                    ? "write accepted: true" : "have the other account write a PeeringAcceptance", at: source.reference,
                path, related: here)
        }
        return number
    }

    /// Of two peers that one table leads to each has addresses of its own.
    mutating func checkPeers(of routes: [ResolvedRoute], in source: RouteTable) {
        var known: [(peering: Int, side: ResolvedPeering.Side, position: Int)] = []
        for (position, route) in routes.enumerated() {
            guard case .peering(let number) = route.nextHops.first?.target,
                let vpc = self.number(VPC.self, source.vpc), let far = topology.peerings[number].far(from: vpc)
            else { continue }
            for other in known where other.peering != number {
                let pair = far.prefixes.lazy.compactMap { prefix in
                    other.side.prefixes.first { $0.overlaps(prefix) }.map { (prefix, $0) }
                }.first
                guard let (prefix, taken) = pair else { continue }
                report(
                    "peering-overlap",
                    "\(prefix) of VPC \(topology.vpcs[far.vpc].name) overlaps \(taken) of VPC"
                        + " \(topology.vpcs[other.side.vpc].name), to which the table leads as well",
                    hint: "name the prefixes that are to be reached in both peerings", at: source.reference,
                    ["spec", "routes", .index(position)],
                    related: Diagnostic.Related(
                        "the other route is here", at: source.reference, ["spec", "routes", .index(other.position)]))
            }
            known.append((number, far, position))
        }
    }
}
