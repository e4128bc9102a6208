import IPAddressing
import KernelModel
import KernelNames
import VPCModel
import VPCTopology

/// How many routes a host's tables have where they are aggregated, and how many they would have otherwise.
public struct RouteAggregation: Hashable, Sendable {
    public var routes = 0
    public var withoutAggregation = 0

    public init(routes: Int = 0, withoutAggregation: Int = 0) {
        self.routes = routes
        self.withoutAggregation = withoutAggregation
    }
}

extension HostCompiler {
    /// What ``bringTable(of:)`` makes, in fewer routes: every address leads where it leads there. The interfaces of this
    /// host and the routes of the route table keep routes of their own. Behind those of the interfaces is `unreachable`:
    /// when a guest's device goes, and its route with it, another host would send back what it got.
    mutating func aggregatedRoutes(of context: Context) -> ([Attributed<Route>], RouteAggregation) {
        let vpc = topology.vpcs[context.vpc]
        let custom = topology.customRoutes(of: context)
        var routes = customRoutes(custom, context)
        var single = routes.count + vpc.cidrs.count
        // Which of several hosts a route leads to that may lead to either must not depend on numbers.
        let ranked = topology.inOrder(topology.hosts.indices, of: \.hosts)
        var ranks = [Int](repeating: 0, count: topology.hosts.endIndex)
        for (rank, number) in ranked.enumerated() { ranks[number] = rank }
        for cidr in vpc.cidrs {
            let ways = self.ways(into: cidr, context.vpc, custom.map(\.destination), ranks)
            single += ways.here.count + ways.elsewhere
            var taken: Set<IPPrefix> = []
            for destination in ways.here {
                let key = Route.Key(table: context.table, destination: destination.prefix)
                taken.insert(key.destination)
                routes.append(
                    Attributed(
                        routeHere(to: destination, key), from: Origin(.networkInterface, destination.interface)))
            }
            for aggregate in RouteAggregator.aggregates(of: cidr, leaves: ways.leaves, hosts: ranked.count) {
                let metric = taken.contains(aggregate.prefix) ? Conventions.lastMetric : 0
                let key = Route.Key(table: context.table, destination: aggregate.prefix, metric: metric)
                let interface = aggregate.leaf.flatMap { ways.interfaces[$0] }
                routes.append(route(aggregate, key, vpc, interface: interface, context, ranked))
            }
        }
        // Public addresses of guests are beside the VPC's own.
        for destination in topology.furtherOfVPC[context.vpc]
        where !vpc.cidrs.contains(where: { $0.contains(destination.prefix) }) {
            let key = Route.Key(table: context.table, destination: destination.prefix)
            if let route = row(to: destination, key, of: context) {
                routes.append(route)
                single += 1
            }
        }
        return (routes.sortedByKey(), RouteAggregation(routes: routes.count, withoutAggregation: single))
    }

    private mutating func route(
        _ aggregate: RouteAggregator.Aggregate, _ key: Route.Key, _ vpc: ResolvedVPC, interface: Int?,
        _ context: Context, _ ranked: [Int]
    ) -> Attributed<Route> {
        guard case .host(let rank) = aggregate.target else {
            return Attributed(.unreachable(key), from: Origin(.vpc, context.vpc))
        }
        let remote = ranked[rank]
        let id = tunnel(to: remote, from: context, Origin(.host, remote))
        return Attributed(.via(id, key), from: interface.map { Origin(.networkInterface, $0) } ?? Origin(.host, remote))
    }

    /// What a CIDR holds.
    private struct Ways {
        /// What leads to other hosts, and the custom routes inside: disjoint.
        var leaves: [RouteAggregator.Leaf] = []
        /// By leaf, the interface.
        var interfaces: [Int?] = []
        /// How many addresses and prefixes lead to other hosts.
        var elsewhere = 0
        /// What leads to interfaces of this host.
        var here: [Destination] = []
    }

    /// The interfaces that are reached by the VPC's own CIDR, and the custom routes inside it.
    /// - Parameter ranks: By host, what is its number to ``RouteAggregator``.
    private func ways(into cidr: IPPrefix, _ vpc: Int, _ custom: [IPPrefix], _ ranks: [Int]) -> Ways {
        var ways = Ways()
        var holes = custom.filter { cidr.contains($0) }.sorted().outermost[...]
        var lastHole: IPPrefix?
        func addHoles(through address: IPAddress) {
            while let hole = holes.first, hole.address <= address {
                holes.removeFirst()
                lastHole = hole
                ways.leaves.append(RouteAggregator.Leaf(prefix: hole, target: nil))
                ways.interfaces.append(nil)
            }
        }
        for destination in topology.destinations(ofVPC: vpc, from: cidr.address) {
            let (prefix, index) = (destination.prefix, destination.interface)
            guard prefix.address <= cidr.last else { break }
            addHoles(through: prefix.address)
            if lastHole?.contains(prefix) == true { continue }
            let remote = topology.interfaces[index].host
            if remote == host {
                if isAttachedHere(index) { ways.here.append(destination) }
                continue
            }
            ways.elsewhere += 1
            // A delegated block may have holes, of which one may have been added.
            func add(_ part: IPPrefix) {
                addHoles(through: part.address)
                ways.leaves.append(RouteAggregator.Leaf(prefix: part, target: .host(ranks[remote])))
                ways.interfaces.append(index)
            }
            if destination.isDelegated {
                // It may have holes, of which one may have been added.
                prefix.parts(without: (lastHole.map { [$0] } ?? []) + holes).forEach(add)
            } else {
                add(prefix)
            }
        }
        addHoles(through: cidr.last)
        return ways
    }
}
