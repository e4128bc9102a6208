import IPAddressing
public import KernelModel
public import VPCTopology
import KernelNames

extension Topology {
    /// Compiles for a host after a change of interfaces: the routes, nearly all there is, are those of before but for the
    /// interfaces that have changed; all else is compiled anew. Gives what compiling anew gives.
    ///
    /// - Parameters:
    ///   - former: What the topology before the change was compiled to, with the same facts.
    ///   - change: What has changed since.
    ///   - numbering: the numbers in use now.
    /// - Returns: nil where everything has to be compiled; else where routes may be others than before.
    public func compiled(
        for host: Int, facts: HostFacts, numbering: Numbering, following former: consuming Compilation,
        _ change: TopologyChange
    ) -> (compilation: Compilation, routes: [Route.Key])? {
        guard change.isOfInterfaces, former.aggregation == nil, !hosts[host].aggregatesRoutes else { return nil }
        var compiler = HostCompiler(topology: self, host: host, facts: facts, numbering: numbering)
        var following = FollowedRoutes(change, former.contexts, tables: former.tables, former.intent.host.nexthops)
        swap(&following.routes, &former.intent.host.routes)
        return compiler.compiled(following: &following).map { ($0, following.changed) }
    }
}

/// Routes that were compiled before.
struct FollowedRoutes {
    let change: TopologyChange
    let contexts: [Context]
    /// Of the VRFs, gateways' included, ascending.
    let tables: [TableID]
    /// Those that lead to other hosts.
    let nexthops: [Nexthop.Body: NexthopID]
    var routes: [Attributed<Route>] = []
    /// Where they are others.
    var changed: [Route.Key] = []

    init(
        _ change: TopologyChange, _ contexts: [Context], tables: [TableID], _ nexthops: [Attributed<Nexthop>]
    ) {
        self.change = change
        self.contexts = contexts
        self.tables = tables
        let single = nexthops.lazy.map(\.object).filter { !$0.body.isGroup }
        self.nexthops = Dictionary(single.map { ($0.body, $0.id) }, uniquingKeysWith: { first, _ in first })
    }
}

extension HostCompiler {
    /// Takes the routes of before and changes those of the interfaces that have changed.
    /// - Returns: false where that is not possible.
    mutating func follow(_ former: inout FollowedRoutes) -> Bool {
        guard tables == former.tables, contexts == former.contexts,
            !contexts.contains(where: topology.hasCustomRoutesInside),
            let tunnels = addNexthopsOfRoutes(former)
        else { return false }
        for place in topology.places(former.change) {
            for (number, context) in contexts.enumerated() where context.vpc == place.vpc {
                let key = Route.Key(table: context.table, destination: IPPrefix(place.address))
                let route = route(to: place.address, key, context, tunnels[number])
                former.routes.put(route, at: key)
                former.changed.append(key)
            }
        }
        swap(&intent.host.routes, &former.routes)
        return true
    }

    private mutating func route(
        to address: IPAddress, _ key: Route.Key, _ context: Context, _ tunnels: [NexthopID]
    ) -> Attributed<Route>? {
        guard let index = topology.interface(at: address, inVPC: context.vpc) else { return nil }
        var tunnels = tunnels
        return localRoute(to: index, key, vpc: topology.vpcs[context.vpc], &tunnels).map {
            Attributed($0, from: Origin(.networkInterface, index))
        }
    }

    /// Adds the nexthops that ``addRoutes()`` would add, in its order.
    /// - Returns: By context, by host, the one that leads there; nil where some have other numbers than before, because the
    ///   kernel has lost them meanwhile.
    private mutating func addNexthopsOfRoutes(_ former: FollowedRoutes) -> [[NexthopID]]? {
        var special = gatewayRoutes().map(\.route)
        var tunnels = [[NexthopID]](repeating: [], count: contexts.count)
        for number in contexts.indices.sorted(by: { contexts[$0].table < contexts[$1].table }) {
            let context = contexts[number]
            special += customRoutes(topology.customRoutes(of: context), context)
            tunnels[number] = addTunnels(of: context.vpc)
        }
        let isKept = intent.host.nexthops.allSatisfy { nexthop in
            former.nexthops[nexthop.object.body].map { $0 == nexthop.object.id } ?? true
        }
        return isKept && special.allSatisfy { former.routes.contains($0.object) } ? tunnels : nil
    }

    private mutating func addTunnels(of vpc: Int) -> [NexthopID] {
        var firsts: [(address: IPAddress, host: Int)] = []
        for remote in topology.hosts.indices where remote != host {
            if let first = topology.interfaces(of: vpc, on: remote).first(where: { _ in true }) {
                firsts.append((topology.interfaces[first].address, remote))
            }
        }
        var tunnels = [NexthopID](repeating: .none, count: topology.hosts.endIndex)
        for (_, remote) in firsts.sorted(by: { $0.address < $1.address }) {
            tunnels[remote] = tunnel(to: remote, key: topology.vpcs[vpc].id.rawValue, from: Origin(.host, remote))
        }
        return tunnels
    }
}

extension Topology {
    /// Where an interface is, was, or both.
    fileprivate func places(_ change: TopologyChange) -> [(vpc: Int, address: IPAddress)] {
        let part = change.interfaces
        let now = (part.added + part.changed.keys).map { interfaces[$0] }
        return (Array(part.removed.values) + Array(part.changed.values) + now).map { ($0.vpc, $0.address) }
    }
}

extension [Attributed<Route>] {
    fileprivate func contains(_ route: Route) -> Bool {
        position(of: route.key).map { self[$0].object == route } ?? false
    }

    /// - Parameter route: Nil: there is none.
    fileprivate mutating func put(_ route: Attributed<Route>?, at key: Route.Key) {
        switch (route, position(of: key)) {
        case (let route?, let position?): self[position] = route
        case (let route?, nil): insert(route, at: partitionPoint { $0.object.key < key })
        case (nil, let position?): remove(at: position)
        case (nil, nil): break
        }
    }
}
