import IPAddressing
import KernelModel
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
    /// What ``addRoutes(of:)`` adds, in fewer routes: every address leads where it leads there. The interfaces of this
    /// host and the routes of the route table keep routes of their own.
    mutating func addAggregatedRoutes(of context: Context) {
        let vpc = topology.vpcs[context.vpc]
        let custom = context.routeTable.map { topology.routeTables[$0].routes } ?? []
        var routes = customRoutes(custom, context)
        var single = routes.count + vpc.cidrs.count
        for cidr in vpc.cidrs {
            let (leaves, interfaces) = self.leaves(of: cidr, vpc, custom.map(\.destination))
            single += interfaces.count { $0 != nil }
            for (leaf, interface) in zip(leaves, interfaces) where leaf.target == nil {
                let key = Route.Key(table: context.table, destination: leaf.prefix)
                guard let interface else { continue }
                let route = Route.link(port(of: topology.interfaces[interface]), key)
                routes.append(Attributed(route, from: Origin(.networkInterface, interface)))
            }
            for aggregate in RouteAggregator.aggregates(of: cidr, leaves: leaves, hosts: topology.hosts.count) {
                let key = Route.Key(table: context.table, destination: aggregate.prefix)
                routes.append(route(aggregate, key, vpc, interface: aggregate.leaf.flatMap { interfaces[$0] }, context))
            }
        }
        aggregation.routes += routes.count
        aggregation.withoutAggregation += single
        intent.host.routes += routes.sortedByKey()
    }

    private mutating func route(
        _ aggregate: RouteAggregator.Aggregate, _ key: Route.Key, _ vpc: ResolvedVPC, interface: Int?,
        _ context: Context
    ) -> Attributed<Route> {
        guard case .host(let remote) = aggregate.target else {
            return Attributed(.unreachable(key), from: Origin(.vpc, context.vpc))
        }
        let id = tunnel(to: remote, key: vpc.id.rawValue, from: Origin(.host, remote))
        return Attributed(.via(id, key), from: interface.map { Origin(.networkInterface, $0) } ?? Origin(.host, remote))
    }

    /// The interfaces that are reached by the VPC's own CIDR, each with its position, and the custom routes inside it.
    private func leaves(
        of cidr: IPPrefix, _ vpc: ResolvedVPC, _ custom: [IPPrefix]
    ) -> (leaves: [RouteAggregator.Leaf], interfaces: [Int?]) {
        var leaves: [RouteAggregator.Leaf] = []
        var interfaces: [Int?] = []
        var holes = custom.filter { cidr.contains($0) }.sorted()[...]
        func addHoles(before address: IPAddress?) {
            while let hole = holes.first, address.map({ hole.address <= $0 }) ?? true {
                // What is inside another one is covered by it.
                if leaves.last.map({ !$0.prefix.contains(hole) }) ?? true {
                    leaves.append(RouteAggregator.Leaf(prefix: hole, target: nil))
                    interfaces.append(nil)
                }
                holes.removeFirst()
            }
        }
        let all = topology.interfaces
        let first = vpc.interfaces.partitionPoint { all[$0].address < cidr.address }
        for index in vpc.interfaces[first...] {
            let address = all[index].address
            guard address <= cidr.last else { break }
            addHoles(before: address)
            if leaves.last?.prefix.contains(address) == true { continue }
            if all[index].host == host && !isAttachedHere(index) { continue }
            let target: RouteAggregator.Target? = all[index].host == host ? nil : .host(all[index].host)
            leaves.append(RouteAggregator.Leaf(prefix: IPPrefix(address), target: target))
            interfaces.append(index)
        }
        addHoles(before: nil)
        return (leaves, interfaces)
    }
}
