import VPCModel
import VPCTopology

extension Subnet: ListedResource {
    static func columns(in topology: Topology) -> [Column<Subnet>] {
        let gateways = Dictionary(uniqueKeysWithValues: topology.subnets.map { ($0.name, $0.gateway) })
        return [
            Column("VPC") { $0.vpc },
            Column("CIDR") { "\($0.cidr)" },
            Column("ROUTE-TABLE") { $0.routeTable ?? "main" },
            Column("GATEWAY", in: [.wide]) { gateways[$0.metadata.name].map { "\($0)" } ?? "-" },
            Column("ZONE", in: [.wide]) { $0.zone ?? "-" },
        ]
    }
}
