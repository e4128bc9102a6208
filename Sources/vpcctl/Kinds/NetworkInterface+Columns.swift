import VPCModel
import VPCTopology

extension NetworkInterface: ListedResource {
    static func columns(in topology: Topology) -> [Column<NetworkInterface>] {
        let resolved = Dictionary(uniqueKeysWithValues: topology.interfaces.map { ($0.name, $0) })
        /// What the topology adds.
        func wide(_ title: String, _ text: @escaping (ResolvedInterface) -> String) -> Column<NetworkInterface> {
            Column(title, in: [.wide]) { resolved[$0.metadata.name].map(text) ?? "-" }
        }
        func list(_ values: [some CustomStringConvertible]) -> String {
            values.isEmpty ? "-" : values.map(\.description).joined(separator: ",")
        }
        return [
            Column("SUBNET") { $0.subnet },
            Column("HOST") { $0.host },
            Column("ADDRESS") { interface in
                (interface.address ?? resolved[interface.metadata.name]?.address).map { "\($0)" } ?? "-"
            },
            Column("ATTACHMENT") { $0.attachment.summary },
            wide("ADDRESS-IS") { $0.hasChosenAddress ? "chosen" : "stated" },
            wide("FURTHER-ADDRESSES") { list($0.furtherAddresses) },
            wide("PREFIXES") { list($0.prefixes) },
            wide("MAC") { "\($0.mac)" },
            wide("PORT") { "\($0.portName)" },
            wide("SOURCE-DEST-CHECK") { "\($0.sourceDestCheck)" },
            wide("MTU") { "\($0.mtu)" },
        ]
    }
}

extension NetworkInterface.Attachment {
    fileprivate var summary: String {
        switch self {
        case .namespace(let name, let device): "\(name)/\(device)"
        case .device(let device): device
        }
    }
}
