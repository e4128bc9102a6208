import IPAddressing
import KernelModel
import KernelNames
import VPCModel
import VPCTopology

/// What is known of the routes of a context beside themselves.
struct ContextRoutes: Sendable {
    /// Those that are of no interface, in order.
    var special: [Attributed<Route>] = []
    /// The custom routes that are the longer match for interfaces of the VPC, ascending.
    var overriding: [IPPrefix] = []
    var aggregation = RouteAggregation()
}

extension HostCompiler {
    // MARK: Whole tables

    /// Makes all routes of a context: `unreachable` for each CIDR, the routes of the route table, and one to every address
    /// and prefix of the interfaces for which the VPC's own CIDR is the longest match: local always wins inside the CIDR
    /// unless a custom route is more specific. All in the kernel's key order, so that nothing has to be sorted.
    mutating func bringTable(of key: Context.Key) {
        guard let context = contexts[key] else { return }
        let custom = topology.customRoutes(of: context)
        var state = routing[key] ?? ContextRoutes()
        state.overriding = overriding(custom, context)
        var table: [Attributed<Route>]
        if aggregatesRoutes, key.natGateway == nil {
            (table, state.aggregation) = aggregatedRoutes(of: context)
            for route in table { use(route.object.nexthop) }
        } else {
            state.special = specialRoutes(custom, context)
            for route in state.special { use(route.object.nexthop) }
            table = rows(of: context, among: state)
        }
        routing[key] = state
        replaceTable(context.table, by: table)
    }

    /// A route to every address and prefix of the interfaces, and the others where they belong.
    private mutating func rows(of context: Context, among state: ContextRoutes) -> [Attributed<Route>] {
        let special = state.special
        var overridden = OverriddenAddresses(state.overriding)
        var table: [Attributed<Route>] = []
        table.reserveCapacity(
            topology.interfacesOfVPC[context.vpc].count + topology.furtherOfVPC[context.vpc].count + special.count)
        var nextSpecial = special.startIndex
        var tunnels = [NexthopID](repeating: .none, count: topology.hosts.endIndex)
        var uses = [Int](repeating: 0, count: tunnels.count)
        numbering.reserveNexthops(intent.host.nexthops.count + peers.count)
        nexthopUses.reserveCapacity(intent.host.nexthops.count + peers.count)
        for destination in topology.destinations(ofVPC: context.vpc) {
            let index = destination.interface
            let key = Route.Key(table: context.table, destination: destination.prefix)
            while nextSpecial < special.endIndex, special[nextSpecial].object.key < key {
                table.append(special[nextSpecial])
                nextSpecial += 1
            }
            if overridden.contains(destination.prefix) { continue }
            let remote = topology.interfaces[index].host
            if remote == host, context.natGateway == nil {
                guard isAttachedHere(index) else { continue }
                let route = routeHere(to: destination, key)
                use(route.nexthop)
                table.append(Attributed(route, from: Origin(.networkInterface, index)))
                continue
            }
            if tunnels[remote] == .none {
                tunnels[remote] = tunnel(to: remote, from: context, Origin(.host, remote))
            }
            uses[remote] += 1
            table.append(Attributed(.via(tunnels[remote], key), from: Origin(.networkInterface, index)))
        }
        table += special[nextSpecial...]
        for (remote, count) in uses.enumerated() where count > 0 { use(tunnels[remote], count) }
        return table
    }

    /// To a guest of this host. What is delegated to it is not on its device: it is not asked for by ARP, but sent to the
    /// guest's own address, whose neighbour is known.
    mutating func routeHere(to destination: Destination, _ key: Route.Key) -> Route {
        destination.isDelegated
            ? .via(nexthop(toGuest: destination.interface), key) : .link(portName(destination.interface), key)
    }

