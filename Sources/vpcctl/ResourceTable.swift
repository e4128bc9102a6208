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

    /// - Parameter statuses: Where an agent told them, by resource: what to write into the last columns.
    func table(
        of resources: [Resource], _ topology: Topology, statuses: [ResourceReference: ResourceStatus]? = nil
    ) -> TextTable {
        let resolved = ResolvedByName(kind, topology)
        var table = TextTable(header + (statuses == nil ? [] : ["STATUS"] + (isWide ? ["REASON"] : [])))
        table.rows = resources.map { resource in
            var cells = row(resource, resolved)
            if let statuses {
                let status = statuses[resource.reference]
                cells += [status?.phase ?? "-"] + (isWide ? [status?.reason ?? "-"] : [])
            }
            return cells
        }
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
        case .securityGroup, .networkACL: ["NAME", "VPC", "INGRESS", "EGRESS"]
        }
    }

    private func row(_ resource: Resource, _ resolved: ResolvedByName) -> [String] {
        switch resource {
        case .host(let host):
            return [host.metadata.name, "\(host.underlayAddress)", host.region ?? "-", host.zone ?? "-"]
                + (isWide ? [host.underlayDevice ?? "-"] : [])
        case .vpc(let vpc):
            return [vpc.metadata.name, "\(vpc.id)", vpc.cidrs.map(\.description).joined(separator: ",")]
        case .subnet(let subnet):
            let gateway = resolved.subnets[subnet.metadata.name]?.gateway
            return [subnet.metadata.name, subnet.vpc, "\(subnet.cidr)", subnet.routeTable ?? "main"]
                + (isWide ? [gateway.map { "\($0)" } ?? "-", subnet.zone ?? "-"] : [])
        case .routeTable(let table):
            let routes = isWide ? table.routes.map(\.summary).joined(separator: " ") : "\(table.routes.count)"
            return [table.metadata.name, table.vpc, routes]
        case .networkInterface(let interface):
            return row(interface, resolved.interfaces[interface.metadata.name])
        case .securityGroup(let group):
            return [group.metadata.name, group.vpc, "\(group.ingress.count)", "\(group.egress.count)"]
        case .networkACL(let acl):
            return [acl.metadata.name, acl.vpc, "\(acl.ingress.count)", "\(acl.egress.count)"]
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
        let more: [String] =
            resolved.map { ["\($0.mac)", "\($0.portName)", "\($0.sourceDestCheck)", "\($0.mtu)"] } ?? [
                "-", "-", "-", "-",
            ]
        return [interface.metadata.name, interface.subnet, interface.host, "\(interface.address)", attachment]
            + (isWide ? more : [])
    }
}

/// What the topology adds to the resources of one kind.
private struct ResolvedByName {
    var subnets: [String: ResolvedSubnet] = [:]
    var interfaces: [String: ResolvedInterface] = [:]

    init(_ kind: ResourceKind, _ topology: Topology) {
        switch kind {
        case .subnet: for subnet in topology.subnets { subnets[subnet.name] = subnet }
        case .networkInterface: for interface in topology.interfaces { interfaces[interface.name] = interface }
        default: break
        }
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
        case .sctp(let port): "sctp/\(port)"
        }
    }
}
