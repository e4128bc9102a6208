import VPCModel
import VPCTopology

extension PeeringAcceptance: ListedResource {
    static func columns(in topology: Topology) -> [Column<PeeringAcceptance>] {
        [Column("PEERING") { $0.peering }, Column("ACCOUNT") { $0.account }]
    }
}
