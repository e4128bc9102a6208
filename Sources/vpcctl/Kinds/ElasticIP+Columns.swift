import VPCModel
import VPCTopology

extension ElasticIP: ListedResource {
    static func columns(in topology: Topology) -> [Column<ElasticIP>] {
        let resolved = Dictionary(uniqueKeysWithValues: topology.elasticIPs.map { ($0.name, $0) })
        return [
            Column("EXTERNAL-NETWORK") { $0.externalNetwork },
            Column("ADDRESS") { elastic in
                (elastic.address ?? resolved[elastic.metadata.name]?.address).map { "\($0)" } ?? "-"
            },
            Column("INTERFACE") { $0.interface ?? "-" },
            Column("MODE") { $0.mode.rawValue },
            Column("VPC", in: [.wide]) { address in
                resolved[address.metadata.name]?.interface.map { topology.vpcs[topology.interfaces[$0].vpc].name }
                    ?? "-"
            },
            Column("HOST", in: [.wide]) { address in
                resolved[address.metadata.name].map {
                    topology.hosts[topology.host(ofNetwork: $0.network)].metadata.name
                } ?? "-"
            },
            Column("NAT-GATEWAY", in: [.wide]) { address in
                resolved[address.metadata.name]?.gateway.map { topology.natGateways[$0].name } ?? "-"
            },
        ]
    }
}
