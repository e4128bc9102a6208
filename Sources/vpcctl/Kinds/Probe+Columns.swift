import VPCModel
import VPCTopology

extension Probe: ListedResource {
    static func columns(in topology: Topology) -> [Column<Probe>] {
        [
            Column("FROM") { $0.from.description },
            Column("TO") { $0.to.description },
            Column("PROTOCOL") { $0.transport.description },
            Column("EXPECT") { $0.expect.rawValue },
        ]
    }
}

extension Probe.Sender {
    fileprivate var description: String {
        switch self {
        case .interface(let name): name
        case .external(let address): "external:\(address)"
        }
    }
}

extension Probe.Target {
    fileprivate var description: String {
        switch self {
        case .interface(let name): name
        case .address(let address): "\(address)"
        case .external(let address): "external:\(address)"
        }
    }
}

extension Probe.Transport {
    fileprivate var description: String {
        switch self {
        case .icmp: "icmp"
        case .tcp(let port): "tcp/\(port)"
        case .udp(let port): "udp/\(port)"
        case .sctp(let port): "sctp/\(port)"
        }
    }
}
