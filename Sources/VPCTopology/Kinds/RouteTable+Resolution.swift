internal import IPAddressing
internal import VPCModel

extension RouteTable: ResolvableResource {
    static let resolution = [
        ResolutionStep(.routeTables) { $0.resolveRouteTables() }, ResolutionStep(.routes) { $0.resolveRoutes() },
    ]

    static func elements(of topology: Topology) -> Slots<ResolvedRouteTable> { topology.routeTables }
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<ResolvedRouteTable>) -> Result)
        -> Result
    {
        body(&topology.routeTables)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedRouteTable>) -> Result
    ) -> Result {
        body(&change.routeTables)
    }

    init(_ resolved: ResolvedRouteTable, in topology: Topology) {
        let routes = resolved.routes.map { route in
            let hops = route.nextHops.map { hop in
                switch hop.target {
                case .interface(let interface):
                    NextHop(
                        interface: topology.interfaces[interface].name, weight: hop.weight, liveness: hop.liveness)
                case .natGateway(let gateway): NextHop(.natGateway(topology.natGateways[gateway].name))
                case .peering(let peering): NextHop(.peering(topology.peerings[peering].name))
                }
            }
            return CustomRoute(destination: route.destination, target: hops.isEmpty ? .blackhole : .nextHops(hops))
        }
        self.init(metadata: Metadata(name: resolved.name), vpc: topology.vpcs[resolved.vpc].name, routes: routes)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let table = resolver.topology.routeTables[number]
        resolver.index.routeTablesOfVPC.insert(number, to: table.vpc)
        for interface in table.routes.flatMap(\.nextHops).compactMap(\.interface) {
            resolver.enterGateway(interface, of: number)
        }
        for gateway in table.natGateways { resolver.index.routeTablesOfNATGateway.insert(number, to: gateway) }
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let table = resolver.topology.routeTables[number]
        resolver.index.routeTablesOfVPC.remove(number, from: table.vpc)
        for interface in table.routes.flatMap(\.nextHops).compactMap(\.interface) {
            resolver.leaveGateway(interface, of: number)
        }
        for gateway in table.natGateways { resolver.index.routeTablesOfNATGateway.remove(number, from: gateway) }
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.index.subnetsOfRouteTable[number].map { NumberedResource(kind: .subnet, number: $0) }
    }

    func concerned(by new: RouteTable, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        vpc == new.vpc ? [] : Self.referrers(to: number, resolver)
    }
}

extension Resolver {
    /// Route tables without their routes: these name interfaces, which need subnets, which name route tables.
    fileprivate mutating func resolveRouteTables() {
        let routeTables = model.routeTables
        var found: [(vpc: Int, index: Int)] = []
        for (index, table) in routeTables.enumerated() {
            let vpc = number(of: VPC.self, table.vpc, for: table.reference, ["spec", "vpc"])
            if let vpc {
                found.append((vpc, index))
            } else {
                giveUp(table)
            }
        }
        found.sort {
            (topology.vpcs[$0.vpc].id, routeTables[$0.index].metadata.name)
                < (topology.vpcs[$1.vpc].id, routeTables[$1.index].metadata.name)
        }
        for entry in found {
            let table = routeTables[entry.index]
            let resolved = ResolvedRouteTable(name: table.metadata.name, vpc: entry.vpc, routes: [])
            let number = place(RouteTable.self, table.metadata.name, resolved)
            placedRouteTables.append((number, entry.index))
            suspectRouteTables.insert(number)
        }
    }
}

// What the tables say, once the interfaces are known.
extension Resolver {
    fileprivate mutating func resolveRoutes() {
        let routeTables = model.routeTables
        var warned: Set<Int> = []
        for (table, position) in placedRouteTables {
            let source = routeTables[position]
            let cidrs = topology.vpcs[topology.routeTables[table].vpc].cidrs
            var destinations: [IPPrefix: Int] = [:]
            var routes: [ResolvedRoute] = []
            for (number, route) in source.routes.enumerated() {
                let path: FieldPath = ["spec", "routes", .index(number)]
                if let first = destinations[route.destination] {
                    report(
                        "duplicate-destination", "there is another route to \(route.destination)",
                        hint: "name several next hops in one route to share its traffic", at: source.reference,
                        path + ["destination"],
                        related: Diagnostic.Related(
                            "the first one is here", at: source.reference,
                            ["spec", "routes", .index(first), "destination"]))
                } else {
                    destinations[route.destination] = number
                }
                if cidrs.block(containing: route.destination.address) == route.destination {
                    report(
                        "destination-is-local", "\(route.destination) is a CIDR block of VPC \(source.vpc) itself",
                        hint: "local routes always win; only a more specific destination can lead elsewhere",
                        at: source.reference, path + ["destination"],
                        related: Diagnostic.Related(
                            "the VPC's blocks are here", at: ResourceReference(.vpc, source.vpc), ["spec", "cidrs"]))
                }
                routes.append(
                    ResolvedRoute(
                        destination: route.destination,
                        nextHops: nextHops(of: route, in: table, source, path, warned: &warned)))
            }
            warnOfShadowedRoutes(in: source, cidrs)
            checkPeers(of: routes, in: source)
            routes.sort { $0.destination < $1.destination }
            topology.routeTables[table].routes = routes
            RouteTable.enter(table, &self)
        }
    }