    /// The nexthop that hands packets to a guest of this host, whatever their destination.
    mutating func nexthop(toGuest index: Int) -> NexthopID {
        nexthop(
            .gateway(topology.interfaces[index].address, device: portName(index)),
            from: Origin(.networkInterface, index))
    }

    /// The nexthops of the new routes count as used already.
    private mutating func replaceTable(_ table: TableID, by routes: [Attributed<Route>]) {
        let start = intent.host.routes.partitionPoint { $0.object.key.table < table }
        let end = intent.host.routes.partitionPoint(from: start) { $0.object.key.table == table }
        for index in start..<end { leave(intent.host.routes[index].object.nexthop) }
        if case .some = changed.routes { noteDifferences(start..<end, routes) }
        if start == intent.host.routes.count, start == 0 {
            intent.host.routes = routes
        } else {
            intent.host.routes.replaceSubrange(start..<end, with: routes)
        }
    }

    private mutating func noteDifferences(_ range: Range<Int>, _ routes: [Attributed<Route>]) {
        var (left, right) = (range.lowerBound, 0)
        while left < range.upperBound || right < routes.count {
            let held = left < range.upperBound ? intent.host.routes[left] : nil
            let wanted = right < routes.count ? routes[right] : nil
            switch (held, wanted) {
            case (let held?, let wanted?) where held.object.key == wanted.object.key:
                if held != wanted { changed.routes.insert(wanted.object.key) }
                (left, right) = (left + 1, right + 1)
            case (let held?, let wanted?) where held.object.key < wanted.object.key:
                changed.routes.insert(held.object.key)
                left += 1
            case (let held?, nil):
                changed.routes.insert(held.object.key)
                left += 1
            case (_, let wanted?):
                changed.routes.insert(wanted.object.key)
                right += 1
            case (nil, nil): return
            }
            if case .any = changed.routes { return }
        }
    }

    /// Takes all routes of a table away.
    mutating func dropTable(_ table: TableID) { replaceTable(table, by: []) }

    // MARK: Single routes

    /// Makes the route to an address or block of the VPC of a context anew.
    mutating func bringRow(_ block: IPPrefix, _ context: Context) {
        guard let state = routing[context.key] else { return }
        let key = Route.Key(table: context.table, destination: block)
        if state.special.position(of: key) != nil { return }
        let isOverridden = state.overriding.contains { $0.contains(block) }
        let destination = isOverridden ? nil : topology.destination(block, inVPC: context.vpc)
        put(destination.flatMap { row(to: $0, key, of: context) }, at: key)
    }

    /// None where the guest is not there: then `unreachable` answers.
    mutating func row(
        to destination: Destination, _ key: Route.Key, of context: Context
    ) -> Attributed<Route>? {
        let index = destination.interface
        let remote = topology.interfaces[index].host
        let origin = Origin(.networkInterface, index)
        if remote == host, context.natGateway == nil {
            return isAttachedHere(index) ? Attributed(routeHere(to: destination, key), from: origin) : nil
        }
        let id = tunnel(to: remote, from: context, Origin(.host, remote))
        return Attributed(.via(id, key), from: origin)
    }

    /// - Parameter route: Nil: there is none.
    mutating func put(_ route: Attributed<Route>?, at key: Route.Key) {
        let position = intent.host.routes.position(of: key)
        if let position, intent.host.routes[position] == route { return }
        if let route { use(route.object.nexthop) }
        switch (route, position) {
        case (let route?, let position?):
            leave(intent.host.routes[position].object.nexthop)
            intent.host.routes[position] = route
        case (let route?, nil):
            intent.host.routes.insert(route, at: intent.host.routes.partitionPoint { $0.object.key < key })
        case (nil, let position?): leave(intent.host.routes.remove(at: position).object.nexthop)
        case (nil, nil): return
        }
        changed.routes.insert(key)
    }

    // MARK: Special routes

