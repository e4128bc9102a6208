import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
public import VPCTopology

/// One routing context of a VPC on this host: a VRF and its table.
struct Context: Equatable, Sendable {
    /// A number of `Topology.vpcs`.
    var vpc: Int
    /// A number of `Topology.routeTables`; nil is the main table: local routes only.
    var routeTable: Int?
    /// A number of `Topology.natGateways`, of which it is the VRF.
    var natGateway: Int?
    var table: TableID
    var device: InterfaceName
    var alias: String
    var origin: Origin

    var key: Key { Key(vpc: vpc, routeTable: routeTable, natGateway: natGateway) }

    struct Key: Hashable, Sendable {
        var vpc: Int
        var routeTable: Int?
        var natGateway: Int?

        var isMain: Bool { routeTable == nil && natGateway == nil }

        var origin: Origin {
            if let natGateway { return Origin(.natGateway, natGateway) }
            return routeTable.map { Origin(.routeTable, $0) } ?? Origin(.vpc, vpc)
        }
    }
}

extension Topology {
    /// Those of the route table, and to the own addresses of NAT gateways.
    func customRoutes(of context: Context) -> [ResolvedRoute] {
        let own = context.routeTable.map { routeTables[$0].routes } ?? []
        let gateways = natGateways(ofVPC: context.vpc)
        if gateways.isEmpty { return own }
        return own
            + gateways.filter { $0 != context.natGateway }.map {
                ResolvedRoute(
                    destination: IPPrefix(natGateways[$0].address), nextHops: [ResolvedNextHop(.natGateway($0))])
            }.filter { route in !own.contains { $0.destination == route.destination } }
    }

    /// Whether a host has an interface of one of several VPCs.
    public func hasInterface(of vpcs: [Int], on host: Int) -> Bool {
        let all = interfacesOfHost[host]
        for vpc in vpcs {
            let place = all.partitionPoint { isVPC(interfaces[$0].vpc, before: vpc) }
            if place < all.count, interfaces[all[place]].vpc == vpc { return true }
        }
        return false
    }
}

/// Where packets are routed: a VPC's main table, and route tables with routes of their own.
struct RoutingContexts: HostFeature {
    /// Which zone a device speaks in: of receiving devices and VRFs.
    static let zones = NFSet("dev_zone", of: .interfaceName, to: .values(.zone), grows: true)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .context(let key) = piece, key.natGateway == nil, let context = host.contexts[key] else { return }
        let (zone, origin) = (host.zone(ofVPC: key.vpc), piece.origin)
        let alias = context.alias
        part.links.append(host.vrf(context.table, alias: alias, from: origin))
        part.rows(of: Self.zones) { $0.add(context.device, data: zone, origin: origin) }
        if key.routeTable != nil { return }
        // What arrives with the VPC's key is delivered by its main table, which has no custom routes: what a gateway
        // sends on must not be sent to the gateway once more.
        let id = host.topology.vpcs[key.vpc].id
        let receiver = Conventions.receiver(id)
        part.links.append(
            host.receiver(receiver, key: id.rawValue, master: context.device, alias: alias, from: origin))
        part.rows(of: Self.zones) { $0.add(receiver, data: zone, origin: origin) }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) { firewall.filter.sets.append(Self.zones) }
}

extension HostCompiler {
    /// The route table that needs a context of its own for this interface.
    func routeTable(of interface: ResolvedInterface) -> Int? {
        guard let table = topology.subnets[interface.subnet].routeTable, !topology.routeTables[table].routes.isEmpty
        else { return nil }
        return table
    }

    func context(of interface: ResolvedInterface) -> Context? {
        contexts[Context.Key(vpc: interface.vpc, routeTable: routeTable(of: interface))]
    }

    /// The conntrack zone of a VPC: tenants with equal addresses never share a connection. It is the position of the main
    /// table's number, so it lives where that lives, in the kernel.
    func zone(ofVPC vpc: Int) -> NFZone {
        let main = contexts[Context.Key(vpc: vpc, routeTable: nil)]
        return zone(of: main?.table ?? TableID(Conventions.tables.lowerBound))
    }

    func zone(of table: TableID) -> NFZone { NFZone(Conventions.zone(of: table)) }

    func alias(of key: Context.Key) -> String {
        if let gateway = key.natGateway {
            return Conventions.alias(ResourceReference(.natGateway, topology.natGateways[gateway].name))
        }
        let name = key.routeTable.map { ResourceReference(.routeTable, topology.routeTables[$0].name) }
        return Conventions.alias(name ?? ResourceReference(.vpc, topology.vpcs[key.vpc].name))
    }

    func vrf(
        _ table: TableID, alias: String, group: UInt32 = Conventions.LinkGroup.vrf, from origin: Origin
    ) -> Attributed<Link> {
        let link = Link(
            name: Conventions.vrf(table), kind: .vrf(table: table), alias: alias, group: group,
            ipv4: IPv4DeviceConfiguration(forwarding: true))
        return Attributed(link, from: origin)
    }

    func receiver(
        _ name: InterfaceName, key: UInt32, master: InterfaceName, alias: String,
        group: UInt32 = Conventions.LinkGroup.overlayReceive, at local: IPAddress? = nil, from origin: Origin
    ) -> Attributed<Link> {
        let tunnel = GRETunnel(
            local: local ?? underlayAddress, key: key, ttl: Conventions.tunnelTTL, underlay: traits.tunnelDevice)
        let link = Link(
            name: name, kind: .gre(tunnel), alias: alias, master: master, group: group,
            mtu: traits.overlayMTU, ipv4: IPv4DeviceConfiguration(forwarding: true, acceptLocal: true),
            ipv6Disabled: true)
        return Attributed(link, from: origin)
    }
}
