import VPCModel
import VPCTopology

extension LoadBalancer: ListedResource {
    static func columns(in topology: Topology) -> [Column<LoadBalancer>] {
        let groups = Dictionary(uniqueKeysWithValues: topology.targetGroups.map { ($0.name, $0) })
        return [
            Column("VPC") { $0.vpc },
            Column("TYPE") { $0.type.rawValue },
            Column("ADDRESS") { balancer in
                let addresses = [balancer.inside?.address].compactMap(\.self) + balancer.instances.map(\.address)
                return addresses.isEmpty ? "-" : addresses.map(\.description).joined(separator: ",")
            },
            Column("LISTENERS") { $0.listeners.map { "\($0.transport.rawValue)/\($0.port)" }.joined(separator: ",") },
            Column("TARGET-GROUPS") { $0.namedGroups.joined(separator: ",") },
            Column("TARGETS") { balancer in
                "\(Set(balancer.namedGroups.flatMap { groups[$0]?.targets.map(\.interface) ?? [] }).count)"
            },
            Column("AFFINITY", in: [.wide]) { $0.affinity.rawValue },
            Column("SUBNET", in: [.wide]) { $0.inside?.subnet ?? "-" },
        ]
    }
}

extension LoadBalancer {
    /// Each once, in the order of the listeners.
    fileprivate var namedGroups: [String] {
        var names: [String] = []
        for name in listeners.flatMap({ [$0.targetGroup].compactMap(\.self) + $0.rules.map(\.targetGroup) })
        where !names.contains(name) {
            names.append(name)
        }
        return names
    }
}
