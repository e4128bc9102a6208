import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let natGatewayLeg = FirewallFamily("leg", of: .one(.natGateway), roles: ["", "stateless"], tightens: [])
    static let natGateways = FirewallFamily(
        "to_nat_gateway", "external_invalid", "unsolicited",
        "untranslated", "to_nat_gateway_denied", tightens: [])
}

/// NAT gateways, in one pass: what arrives with a gateway's key is routed in a VRF of the gateway's, from which it leaves by
/// the uplink with a public address. What comes back is led into that VRF where it arrives, by the one address that it has.
///
/// A gateway has a zone of its own: a guest on its host, whose packets leave by a tunnel to the host itself, has a
/// connection in the VPC's zone already, and the packet inside the tunnel is another's.
struct NATGateways: HostFeature {
    let names = [FirewallFamily.natGatewayLeg, .natGateways]

    /// Echo requests to gateways' own addresses that are answered in a second.
    private static let echoRate = NFLimit(100, burst: 100)

    /// Which is a leg or receives what is for a gateway: 50 and 51, in one comparison.
    static let isOfGateway = NFStatement.match(
        .iifgroup, masked: ~1, .equal, Conventions.LinkGroup.leg)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        if case .edge = piece {
            // Guests of the gateway's own host come by the tunnel to itself.
            part.rows(of: Tunnels.hosts, in: FirewallTables.underlay) {
                $0.add(Conventions.loopback, host.underlayAddress, origin: piece.origin)
            }
        }
        guard case .context(let key) = piece, let number = key.natGateway, let context = host.contexts[key] else {
            return
        }
        let gateway = host.topology.natGateways[number]
        addDevices(of: gateway, context, to: &part, host)
        addAddresses(of: gateway, context, to: &part, host)
    }

    private func addDevices(
        of gateway: ResolvedNATGateway, _ context: Context, to part: inout Part, _ host: HostCompiler
    ) {
        let (origin, alias, zone) = (context.origin, context.alias, host.zone(of: context.table))
        let receiver = Conventions.receiver(of: gateway)
        let leg = Conventions.leg(context.table)
        part.links.append(host.vrf(context.table, alias: alias, group: Conventions.LinkGroup.gatewayVRF, from: origin))
        let own = Address(device: context.device, address: gateway.address, prefixLength: 32)
        part.addresses.append(Attributed(own, from: origin))
        part.links.append(
            host.receiver(
                receiver, key: gateway.key.rawValue, master: context.device, alias: alias,
                group: Conventions.LinkGroup.gatewayReceive, at: host.endpoint(of: gateway), from: origin))
        let (near, far) = leg.links(alias: alias, master: context.device)
        part.links += [Attributed(near, from: origin), Attributed(far, from: origin)]
        part.rows(of: RoutingContexts.zones) { zones in
            for device in [receiver, leg.near, context.device] { zones.add(device, data: zone, origin: origin) }
        }
        var table = NFTableIntent(FirewallTables.devices)
        let entry = FirewallName(.natGatewayLeg, gateway.name)
        table.chain(entry.description, origin: origin) {
            Self.refuseInsiders(of: context.vpc, in: host.topology, &$0)
            $0.rule(.set(.etherDestination, Conventions.legMAC), .forward(to: leg.farIndex))
        }
        // To elastic IPs without connections.
        table.chain(entry.with(role: "stateless").description, origin: origin) {
            Self.refuseInsiders(of: context.vpc, in: host.topology, &$0)
            $0.rule(.accept)
        }
        part.tables.append(table)
    }

    /// Nobody outside has an address of the VPC, or of one that it has a peering with: rules of groups that name these
    /// are for those inside.
    private static func refuseInsiders(of vpc: Int, in topology: Topology, _ chain: inout NFChainBuilder) {
        for block in topology.insideBlocks(ofVPC: vpc) {
            chain.rule(.match(.ipSource, block), .counter("inside_source"), .drop)
        }
    }

    /// What is its alone comes to it, and may go out.
    private func addAddresses(
        of gateway: ResolvedNATGateway, _ context: Context, to part: inout Part, _ host: HostCompiler
    ) {
        let origin = context.origin
        guard case .addresses(let addresses) = gateway.pool, let uplink = host.uplinks[gateway.network],
            uplink.isPresent
        else { return }
        let leg = FirewallName(.natGatewayLeg, gateway.name).description
        for address in addresses {
            part.rows(of: ExternalUplinks.legs, in: FirewallTables.devices) {
                $0.add(address, verdict: .goto(leg), origin: origin)
            }
            part.rows(of: ExternalUplinks.sources, in: FirewallTables.devices) { $0.add(address, origin: origin) }
            // An ipvlan gets only what is for its own addresses.
            guard uplink.mode == .ipvlan else { continue }
            part.addresses.append(
                Attributed(Address(device: uplink.device, address: address, prefixLength: 32), from: origin))
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        guard host.traits.hasNATGateways else { return }
        firewall.counters("external_invalid", "unsolicited", "untranslated", "to_nat_gateway_denied")
        firewall.rule(at: BeforeRouting.secondPass, .match(.iifgroup, LinkGroups.gatewayVRF), .accept)
        firewall.rules(at: BeforeRouting.received) { chain in
            chain.rule(Self.isOfGateway, .set(.ctZone, map: "dev_zone", .iifname), .accept)
            chain.rule(Self.isOfGateway, .drop)
        }
        firewall.rule(
            at: NATBeforeRouting.unsolicited, .match(.iifgroup, LinkGroups.leg), .counter("unsolicited"), .drop)
        firewall.rule(at: Forwarded.external, .match(.iifgroup, LinkGroups.gatewayVRF), .goto(FromGatewayVRF.chain))
        firewall.rule(at: FromGatewayVRF.invalid, .match([.invalid]), .counter("external_invalid"), .drop)
        firewall.rule(at: FromGatewayVRF.accept, .accept)
        // Only the first packet of a connection comes here: it costs nothing.
        firewall.rule(
            at: NATAfterRouting.untranslated, .match(.oifgroup, LinkGroups.uplink),
            .match(.iifgroup, LinkGroups.gatewayVRF), .counter("untranslated"), .drop)
        firewall.rule(at: ToHost.gateways, .match(.iifgroup, LinkGroups.gatewayVRF), .goto("to_nat_gateway"))
        firewall.filter.chain("to_nat_gateway", origin: firewall.origin) { chain in
            chain.rule(.match(.icmpType, NFICMPType(8)), .limit(Self.echoRate), .accept)
            chain.rule(.counter("to_nat_gateway_denied"), .drop)
        }
    }
}

