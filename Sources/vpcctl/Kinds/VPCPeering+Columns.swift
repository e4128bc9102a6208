import VPCModel
import VPCTopology

extension VPCPeering: ListedResource {
    static func columns(in topology: Topology) -> [Column<VPCPeering>] {
        let resolved = Dictionary(uniqueKeysWithValues: topology.peerings.map { ($0.name, $0) })
        func prefixes(_ side: VPCPeering.Side) -> String {
            side.prefixes.isEmpty ? "all" : side.prefixes.map(\.description).joined(separator: ",")
        }
        return [
            Column("REQUESTER") { $0.requester.vpc },
            Column("ACCEPTER") { $0.accepter.vpc },
            Column("STATE") { peering in
                resolved[peering.metadata.name].map { $0.isAccepted ? "Accepted" : "Pending" } ?? "-"
            },
            Column("REQUESTER-PREFIXES", in: [.wide]) { prefixes($0.requester) },
            Column("ACCEPTER-PREFIXES", in: [.wide]) { prefixes($0.accepter) },
        ]
    }
}
