import IPAddressing
import KernelModel
import KernelNames
import VPCModel
import VPCTopology

/// The ways to interfaces of peers: a route to each by a tunnel with the peer's key, so that what arrives there is judged and
/// delivered as what its own interfaces send. To a guest of this very host it leads as well, by the tunnel to the host itself:
/// each VPC has its connections in a zone of its own, and both see both directions.
extension HostCompiler {
    /// - Parameter others: All routes of the same table; of two the one with the longer destination decides.
    mutating func peeredRoutes(
        _ route: ResolvedRoute, by peering: Int, among others: [ResolvedRoute], _ context: Context
    ) -> [Attributed<Route>] {
        guard let far = topology.peerings[peering].far(from: context.vpc) else { return [] }
        let key = topology.vpcs[far.vpc].id.rawValue
        let longer = others.map(\.destination).filter { $0 != route.destination && route.destination.contains($0) }
        var known: Set<IPPrefix> = []
        var routes: [Attributed<Route>] = []
        for destination in topology.destinations(of: route.destination, by: peering, from: context.vpc)
        where !longer.contains(where: { $0.contains(destination.prefix) }) && known.insert(destination.prefix).inserted
        {
            let remote = topology.interfaces[destination.interface].host
            let id = tunnel(to: remote, key: key, from: Origin(.host, remote))
            let place = Route.Key(table: context.table, destination: destination.prefix)
            routes.append(Attributed(.via(id, place), from: Origin(.networkInterface, destination.interface)))
        }
        return routes
    }

    /// Whose route tables lead to the interfaces of a VPC.
    func contexts(leadingTo vpc: Int) -> [Context.Key] {
        if topology.peerings.isEmpty { return [] }
        return contexts.keys.filter { key in
            guard key.vpc != vpc, let table = key.routeTable, topology.routeTables.contains(number: table) else {
                return false
            }
            return topology.routeTables[table].routes.contains { route in
                guard case .peering(let number) = route.nextHops.first?.target else { return false }
                return topology.peerings[number].far(from: key.vpc)?.vpc == vpc
            }
        }
    }
}

extension Topology {
    /// Whether two of several VPCs reach each other.
    func hasPeering(among vpcs: some Collection<Int>) -> Bool {
        let own = Set(vpcs)
        return peerings.contains { $0.isAccepted && own.contains($0.requester.vpc) && own.contains($0.accepter.vpc) }
    }
}
