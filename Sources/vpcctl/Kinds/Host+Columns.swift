import VPCModel
import VPCTopology

extension Host: ListedResource {
    static func columns(in topology: Topology) -> [Column<Host>] {
        [
            Column("UNDERLAY") { "\($0.underlayAddress)" },
            Column("REGION") { $0.region ?? "-" },
            Column("ZONE") { $0.zone ?? "-" },
            Column("DEVICE", in: [.wide]) { $0.underlayDevice ?? "-" },
        ]
    }
}
