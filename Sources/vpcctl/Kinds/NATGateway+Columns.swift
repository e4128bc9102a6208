import VPCModel
import VPCTopology

extension NATGateway: ListedResource {
    static func columns(in topology: Topology) -> [Column<NATGateway>] {
        let resolved = Dictionary(uniqueKeysWithValues: topology.natGateways.map { ($0.name, $0) })
        return [
            Column("SUBNET") { $0.subnet },
            Column("ADDRESS") { "\($0.address)" },
            Column("EXTERNAL-NETWORK") { $0.externalNetwork },
            Column("PUBLIC-ADDRESSES") { $0.pool.text },
            Column("VPC", in: [.wide]) { gateway in
                resolved[gateway.metadata.name].map { topology.vpcs[$0.vpc].name } ?? "-"
            },
            Column("HOST", in: [.wide]) { gateway in
                resolved[gateway.metadata.name].map { resolved in
                    topology.externalNetworks[resolved.network].uplinks.map { topology.hosts[$0.host].metadata.name }
                        .joined(separator: ",")
                } ?? "-"
            },
            Column("ACTIVE", in: [.wide]) { PairStatuses.active(ofNetwork: $0.externalNetwork, topology) },
        ]
    }
}

extension PublicPool {
    /// `203.0.113.10,203.0.113.11`, `203.0.113.30:1024-5119`.
    fileprivate var text: String {
        switch self {
        case .addresses(let addresses): addresses.map(\.description).joined(separator: ",")
        case .shared(let shared): "\(shared.address):\(shared.ports.lowerBound)-\(shared.ports.upperBound)"
        }
    }
}
