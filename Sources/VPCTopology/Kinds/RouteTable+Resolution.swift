internal import VPCModel

extension RouteTable: ResolvableResource {
    static let resolution = [
        ResolutionStep(.routeTables) { $0.resolveRouteTables() }, ResolutionStep(.routes) { $0.resolveRoutes() },
    ]

    static var elements: KeyPath<Topology, Slots<ResolvedRouteTable>> { \.routeTables }
}
