import Console
import VPCModel
import VPCTopology

extension SecurityGroup: ListedResource {
    static func columns(in topology: Topology) -> [Column<SecurityGroup>] {
        [
            Column("VPC") { $0.vpc },
            Column("INGRESS") { "\($0.ingress.count)" },
            Column("EGRESS") { "\($0.egress.count)" },
        ]
    }

    static var ruleTable: (@Sendable (RuleTable, [SecurityGroup]) -> TextTable)? { { $0.table(of: $1) } }
}
