import Console
import VPCModel
import VPCTopology

extension NetworkACL: ListedResource {
    static func columns(in topology: Topology) -> [Column<NetworkACL>] {
        [
            Column("VPC") { $0.vpc },
            Column("INGRESS") { "\($0.ingress.count)" },
            Column("EGRESS") { "\($0.egress.count)" },
        ]
    }

    static var ruleTable: (@Sendable (RuleTable, [NetworkACL]) -> TextTable)? { { $0.table(of: $1) } }
}
