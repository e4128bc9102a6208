import KernelModel
import VPCModel
import VPCTopology
import KernelNames
import NFTables

/// One routing context of a VPC on this host: a VRF and its table.
struct Context: Equatable {
    /// A number of `Topology.vpcs`.
    var vpc: Int
    /// A number of `Topology.routeTables`; nil is the main table: local routes only.
    var routeTable: Int?
    var table: TableID
    var device: InterfaceName
    var origin: Origin

    struct Key: Hashable {
        var vpc: Int
        var routeTable: Int?
    }
}

extension Topology {
    /// None in the main table.
    func customRoutes(of context: Context) -> [ResolvedRoute] {
        context.routeTable.map { routeTables[$0].routes } ?? []
    }

    func hasInterface(of vpc: Int, on host: Int) -> Bool {
        interfaces(of: vpc, on: host).first { _ in true } != nil
    }

    /// Whether custom routes may be the longer match for interfaces of the VPC.
    func hasCustomRoutesInside(_ context: Context) -> Bool {
        customRoutes(of: context).contains { route in
            vpcs[context.vpc].cidrs.contains { $0.contains(route.destination) }
        }
    }
}

/// Where packets are routed: a VPC's main table, and route tables with routes of their own.
struct RoutingContexts: HostFeature {
    func contribute(to host: inout HostCompiler) { host.addContexts() }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        for context in host.contexts {
            let zone = host.zone(ofVPC: context.vpc)
            firewall.deviceZones.add(context.device, data: zone, origin: context.origin)
            if context.routeTable == nil {
                let receiver = Conventions.receiver(host.topology.vpcs[context.vpc].id)
                firewall.deviceZones.add(receiver, data: zone, origin: context.origin)
            }
        }
    }
}

extension HostCompiler {
    /// A VRF for the main table of every VPC that has a guest here, where its tunnel delivers, and one for each route
    /// table with routes of its own that a guest here uses.
    mutating func addContexts() {
        var wanted: [Int: Set<Int>] = [:]
        for index in attached {
            let interface = topology.interfaces[index]
            wanted[interface.vpc, default: []].formUnion(routeTable(of: interface).map { [$0] } ?? [])
        }
        for vpc in topology.inOrder(wanted.keys, of: \.vpcs) {
            addContext(vpc: vpc, routeTable: nil)
            for table in topology.inOrder(wanted[vpc] ?? [], of: \.routeTables) {
                addContext(vpc: vpc, routeTable: table)
            }
            addReceiver(of: vpc)
        }
    }

    /// The route table that needs a context of its own for this interface.
    func routeTable(of interface: ResolvedInterface) -> Int? {
        guard let table = topology.subnets[interface.subnet].routeTable, !topology.routeTables[table].routes.isEmpty
        else { return nil }
        return table
    }

    func context(of interface: ResolvedInterface) -> Context? {
        context(vpc: interface.vpc, routeTable: routeTable(of: interface))
    }

    /// The conntrack zone of a VPC: tenants with equal addresses never share a connection. It is the position of the main
    /// table's number, so it lives where that lives, in the kernel.
    func zone(ofVPC vpc: Int) -> NFZone {
        let table = context(vpc: vpc, routeTable: nil)?.table ?? TableID(Conventions.tables.lowerBound)
        return NFZone(UInt16(truncatingIfNeeded: table.rawValue - Conventions.tables.lowerBound + 1))
    }

    func context(vpc: Int, routeTable: Int?) -> Context? {
        contextIndexes[Context.Key(vpc: vpc, routeTable: routeTable)].map { contexts[$0] }
    }

    private mutating func addContext(vpc: Int, routeTable: Int?) {
        let resource: ResourceReference
        let origin: Origin
        if let routeTable {
            resource = ResourceReference(.routeTable, topology.routeTables[routeTable].name)
            origin = Origin(.routeTable, routeTable)
        } else {
            resource = ResourceReference(.vpc, topology.vpcs[vpc].name)
            origin = Origin(.vpc, vpc)
        }
        let (table, device) = addVRF(alias: Conventions.alias(resource), from: origin)
        contextIndexes[Context.Key(vpc: vpc, routeTable: routeTable)] = contexts.count
        contexts.append(Context(vpc: vpc, routeTable: routeTable, table: table, device: device, origin: origin))
    }

    mutating func addVRF(alias: String, from origin: Origin) -> (TableID, InterfaceName) {
        let table = numbering.table(forAlias: alias)
        let link = Link(
            name: Conventions.vrf(table), kind: .vrf(table: table), alias: alias, group: Conventions.LinkGroup.vrf,
            ipv4: IPv4DeviceConfiguration(forwarding: true))
        intent.host.links.append(Attributed(link, from: origin))
        return (table, link.name)
    }

    /// What arrives with the VPC's key is delivered by its main table, which has no custom routes: what a gateway sends
    /// on must not be sent to the gateway once more.
    private mutating func addReceiver(of vpc: Int) {
        guard let main = context(vpc: vpc, routeTable: nil) else { return }
        let id = topology.vpcs[vpc].id
        let alias = Conventions.alias(ResourceReference(.vpc, topology.vpcs[vpc].name))
        addReceiver(Conventions.receiver(id), key: id.rawValue, master: main.device, alias: alias, from: main.origin)
    }

    mutating func addReceiver(
        _ name: InterfaceName, key: UInt32, master: InterfaceName, alias: String, from origin: Origin
    ) {
        let tunnel = GRETunnel(
            local: underlayAddress, key: key, ttl: Conventions.tunnelTTL, underlay: tunnelDevice)
        let link = Link(
            name: name, kind: .gre(tunnel), alias: alias, master: master, group: Conventions.LinkGroup.overlayReceive,
            mtu: overlayMTU, ipv4: IPv4DeviceConfiguration(forwarding: true, acceptLocal: true), ipv6Disabled: true)
        intent.host.links.append(Attributed(link, from: origin))
    }
}