extension Conventions {
    /// What receives the key of a NAT gateway.
    static func receiver(of gateway: ResolvedNATGateway) -> InterfaceName {
        gatewayReceiver(gateway.key.rawValue & 0x7FFF_FFFF)
    }
}

/// A pair of devices by which what comes from an uplink gets into the VRF that it is for.
struct GatewayLeg {
    let near: InterfaceName
    let far: InterfaceName
    let farIndex: UInt32

    func links(alias: String, master: InterfaceName) -> (near: Link, far: Link) {
        let pair = { (peer: InterfaceName, isFar: Bool) in
            Link.Kind.pair(PairEnd(peer: peer, farIndex: self.farIndex, isFar: isFar))
        }
        let near = Link(
            name: near, kind: pair(far, false), alias: alias, master: master, group: Conventions.LinkGroup.leg,
            hardwareAddress: Conventions.legMAC,
            ipv4: IPv4DeviceConfiguration(forwarding: true, acceptLocal: true), ipv6Disabled: true)
        let far = Link(
            name: far, kind: pair(near.name, true), alias: alias + PairEnd.farNote,
            ipv4: IPv4DeviceConfiguration(), ipv6Disabled: true)
        return (near, far)
    }
}

extension HostCompiler {
    /// The nexthop that hands packets to a NAT gateway, on this host as well by the tunnel.
    mutating func nexthop(toNATGateway number: Int) -> NexthopID {
        let gateway = topology.natGateways[number]
        return tunnel(
            to: endpoint(of: gateway) ?? topology.hosts[topology.host(of: gateway)].underlayAddress,
            key: gateway.key.rawValue, from: Origin(.natGateway, number))
    }

    /// What leaves the VRF of a NAT gateway: `unreachable` for what no provider is to see, all else to the provider.
    func externalRoutes(of context: Context, _ number: Int) -> [Attributed<Route>] {
        let (network, origin) = (topology.natGateways[number].network, context.origin)
        let cidrs = topology.vpcs[context.vpc].cidrs
        var routes = Conventions.unroutable.filter { !cidrs.contains($0) }.map {
            Attributed(Route.unreachable(Route.Key(table: context.table, destination: $0)), from: origin)
        }
        let standard = Route.Key(table: context.table, destination: .defaultIPv4)
        if let uplink = uplinks[network], uplink.isPresent {
            let router = topology.externalNetworks[network].nextHop
            routes.append(Attributed(.gateway(router, device: uplink.device, standard), from: origin))
        }
        let last = Route.Key(table: context.table, destination: .defaultIPv4, metric: Conventions.lastMetric)
        return routes + [Attributed(.unreachable(last), from: origin)]
    }

    /// What an uplink answers for by ARP: the kernel does so for what it would pass on.
    func announcedRoutes(of context: Context, _ number: Int) -> [Attributed<Route>] {
        let gateway = topology.natGateways[number]
        guard let uplink = uplinks[gateway.network], uplink.isPresent, uplink.mode != .ipvlan,
            isFirst(ofSharing: gateway)
        else { return [] }
        return gateway.addresses.map {
            let key = Route.Key(table: .main, destination: IPPrefix($0))
            return Attributed(.link(context.device, key), from: context.origin)
        }
    }
}
