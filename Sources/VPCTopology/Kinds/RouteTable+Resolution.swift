internal import VPCModel

extension RouteTable: ResolvableResource {
    static let resolution = [
        ResolutionStep(.routeTables) { $0.resolveRouteTables() }, ResolutionStep(.routes) { $0.resolveRoutes() },
    ]

    static func name(at position: Int, in topology: Topology) -> String? { topology.routeTables[position].name }
}