    /// Makes those routes of a context anew that are of no interface.
    /// - Returns: the blocks in which routes of interfaces may come or go.
    mutating func bringSpecialRoutes(of key: Context.Key) -> Set<IPPrefix> {
        guard let context = contexts[key], let former = routing[key] else { return [] }
        let custom = topology.customRoutes(of: context)
        let special = specialRoutes(custom, context)
        let keys = Set(special.map(\.object.key))
        for route in special { put(route, at: route.object.key) }
        for route in former.special where !keys.contains(route.object.key) { put(nil, at: route.object.key) }
        let now = ContextRoutes(special: special, overriding: overriding(custom, context))
        routing[key] = now
        return Set(former.overriding).symmetricDifference(now.overriding)
    }

    private mutating func specialRoutes(_ custom: [ResolvedRoute], _ context: Context) -> [Attributed<Route>] {
        let external = context.natGateway.map { externalRoutes(of: context, $0) } ?? []
        return (unreachable(topology.vpcs[context.vpc].cidrs, context) + customRoutes(custom, context) + external)
            .sortedByKey()
    }

    /// The custom routes that are the longer match for interfaces of the VPC.
    private func overriding(_ custom: [ResolvedRoute], _ context: Context) -> [IPPrefix] {
        let cidrs = topology.vpcs[context.vpc].cidrs
        return custom.map(\.destination).filter { route in cidrs.contains { $0.contains(route) } }.sorted()
    }

    private func unreachable(_ cidrs: [IPPrefix], _ context: Context) -> [Attributed<Route>] {
        cidrs.map {
            Attributed(.unreachable(Route.Key(table: context.table, destination: $0)), from: Origin(.vpc, context.vpc))
        }
    }

    mutating func customRoutes(_ routes: [ResolvedRoute], _ context: Context) -> [Attributed<Route>] {
        var list: [Attributed<Route>] = []
        for route in routes {
            if case .peering(let peering) = route.nextHops.first?.target {
                list += peeredRoutes(route, by: peering, among: routes, context)
            }
            list += customRoutes(route, context)
        }
        return list
    }

    /// A route of a route table, and behind it `unreachable`: when the kernel removes the group because its last member
    /// went away, packets must not fall to a shorter prefix.
    private mutating func customRoutes(_ route: ResolvedRoute, _ context: Context) -> [Attributed<Route>] {
        let key = Route.Key(table: context.table, destination: route.destination)
        if route.nextHops.isEmpty { return [Attributed(.blackhole(key), from: context.origin)] }
        let last = Route.Key(table: context.table, destination: route.destination, metric: Conventions.lastMetric)
        let guardRoute = Attributed(Route.unreachable(last), from: context.origin)
        var present: [NexthopGroup.Member] = []
        for hop in answering(route.nextHops) {
            if let id = nexthop(to: hop.target) { present.append(.init(id: id, weight: UInt16(hop.weight))) }
        }
        guard let first = present.first else { return [guardRoute] }
        // Who is back is to find the flows of the others where they are.
        let isGroup = present.count > 1 || route.nextHops.count > 1 && route.nextHops.contains { $0.liveness != .none }
        let id = isGroup ? group(present, of: route.nextHops.count, behind: key, from: context.origin) : first.id
        return [Attributed(.via(id, key), from: context.origin), guardRoute]
    }

    /// The nexthop that leads from this host to what a route names; nil where nothing is there.
    private mutating func nexthop(to target: ResolvedNextHop.Target) -> NexthopID? {
        switch target {
        case .interface(let interface): nexthop(toGateway: interface)
        case .natGateway(let gateway): nexthop(toNATGateway: gateway)
        // To none as a whole: each of its interfaces has a route, see `peeredRoutes`.
        case .peering: nil
        }
    }

    /// All but those that do not answer; of which none answers all, because it may be the asking that fails.
    private func answering(_ hops: [ResolvedNextHop]) -> [ResolvedNextHop] {
        if facts.liveness.deadNextHops.isEmpty { return hops }
        let living = hops.filter { !topology.isDead($0, facts.liveness.deadNextHops) }
        return living.contains { isHere($0.target) } ? living : hops
    }

