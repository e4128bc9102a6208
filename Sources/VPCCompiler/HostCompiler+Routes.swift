import IPAddressing
import KernelModel
import VPCModel
import VPCTopology
import KernelNames

extension HostCompiler {
    /// The tables in ascending order, each in the kernel's key order, so that nothing has to be sorted afterwards.
    mutating func addRoutes() {
        enum Content {
            case context(Context)
            case gateway(Attributed<Route>)
        }
        let gateways = gatewayRoutes()
        var tables: [(table: TableID, content: Content)] = contexts.map { ($0.table, .context($0)) }
        tables += gateways.map { ($0.table, .gateway($0.route)) }
        tables.sort { $0.table < $1.table }
        intent.host.routes.reserveCapacity(
            contexts.reduce(gateways.count) { $0 + topology.interfacesOfVPC[$1.vpc].count })
        for (_, content) in tables {
            switch content {
            case .context(let context):
                if topology.hosts[host].aggregatesRoutes {
                    addAggregatedRoutes(of: context)
                } else {
                    addRoutes(of: context)
                }
            case .gateway(let route): intent.host.routes.append(route)
            }
        }
    }

    /// `unreachable` for each CIDR, the routes of the route table, and a /32 of every interface for which the VPC's own
    /// CIDR is the longest match: local always wins inside the CIDR unless a custom route is more specific.
    private mutating func addRoutes(of context: Context) {
        let vpc = topology.vpcs[context.vpc]
        let custom = topology.customRoutes(of: context)
        let special = (unreachable(vpc.cidrs, context) + customRoutes(custom, context)).sortedByKey()
        var overridden = OverriddenAddresses(custom.map(\.destination), of: vpc)

        var nextSpecial = special.startIndex
        var tunnels = [NexthopID](repeating: .none, count: topology.hosts.endIndex)
        for index in topology.interfacesOfVPC[context.vpc] {
            let address = topology.interfaces[index].address
            let key = Route.Key(table: context.table, destination: IPPrefix(address))
            while nextSpecial < special.endIndex, special[nextSpecial].object.key < key {
                intent.host.routes.append(special[nextSpecial])
                nextSpecial += 1
            }
            if overridden.contains(address) { continue }
            if let route = localRoute(to: index, key, vpc: vpc, &tunnels) {
                intent.host.routes.append(Attributed(route, from: Origin(.networkInterface, index)))
            }
        }
        intent.host.routes += special[nextSpecial...]
    }

    /// The /32 of one interface; none where its guest is not there: then `unreachable` answers.
    /// - Parameter tunnels: By host, the nexthop that leads there, as far as it is known.
    @inline(__always)
    mutating func localRoute(
        to index: Int, _ key: Route.Key, vpc: ResolvedVPC, _ tunnels: inout [NexthopID]
    ) -> Route? {
        let remote = topology.interfaces[index].host
        if remote != host {
            if tunnels[remote] != .none { return .via(tunnels[remote], key) }
            let id = tunnel(to: remote, key: vpc.id.rawValue, from: Origin(.host, remote))
            tunnels[remote] = id
            return .via(id, key)
        }
        return isAttachedHere(index) ? .link(port(of: topology.interfaces[index]), key) : nil
    }

    private func unreachable(_ cidrs: [IPPrefix], _ context: Context) -> [Attributed<Route>] {
        cidrs.map {
            Attributed(.unreachable(Route.Key(table: context.table, destination: $0)), from: Origin(.vpc, context.vpc))
        }
    }

    mutating func customRoutes(_ routes: [ResolvedRoute], _ context: Context) -> [Attributed<Route>] {
        var list: [Attributed<Route>] = []
        for route in routes { list += customRoutes(route, context) }
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
        for hop in route.nextHops {
            if let id = nexthop(to: hop.target) { present.append(.init(id: id, weight: UInt16(hop.weight))) }
        }
        guard let first = present.first else { return [guardRoute] }
        let id = present.count == 1 ? first.id : group(present, behind: key, from: context.origin)
        return [Attributed(.via(id, key), from: context.origin), guardRoute]
    }

    /// The nexthop that leads from this host to what a route names; nil where nothing is there.
    private mutating func nexthop(to target: ResolvedNextHop.Target) -> NexthopID? {
        switch target {
        case .interface(let interface): nexthop(toGateway: interface)
        }
    }

    private mutating func group(
        _ members: [NexthopGroup.Member], behind route: Route.Key, from origin: Origin
    ) -> NexthopID {
        let algorithm = NexthopGroup.Algorithm.resilient(
            buckets: Self.buckets(forMembers: members.count), idleTimer: Self.idleTimer)
        let members = members.sorted { $0.id < $1.id }
        let id = numbering.group(of: route, algorithm)
        let body = Nexthop.Body.group(NexthopGroup(members: members, algorithm: algorithm))
        intent.host.nexthops.append(Attributed(Nexthop(id: id, body: body), from: origin))
        return id
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

    /// Of a list that is sorted by key.
    func position(of key: Route.Key) -> Int? {
        let position = partitionPoint { $0.object.key < key }
        return position < count && self[position].object.key == key ? position : nil
    }
}

/// The addresses of a VPC's CIDRs for which a custom route is the longer match; asked for in ascending order.
struct OverriddenAddresses {
    private let prefixes: [IPPrefix]
    private var next = 0
    private var last: IPAddress?

    init(_ destinations: [IPPrefix], of vpc: ResolvedVPC) {
        prefixes = destinations.filter { route in vpc.cidrs.contains { $0.contains(route) } }.sorted()
    }

    mutating func contains(_ address: IPAddress) -> Bool {
        while next < prefixes.count, prefixes[next].address <= address {
            last = max(last ?? prefixes[next].last, prefixes[next].last)
            next += 1
        }
        return last.map { address <= $0 } ?? false
    }
}
