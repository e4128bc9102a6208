import VPCModel
import VPCTopology

extension ExternalNetwork: ListedResource {
    static func columns(in topology: Topology) -> [Column<ExternalNetwork>] {
        [
            Column("POOLS") { $0.pools.map(\.description).joined(separator: ",") },
            Column("NEXT-HOP") { "\($0.nextHop)" },
            Column("GATEWAYS") { $0.gateways.map { "\($0.host)/\($0.device)" }.joined(separator: ",") },
            Column("UPLINK-ADDRESS", in: [.wide]) { "\($0.uplinkAddress)" },
            Column("ACTIVE", in: [.wide]) { PairStatuses.active(ofNetwork: $0.metadata.name, topology) },
            Column("STANDBY", in: [.wide]) { PairStatuses.standby(ofNetwork: $0.metadata.name) },
            Column("MODE", in: [.wide]) { $0.gateways.map(\.mode.rawValue).joined(separator: ",") },
        ]
    }
}