    /// Whether packets can be sent there.
    private func isHere(_ target: ResolvedNextHop.Target) -> Bool {
        switch target {
        case .interface(let interface): topology.interfaces[interface].host != host || isAttachedHere(interface)
        case .natGateway, .peering: true
        }
    }

    /// - Parameter count: Of all that the route has, whether or not they are members now.
    private mutating func group(
        _ members: [NexthopGroup.Member], of count: Int, behind route: Route.Key, from origin: Origin
    ) -> NexthopID {
        let algorithm = NexthopGroup.Algorithm.resilient(
            buckets: Self.buckets(forMembers: count), idleTimer: Self.idleTimer)
        let members = members.sorted { $0.id < $1.id }
        let id = numbering.group(of: route, algorithm)
        let body = Nexthop.Body.group(NexthopGroup(members: members, algorithm: algorithm))
        take(Attributed(Nexthop(id: id, body: body), from: origin))
        return id
    }

    /// Puts a group into the intent, in the place of what it was.
    private mutating func take(_ group: Attributed<Nexthop>) {
        guard case .group(let new) = group.object.body else { return }
        let id = group.object.id
        let place = intent.host.nexthops.partitionPoint { $0.object.id < id }
        var former: [NexthopGroup.Member] = []
        if place < intent.host.nexthops.count, intent.host.nexthops[place].object.id == id,
            case .group(let held) = intent.host.nexthops[place].object.body
        {
            former = held.members
        }
        for member in new.members { use(member.id) }
        for member in former { leave(member.id) }
        put(group)
    }

    /// Hundredths of a second without traffic after which a bucket may move to another member.
    private static let idleTimer: UInt32 = 6000

    /// A fixed step, so that a group keeps its buckets (the kernel cannot change them) while members come and go: enough
    /// for weights to hold within a few percent.
    private static func buckets(forMembers count: Int) -> UInt16 {
        count <= 16 ? 256 : 4096
    }
}

extension [Attributed<Route>] {
    func sortedByKey() -> Self { sorted { $0.object.key < $1.object.key } }
}

extension Array {
    /// Of a list that is sorted by key.
    func position<Object: KernelObject>(of key: Object.Key) -> Int? where Element == Attributed<Object> {
        let position = partitionPoint { $0.object.key < key }
        return position < count && self[position].object.key == key ? position : nil
    }
}

/// The parts of a VPC's CIDRs for which a custom route is the longer match; asked for in ascending order.
struct OverriddenAddresses {
    private let prefixes: [IPPrefix]
    private var next = 0
    private var last: IPAddress?

    /// - Parameter overriding: Ascending.
    init(_ overriding: [IPPrefix]) { prefixes = overriding }

    /// Whether one custom route takes all of the block; of what takes a part of it the kernel finds the longer match.
    mutating func contains(_ block: IPPrefix) -> Bool {
        while next < prefixes.count, prefixes[next].address <= block.address {
            last = max(last ?? prefixes[next].last, prefixes[next].last)
            next += 1
        }
        return last.map { block.last <= $0 } ?? false
    }
}

extension Topology {
    func isDead(_ hop: ResolvedNextHop, _ dead: Set<WatchedNextHop>) -> Bool {
        guard hop.liveness != .none, let interface = hop.interface else { return false }
        return dead.contains(WatchedNextHop(interfaces[interface].name, hop.liveness))
    }

    /// Whether a route of a context's table has one of these among its next hops.
    func routes(of context: Context.Key, leadTo hops: Set<WatchedNextHop>) -> Bool {
        guard let table = context.routeTable else { return false }
        return routeTables.contains(number: table)
            && routeTables[table].routes.contains { $0.nextHops.contains { isDead($0, hops) } }
    }
}
