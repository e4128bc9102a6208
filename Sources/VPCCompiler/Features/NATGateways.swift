public import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
public import VPCTopology

extension FirewallFamily {
    static let natGatewayLeg = FirewallFamily("leg", of: .one(.natGateway), tightens: [])
    static let natGateways = FirewallFamily(
        "nat_address", "nat_addresses", "nat_address_low", "nat_addresses_low", "nat_address_high",
        "nat_addresses_high", "from_gateway_vrf", "to_nat_gateway", "external_invalid", "unsolicited",
        "untranslated", "to_nat_gateway_denied", tightens: [])
}

/// NAT gateways, in one pass: what arrives with a gateway's key is routed in a VRF of the gateway's, from which it leaves by
/// the uplink with a public address. What comes back is led into that VRF where it arrives, by the one address that it has.
///
/// A gateway has a zone of its own: a guest on its host, whose packets leave by a tunnel to the host itself, has a
/// connection in the VPC's zone already, and the packet inside the tunnel is another's.
struct NATGateways: HostFeature {
    let names = [FirewallFamily.natGatewayLeg, .natGateways]

    private static let whole = NFSet("nat_address", of: .interfaceName, to: .values(.ipv4Address), grows: true)
    /// Of gateways with several addresses: by the VRF and a hash of the inside address.
    private static let several = NFSet(
        "nat_addresses", of: .interfaceName, .mark, to: .values(.ipv4Address), grows: true)
    /// So many places share the addresses of one gateway, as evenly as they can.
    static let places: UInt32 = 256
    static let seed: UInt32 = 0x5EED_0A7A

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
        addTranslations(of: gateway, context, to: &part, host)
    }

    private func addDevices(
        of gateway: ResolvedNATGateway, _ context: Context, to part: inout Part, _ host: HostCompiler
    ) {
        let (origin, alias, zone) = (context.origin, context.alias, host.zone(of: context.table))
        let receiver = Conventions.gatewayReceiver(gateway.key.rawValue & 0x7FFF_FFFF)
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
        table.chain(FirewallName(.natGatewayLeg, gateway.name).description, origin: origin) {
            $0.rule(.set(.etherDestination, Conventions.legMAC), .forward(to: leg.farIndex))
        }
        part.tables.append(table)
    }

    private func addTranslations(
        of gateway: ResolvedNATGateway, _ context: Context, to part: inout Part, _ host: HostCompiler
    ) {
        let origin = context.origin
        if gateway.addresses.count == 1 {
            let whole = Self.whole.of(host.portHalf(of: gateway))
            part.rows(of: whole) { $0.add(context.device, data: gateway.addresses[0], origin: origin) }
        } else {
            part.rows(of: Self.several.of(host.portHalf(of: gateway))) { set in
                for place in 0..<Self.places {
                    let address = gateway.address(ofPlace: place)
                    set.add(context.device, NFMark(place), data: address, origin: origin)
                }
            }
        }
        guard let uplink = host.uplinks[gateway.network], uplink.isPresent else { return }
        let leg = FirewallName(.natGatewayLeg, gateway.name).description
        for address in gateway.addresses {
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
        for half in host.traits.portHalves { firewall.filter.sets += [Self.whole.of(half), Self.several.of(half)] }
        firewall.rule(at: BeforeRouting.secondPass, .match(.iifgroup, LinkGroups.gatewayVRF), .accept)
        firewall.rules(at: BeforeRouting.received) { chain in
            chain.rule(Self.isOfGateway, .set(.ctZone, map: "dev_zone", .iifname), .accept)
            chain.rule(Self.isOfGateway, .drop)
        }
        firewall.rule(
            at: NATBeforeRouting.unsolicited, .match(.iifgroup, LinkGroups.leg), .counter("unsolicited"), .drop)
        firewall.rule(at: Forwarded.external, .match(.iifgroup, LinkGroups.gatewayVRF), .goto("from_gateway_vrf"))
        firewall.filter.chain("from_gateway_vrf", origin: firewall.origin) { chain in
            chain.rule(.match([.invalid]), .counter("external_invalid"), .drop)
            chain.rule(.accept)
        }
        addSources(host.traits.portHalves, to: &firewall)
        firewall.rule(at: ToHost.gateways, .match(.iifgroup, LinkGroups.gatewayVRF), .goto("to_nat_gateway"))
        firewall.filter.chain("to_nat_gateway", origin: firewall.origin) { chain in
            chain.rule(.match(.icmpType, NFICMPType(8)), .limit(Self.echoRate), .accept)
            chain.rule(.counter("to_nat_gateway_denied"), .drop)
        }
    }

    /// The public addresses of gateways as sources.
    static func addSources(
        _ halves: [PortHalf], where conditions: [NFStatement], to chain: inout NFChainBuilder
    ) {
        for half in halves {
            chain.rule(
                conditions + [.translate(.source, map: whole.of(half).name, .iifname, toPorts: half.ports)])
            chain.rule(
                conditions + [
                    .translate(
                        .source, map: several.of(half).name, .iifname, by: NFHash(modulus: places, seed: seed),
                        of: .ipSource, toPorts: half.ports)
                ])
        }
    }

    private func addSources(_ halves: [PortHalf], to firewall: inout Firewall) {
        let isLeaving: [NFStatement] = [
            .match(.oifgroup, LinkGroups.uplink), .match(.iifgroup, LinkGroups.gatewayVRF),
        ]
        firewall.rules(at: NATAfterRouting.sources) { Self.addSources(halves, where: isLeaving, to: &$0) }
        // Only the first packet of a connection comes here: it costs nothing.
        firewall.rule(at: NATAfterRouting.untranslated, isLeaving[0], isLeaving[1], .counter("untranslated"), .drop)
    }
}