    private mutating func warnOfShadowedRoutes(in table: RouteTable, _ cidrs: [IPPrefix]) {
        let destinations = table.routes.map(\.destination)
        // One mistake is one complaint.
        guard Set(destinations).count == destinations.count, Set(destinations).isDisjoint(with: cidrs) else { return }
        let shadowed = ShadowedRoutes(destinations, cidrs: cidrs)
        for (number, cause) in shadowed.causes.sorted(by: { $0.key < $1.key }) {
            let destination = destinations[number]
            let reason: String
            var hint = "remove it"
            switch cause {
            case .unforwarded(let block): reason = "no packet to \(block) is forwarded"
            case .prefixes(let parts):
                let own = parts.filter(cidrs.contains)
                let longer = parts.filter { !cidrs.contains($0) }
                let takers =
                    own.isEmpty
                    ? "longer destinations" : (longer.isEmpty ? "" : "longer destinations and ") + "the VPC's blocks"
                reason = "all of its addresses are in \(takers), " + listed(parts.map(\.description))
                if !own.isEmpty { hint += ": only a destination inside of a block leads elsewhere" }
            }
            warn(
                "shadowed-route", "no packet follows the route to \(destination): \(reason)", hint: hint,
                at: table.reference, ["spec", "routes", .index(number), "destination"],
                related: related(to: cause, in: table, destinations))
        }
    }

    /// The first route that takes of the traffic, or the VPC's blocks.
    private func related(
        to cause: ShadowedRoutes.Cause, in table: RouteTable, _ destinations: [IPPrefix]
    ) -> Diagnostic.Related? {
        guard case .prefixes(let parts) = cause else { return nil }
        if let first = destinations.firstIndex(where: parts.contains) {
            return Diagnostic.Related(
                "a longer one is here", at: table.reference, ["spec", "routes", .index(first), "destination"])
        }
        return Diagnostic.Related(
            "the VPC's blocks are here", at: ResourceReference(.vpc, table.vpc), ["spec", "cidrs"])
    }

    private mutating func nextHops(
        of route: CustomRoute, in table: Int, _ source: RouteTable, _ path: FieldPath, warned: inout Set<Int>
    ) -> [ResolvedNextHop] {
        guard case .nextHops(let hops) = route.target else { return [] }
        if hops.isEmpty {
            // Such a route can only be made by hand, and would turn into a blackhole.
            report("empty-list", "\(path).nextHops is empty", at: source.reference, path + ["nextHops"])
        }
        if hops.count > NextHop.maximumPerRoute {
            report(
                "too-many-next-hops",
                "the route to \(route.destination) has \(hops.count) next hops, more than \(NextHop.maximumPerRoute)",
                hint: "split the destination, or the interfaces among several tables", at: source.reference,
                path + ["nextHops", .index(NextHop.maximumPerRoute)])
        }
        var numbers: [Int: Int] = [:]
        var resolved: [(interface: Int, hop: NextHop)] = []
        for (number, hop) in hops.enumerated() {
            let name: String
            switch hop.target {
            case .interface(let interface): name = interface
            case .natGateway(let gateway):
                let target = natGateway(gateway, among: hops.count, of: table, source, path, number)
                if let target { return [ResolvedNextHop(.natGateway(target))] }
                continue
            case .peering(let peering):
                let hopPath = path + ["nextHops", .index(number), "peering"]
                let target = self.peering(
                    peering, for: route.destination, among: hops.count, of: table, source, hopPath)
                if let target { return [ResolvedNextHop(.peering(target))] }
                continue
            }
            let hopPath = path + ["nextHops", .index(number), "interface"]
            guard
                let index = self.number(of: NetworkInterface.self, name, for: source.reference, hopPath)
            else { continue }
            let interface = topology.interfaces[index]
            let vpc = interface.vpc
            guard vpc == topology.routeTables[table].vpc else {
                report(
                    "next-hop-other-vpc",
                    "the next hop \(name) is in VPC \(topology.vpcs[vpc].name),"
                        + " the route table in \(source.vpc)",
                    hint: "a next hop is an interface of the route table's VPC", at: source.reference, hopPath,
                    related: Diagnostic.Related(
                        "its subnet is set here", at: ResourceReference(.networkInterface, interface.name),
                        ["spec", "subnet"]))
                continue
            }
            if let first = numbers[index] {
                report(
                    "duplicate-next-hop", "\(name) is a next hop of \(route.destination) twice",
                    hint: "give it a larger weight instead", at: source.reference, hopPath,
                    related: Diagnostic.Related(
                        "the first one is here", at: source.reference, path + ["nextHops", .index(first), "interface"]))
                continue
            }
            numbers[index] = number
            resolved.append((index, hop))
            if interface.sourceDestCheck, warned.insert(index).inserted {
                warn(
                    "next-hop-checks-source",
                    "it is a next hop, but sourceDestCheck keeps it from forwarding other interfaces' packets",
                    hint: "set sourceDestCheck: false", at: ResourceReference(.networkInterface, interface.name),
                    ["spec", "sourceDestCheck"],
                    related: Diagnostic.Related("it is a next hop here", at: source.reference, hopPath))
            }
        }
        let ordered = resolved.sorted {
            topology.interfaces[$0.interface].address < topology.interfaces[$1.interface].address
        }
        return ordered.map {
            ResolvedNextHop(.interface($0.interface), weight: $0.hop.weight, liveness: $0.hop.liveness)
        }
    }

