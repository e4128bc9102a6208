import VPCModel
import VPCTopology

extension VPC: ListedResource {
    static func columns(in topology: Topology) -> [Column<VPC>] {
        [
            Column("ID") { "\($0.id)" },
            Column("CIDRS") { $0.cidrs.map(\.description).joined(separator: ",") },
        ]
    }
}