extension ResolvedNATGateway {
    /// Which of the addresses has a place among ``NATGateways/places``.
    func address(ofPlace place: UInt32) -> IPAddress { addresses[Int(place) % addresses.count] }
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
        guard let uplink = uplinks[gateway.network], uplink.isPresent, uplink.mode != .ipvlan else { return [] }
        return gateway.addresses.map {
            let key = Route.Key(table: .main, destination: IPPrefix($0))
            return Attributed(.link(context.device, key), from: context.origin)
        }
    }
}

// MARK: - Which address

extension ResolvedNATGateway {
    /// The public address of an inside one, as the kernel chooses it.
    public func publicAddress(of inside: IPAddress) -> IPAddress {
        if addresses.count == 1 { return addresses[0] }
        let hash = UInt64(JenkinsHash.of(inside.v4.bigEndian, seed: NATGateways.seed))
        // reciprocal_scale() of linux/kernel.h, by which nft_hash takes its modulus.
        return address(ofPlace: UInt32(truncatingIfNeeded: (hash * UInt64(NATGateways.places)) >> 32))
    }
}

/// The kernel's jhash() (linux/jhash.h) of four bytes.
enum JenkinsHash {
    /// - Parameter word: As it lies in memory on a little-endian machine.
    static func of(_ word: UInt32, seed: UInt32) -> UInt32 {
        let start = 0xDEAD_BEEF &+ 4 &+ seed
        var (a, b, c) = (start &+ word, start, start)
        func rotated(_ value: UInt32, _ bits: UInt32) -> UInt32 { value << bits | value >> (32 - bits) }
        c = (c ^ b) &- rotated(b, 14)
        a = (a ^ c) &- rotated(c, 11)
        b = (b ^ a) &- rotated(a, 25)
        c = (c ^ b) &- rotated(b, 16)
        a = (a ^ c) &- rotated(c, 4)
        b = (b ^ a) &- rotated(a, 14)
        c = (c ^ b) &- rotated(b, 24)
        return c
    }
}
