internal import IPAddressing
public import VPCModel

extension StructuredValue {
    /// A resource as its manifest; fields that have their default are left out.
    public init(_ resource: Resource) {
        self = .object([
            Member("apiVersion", .string(DocumentReader.apiVersion)),
            Member("kind", .string(resource.kind.rawValue)),
            Member("metadata", .object(resource.metadata)),
            Member("spec", .object(resource.spec)),
        ])
    }

    /// Several resources as one document, which can be read back.
    public init(list resources: [Resource]) {
        self = .object([
            Member("apiVersion", .string(DocumentReader.apiVersion)),
            Member("kind", .string(DocumentReader.listKind)),
            Member("items", .list(resources.map(StructuredValue.init))),
        ])
    }

    fileprivate static func object(_ metadata: Metadata) -> StructuredValue {
        var members = [Member("name", .string(metadata.name))]
        for (name, map) in [("labels", metadata.labels), ("annotations", metadata.annotations)] where !map.isEmpty {
            members.append(
                Member(name, .object(map.sorted { $0.key < $1.key }.map { Member($0.key, .string($0.value)) })))
        }
        return .object(members)
    }
}

/// Resources as text that `ManifestSet` reads back.
public enum ManifestText {
    /// One document per resource, each after a line `---`.
    public static func yaml(_ resources: [Resource]) -> String {
        resources.map { "---\n" + StructuredValue($0).yaml }.joined()
    }

    /// One object whose `items` are the resources; `kind: List`, as kubectl prints it.
    public static func json(_ resources: [Resource]) -> String { StructuredValue(list: resources).json }
}

extension Resource {
    fileprivate typealias Member = StructuredValue.Member

    fileprivate var spec: [Member] {
        switch value {
        case let host as Host: Self.spec(host)
        case let vpc as VPC: Self.spec(vpc)
        case let subnet as Subnet: Self.spec(subnet)
        case let table as RouteTable: Self.spec(table)
        case let interface as NetworkInterface: Self.spec(interface)
        case let group as SecurityGroup: group.spec
        case let acl as NetworkACL: acl.spec
        case let probe as Probe: Self.spec(probe)
        default: []
        }
    }

    private static func text(_ name: String, _ value: (any CustomStringConvertible)?) -> [Member] {
        value.map { [Member(name, .string("\($0)"))] } ?? []
    }

    private static func spec(_ host: Host) -> [Member] {
        let underlay = text("address", host.underlayAddress) + text("device", host.underlayDevice)
        let aggregation = host.aggregatesRoutes ? [Member("aggregateRoutes", true)] : []
        return [Member("underlay", .object(underlay))] + text("region", host.region) + text("zone", host.zone)
            + aggregation
    }

    private static func spec(_ vpc: VPC) -> [Member] {
        var members = [
            Member("id", .integer(Int(vpc.id.rawValue))),
            Member("cidrs", .list(vpc.cidrs.map { .string($0.description) })),
        ]
        if let log = vpc.denialLog {
            let rate = log.rate == DenialLog.defaultRate ? [] : [Member("rate", .integer(log.rate))]
            members.append(Member("logDenied", .object([Member("nflogGroup", .integer(Int(log.group)))] + rate)))
        }
        return members
    }

    private static func spec(_ subnet: Subnet) -> [Member] {
        text("vpc", subnet.vpc) + text("cidr", subnet.cidr) + text("gateway", subnet.gateway)
            + text("zone", subnet.zone)
            + text("routeTable", subnet.routeTable) + text("acl", subnet.acl)
    }

    private static func spec(_ table: RouteTable) -> [Member] {
        let routes = table.routes.map { route -> StructuredValue in
            let destination = text("destination", route.destination)
            switch route.target {
            case .blackhole: return .object(destination + [Member("blackhole", true)])
            case .nextHops(let hops): return .object(destination + [Member("nextHops", .list(hops.map(value)))])
            }
        }
        return text("vpc", table.vpc) + [Member("routes", .list(routes))]
    }

    private static func value(_ hop: NextHop) -> StructuredValue {
        .object(text("interface", hop.interface) + (hop.weight == 1 ? [] : [Member("weight", .integer(hop.weight))]))
    }

    private static func spec(_ interface: NetworkInterface) -> [Member] {
        var members =
            text("subnet", interface.subnet) + text("host", interface.host) + text("address", interface.address)
        members += text("mac", interface.mac)
        if !interface.sourceDestCheck { members.append(Member("sourceDestCheck", false)) }
        if !interface.securityGroups.isEmpty {
            members.append(Member("securityGroups", .list(interface.securityGroups.map { .string($0) })))
        }
        switch interface.attachment {
        case .namespace(let netns, let device):
            members.append(Member("attachment", .object(text("netns", netns) + text("device", device))))
        case .device(let device):
            members.append(Member("attachment", .object(text("device", device))))
        }
        if let mtu = interface.mtu { members.append(Member("mtu", .integer(mtu))) }
        return members
    }

    private static func spec(_ probe: Probe) -> [Member] {
        var members = text("from", probe.from)
        switch probe.to {
        case .interface(let name): members += text("to", name)
        case .address(let address): members += text("to", address)
        }
        switch probe.transport {
        case .icmp: members.append(Member("protocol", "icmp"))
        case .tcp(let port): members += [Member("protocol", "tcp"), Member("port", .integer(Int(port)))]
        case .udp(let port): members += [Member("protocol", "udp"), Member("port", .integer(Int(port)))]
        case .sctp(let port): members += [Member("protocol", "sctp"), Member("port", .integer(Int(port)))]
        }
        return members + text("expect", probe.expect.rawValue)
    }
}