    /// A NAT gateway as the next hop of a route.
    private mutating func natGateway(
        _ name: String, among count: Int, of table: Int, _ source: RouteTable, _ path: FieldPath, _ position: Int
    ) -> Int? {
        let path = path + ["nextHops", .index(position), "natGateway"]
        guard let number = number(of: NATGateway.self, name, for: source.reference, path) else { return nil }
        guard count == 1 else {
            report(
                "next-hop-not-alone", "the NAT gateway \(name) is one of \(count) next hops",
                hint: "a NAT gateway is alone in its route: only interfaces share one", at: source.reference, path)
            return nil
        }
        let vpc = topology.natGateways[number].vpc
        guard vpc == topology.routeTables[table].vpc else {
            report(
                "next-hop-other-vpc",
                "the NAT gateway \(name) is in VPC \(topology.vpcs[vpc].name), the route table in \(source.vpc)",
                hint: "a next hop is of the route table's VPC", at: source.reference, path,
                related: Diagnostic.Related(
                    "its subnet is set here", at: ResourceReference(.natGateway, name), ["spec", "subnet"]))
            return nil
        }
        return number
    }

    /// Gives a route's target its key. Keys are hashes of names: two that are equal cannot be told apart on the wire.
    fileprivate mutating func enterGateway(_ number: Int, of table: Int) {
        index.routeTablesOfInterface.insert(table, to: number)
        let key = GatewayKey(interfaceName: topology.interfaces[number].name)
        if topology.interfaces[number].gatewayKey == nil {
            noteInterface(number)
            topology.interfaces[number].gatewayKey = key
        }
        if let gateway = index.natGateways[key] {
            reportCollision(
                of: key, ResourceReference(.networkInterface, topology.interfaces[number].name),
                ResourceReference(.natGateway, topology.natGateways[gateway].name))
        }
        noteBFD(of: number)
        guard let first = index.gateways.updateValue(number, forKey: key), first != number else { return }
        index.gateways[key] = first
        // Of the two, the one whose document comes later.
        let places = [number, first].map { number in placements.first { $0.number == number }?.index ?? 0 }
        let (one, two) = places[0] < places[1] ? (number, first) : (first, number)
        let (earlier, later) = (topology.interfaces[one].name, topology.interfaces[two].name)
        report(
            "gateway-key-collision", "as a next hop it has the key \(key), as \(earlier) has",
            hint: "rename one of them: the key is a hash of the name", at: ResourceReference(.networkInterface, later),
            ["metadata", "name"],
            related: Diagnostic.Related(
                "the other interface is here", at: ResourceReference(.networkInterface, earlier), ["metadata", "name"]))
    }

    /// Takes its key from an interface that no table leads to any more.
    fileprivate mutating func leaveGateway(_ number: Int, of table: Int) {
        index.routeTablesOfInterface.remove(table, from: number)
        noteBFD(of: number)
        guard !index.routeTablesOfInterface.has(number), let key = topology.interfaces[number].gatewayKey else {
            return
        }
        noteInterface(number)
        topology.interfaces[number].gatewayKey = nil
        if index.gateways[key] == number { index.gateways[key] = nil }
    }

    private mutating func noteBFD(of number: Int) {
        let speaksBFD = isAskedForBFD(number)
        guard topology.interfaces[number].speaksBFD != speaksBFD else { return }
        noteInterface(number)
        topology.interfaces[number].speaksBFD = speaksBFD
    }

    /// Whether one of the tables that lead to an interface says so.
    func isAskedForBFD(_ number: Int) -> Bool {
        index.routeTablesOfInterface[number].contains { table in
            topology.routeTables[table].routes.contains { route in
                route.nextHops.contains { $0.liveness == .bfd && $0.interface == number }
            }
        }
    }

    /// Notes what an interface was before.
    private mutating func noteInterface(_ number: Int) {
        let former = topology.interfaces[number]
        NetworkInterface.record(&change) { part in
            if part.changed[number] == nil, part.removed[number] == nil, !part.added.contains(number) {
                part.changed[number] = former
            }
        }
    }
}

extension ResolvedRouteTable: NamedInVPC {}

extension ResolvedRouteTable {
    fileprivate var natGateways: Set<Int> {
        Set(
            routes.flatMap(\.nextHops).compactMap { hop in
                if case .natGateway(let gateway) = hop.target { gateway } else { nil }
            })
    }
}
