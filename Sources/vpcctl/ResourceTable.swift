import Console
import VPCModel
import VPCTopology

/// The columns of each kind.
struct ResourceTable {
    let kind: ResourceKind
    let isWide: Bool

    init(_ kind: ResourceKind, isWide: Bool) {
        self.kind = kind
        self.isWide = isWide
    }

    func table(of resources: [Resource], _ topology: Topology) -> TextTable {
        let interfaces = Dictionary(
            kind == .networkInterface ? topology.interfaces.map { ($0.name, $0) } : [],
            uniquingKeysWith: { first, _ in first })
        var table = TextTable(header)
        table.rows = resources.map { row($0, interfaces, topology) }
        return table
    }

    private var header: [String] {
        switch kind {
        case .host: ["NAME", "UNDERLAY", "REGION", "ZONE"] + (isWide ? ["DEVICE"] : [])
        case .vpc: ["NAME", "ID", "CIDRS"]
        case .subnet: ["NAME", "VPC", "CIDR", "ROUTE-TABLE"] + (isWide ? ["GATEWAY", "ZONE"] : [])
        case .routeTable: ["NAME", "VPC", "ROUTES"]
        case .networkInterface:
            ["NAME", "SUBNET", "HOST", "ADDRESS", "ATTACHMENT"]
                + (isWide ? ["MAC", "PORT", "SOURCE-DEST-CHECK", "MTU"] : [])
        case .probe: ["NAME", "FROM", "TO", "PROTOCOL", "EXPECT"]
        case .securityGroup, .networkACL: ["NAME"]
        }
    }

    private func row(
        _ resource: Resource, _ interfaces: [String: ResolvedInterface], _ topology: Topology
    ) -> [String] {
        switch resource {
        case .host(let host):
            return [host.metadata.name, "\(host.underlayAddress)", host.region ?? "-", host.zone ?? "-"]
                + (isWide ? [host.underlayDevice ?? "-"] : [])
        case .vpc(let vpc):
            return [vpc.metadata.name, "\(vpc.id)", vpc.cidrs.map(\.description).joined(separator: ",")]
        case .subnet(let subnet):
            let resolved = topology.subnets.first { $0.name == subnet.metadata.name }
            return [subnet.metadata.name, subnet.vpc, "\(subnet.cidr)", subnet.routeTable ?? "main"]
                + (isWide ? [resolved.map { "\($0.gateway)" } ?? "-", subnet.zone ?? "-"] : [])
        case .routeTable(let table):
            let routes = isWide ? table.routes.map(\.summary).joined(separator: " ") : "\(table.routes.count)"
            return [table.metadata.name, table.vpc, routes]
        case .networkInterface(let interface):
            return row(interface, interfaces[interface.metadata.name])
        case .probe(let probe):
            return [
                probe.metadata.name, probe.from, probe.to.description, probe.transport.description,
                probe.expect.rawValue,
            ]
        }
    }

    private func row(_ interface: NetworkInterface, _ resolved: ResolvedInterface?) -> [String] {
        let attachment =
            switch interface.attachment {
            case .namespace(let name, let device): "\(name)/\(device)"
            case .device(let device): device
            }
        let more = [
            resolved.map { "\($0.mac)" } ?? "-", resolved.map { "\($0.portName)" } ?? "-",
            "\(interface.sourceDestCheck)",
            resolved.map { "\($0.mtu)" } ?? "-",
        ]
        return [interface.metadata.name, interface.subnet, interface.host, "\(interface.address)", attachment]
            + (isWide ? more : [])
    }
}

extension CustomRoute {
    /// `0.0.0.0/0=>fw-a*3,fw-b`.
    fileprivate var summary: String {
        switch target {
        case .blackhole: "\(destination)=>blackhole"
        case .nextHops(let hops):
            "\(destination)=>"
                + hops.map { $0.weight == 1 ? $0.interface : "\($0.interface)*\($0.weight)" }.joined(separator: ",")
        }
    }
}

extension Probe.Target {
    fileprivate var description: String {
        switch self {
        case .interface(let name): name
        case .address(let address): "\(address)"
        }
    }
}

extension Probe.Transport {
    fileprivate var description: String {
        switch self {
        case .icmp: "icmp"
        case .tcp(let port): "tcp/\(port)"
        case .udp(let port): "udp/\(port)"
        }
    }
}
