import VPCModel
import VPCTopology

extension TargetGroup: ListedResource {
    static func columns(in topology: Topology) -> [Column<TargetGroup>] {
        let resolved = Dictionary(uniqueKeysWithValues: topology.targetGroups.map { ($0.name, $0) })
        return [
            Column("VPC") { $0.vpc },
            Column("PROTOCOL") { $0.transport.rawValue },
            Column("PORT") { "\($0.port)" },
            Column("TARGETS") { group in resolved[group.metadata.name].map { "\($0.targets.count)" } ?? "-" },
            Column("SELECTOR", in: [.wide]) { $0.members.text },
            Column("MEMBERS", in: [.wide]) { group in
                resolved[group.metadata.name].map { resolved in
                    resolved.targets.isEmpty
                        ? "-" : resolved.targets.map { topology.text(of: $0) }.joined(separator: ",")
                } ?? "-"
            },
        ]
    }
}

extension TargetGroup.Members {
    /// `app=web,tier=front`.
    fileprivate var text: String {
        switch self {
        case .interfaces: "-"
        case .selector(let labels):
            labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
        }
    }
}

extension Topology {
    /// `web1`, and where it has more than one share of the connections `web1*3`.
    fileprivate func text(of target: ResolvedTargetGroup.Target) -> String {
        interfaces[target.interface].name + (target.weight == 1 ? "" : "*\(target.weight)")
    }
}
