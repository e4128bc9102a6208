import IPAddressing
import KernelModel
import VPCModel
import VPCTopology
import KernelNames

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
    /// What ``addRoutes(of:)`` adds, in fewer routes: every address leads where it leads there. The interfaces of this
    /// host and the routes of the route table keep routes of their own. Behind those of the interfaces is `unreachable`:
    /// when a guest's device goes, and its route with it, another host would send back what it got.
    mutating func addAggregatedRoutes(of context: Context) {
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
            single += ways.here.count + ways.interfaces.count { $0 != nil }
            var taken: Set<IPPrefix> = []
            for index in ways.here {
                let interface = topology.interfaces[index]
                let key = Route.Key(table: context.table, destination: IPPrefix(interface.address))
                taken.insert(key.destination)
                routes.append(Attributed(.link(port(of: interface), key), from: Origin(.networkInterface, index)))
            }
            for aggregate in RouteAggregator.aggregates(of: cidr, leaves: ways.leaves, hosts: ranked.count) {
                let metric = taken.contains(aggregate.prefix) ? Conventions.lastMetric : 0
                let key = Route.Key(table: context.table, destination: aggregate.prefix, metric: metric)
                let interface = aggregate.leaf.flatMap { ways.interfaces[$0] }
                routes.append(route(aggregate, key, vpc, interface: interface, context, ranked))
            }
        }
        aggregation.routes += routes.count
        aggregation.withoutAggregation += single
        intent.host.routes += routes.sortedByKey()
    }

    private mutating func route(
        _ aggregate: RouteAggregator.Aggregate, _ key: Route.Key, _ vpc: ResolvedVPC, interface: Int?,
        _ context: Context, _ ranked: [Int]
    ) -> Attributed<Route> {
        guard case .host(let rank) = aggregate.target else {
            return Attributed(.unreachable(key), from: Origin(.vpc, context.vpc))
        }
        let remote = ranked[rank]
        let id = tunnel(to: remote, key: vpc.id.rawValue, from: Origin(.host, remote))
        return Attributed(.via(id, key), from: interface.map { Origin(.networkInterface, $0) } ?? Origin(.host, remote))
    }

    /// What a CIDR holds.
    private struct Ways {
        /// Interfaces of other hosts, each with its position, and the custom routes inside.
        var leaves: [RouteAggregator.Leaf] = []
        var interfaces: [Int?] = []
        /// Interfaces of this host.
        var here: [Int] = []
    }

    /// The interfaces that are reached by the VPC's own CIDR, and the custom routes inside it.
    /// - Parameter ranks: By host, what is its number to ``RouteAggregator``.
    private func ways(into cidr: IPPrefix, _ vpc: Int, _ custom: [IPPrefix], _ ranks: [Int]) -> Ways {
        var ways = Ways()
        var holes = custom.filter { cidr.contains($0) }.sorted()[...]
        var lastHole: IPPrefix?
        func addHoles(before address: IPAddress?) {
            while let hole = holes.first, address.map({ hole.address <= $0 }) ?? true {
                holes.removeFirst()
                // What is inside another one is covered by it.
                if lastHole?.contains(hole) == true { continue }
                lastHole = hole
                ways.leaves.append(RouteAggregator.Leaf(prefix: hole, target: nil))
                ways.interfaces.append(nil)
            }
        }
        let (all, own) = (topology.interfaces, topology.interfacesOfVPC[vpc])
        for index in own[own.partitionPoint { all[$0].address < cidr.address }...] {
            let address = all[index].address
            guard address <= cidr.last else { break }
            addHoles(before: address)
            if lastHole?.contains(address) == true { continue }
            if all[index].host != host {
                ways.leaves.append(
                    RouteAggregator.Leaf(prefix: IPPrefix(address), target: .host(ranks[all[index].host])))
                ways.interfaces.append(index)
            } else if isAttachedHere(index) {
                ways.here.append(index)
            }
        }
        addHoles(before: nil)
        return ways
    }
}
