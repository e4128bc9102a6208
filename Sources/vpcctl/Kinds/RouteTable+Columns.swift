import VPCModel
import VPCTopology

extension RouteTable: ListedResource {
    static func columns(in topology: Topology) -> [Column<RouteTable>] {
        [
            Column("VPC") { $0.vpc },
            Column("ROUTES", in: [.table]) { "\($0.routes.count)" },
            Column("ROUTES", in: [.wide]) { $0.routes.map(\.summary).joined(separator: " ") },
        ]
    }
}

extension CustomRoute {
    /// `0.0.0.0/0=>fw-a*3,fw-b?bfd`.
    fileprivate var summary: String {
        switch target {
        case .blackhole: "\(destination)=>blackhole"
        case .nextHops(let hops):
            "\(destination)=>"
                + hops.map(\.summary).joined(separator: ",")
        }
    }
}

extension NextHop {
    fileprivate var summary: String {
        target.name + (weight == 1 ? "" : "*\(weight)") + (liveness == .none ? "" : "?\(liveness.rawValue)")
    }
}
