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
                    NextHop(interface: topology.interfaces[interface].name, weight: hop.weight)
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
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let table = resolver.topology.routeTables[number]
        resolver.index.routeTablesOfVPC.remove(number, from: table.vpc)
        for interface in table.routes.flatMap(\.nextHops).compactMap(\.interface) {
            resolver.leaveGateway(interface, of: number)
        }
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.index.subnetsOfRouteTable[number].map { NumberedResource(kind: .subnet, number: $0) }
    }

    func concerned(by new: RouteTable, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        vpc == new.vpc ? [] : Self.referrers(to: number, resolver)
    }
}
