import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let elasticIPs = FirewallFamily(
        "uplink_address", "eip_in", "eip_out", "untracked_in", "untracked_out", "stateless", "stateless_in",
        "stateless_out",
        AfterRouting.chain, tightens: [])
}

/// Public addresses of interfaces. They come in by the leg of the NAT gateway that the interface's packets leave by; whose
/// address is whose is data, and keyed by the device: an address means something for that gateway's VPC alone.
struct ElasticIPs: HostFeature {
    let names = [FirewallFamily.elasticIPs]

    private static let incoming = NFSet(
        "eip_in", of: .interfaceName, .ipv4Address, to: .values(.ipv4Address), grows: true)
    private static let outgoing = NFSet(
        "eip_out", of: .interfaceName, .ipv4Address, to: .values(.ipv4Address), grows: true)
    private static let untrackedIn = NFSet("untracked_in", of: .ipv4Address, grows: true)
    private static let untrackedOut = NFSet("untracked_out", of: .interfaceName, .ipv4Address, grows: true)
    private static let stateless = NFSet("stateless", of: .ipv4Address, grows: true)
    private static let statelessIn = NFSet("stateless_in", of: .ipv4Address, to: .values(.ipv4Address), grows: true)
    private static let statelessOut = NFSet(
        "stateless_out", of: .interfaceName, .ipv4Address, to: .values(.ipv4Address), grows: true)

    /// By uplink.
    private static let uplinks = NFSet("uplink_address", of: .interfaceName, to: .values(.ipv4Address), grows: true)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        if case .uplink(let number) = piece, let uplink = host.uplinks[number], uplink.isPresent {
            let address = host.topology.externalNetworks[number].uplinkAddress
            part.rows(of: Self.uplinks) { $0.add(uplink.device, data: address, origin: piece.origin) }
        }
        guard case .elasticIP(let number) = piece, let own = host.elasticIP(number) else { return }
        let (address, inside, origin) = (own.elastic.address, own.interface.address, piece.origin)
        let (leg, receiver) = (Conventions.leg(own.context.table), own.receiver)
        func row(_ set: NFSet, _ body: (inout NFSet) -> Void) { part.rows(of: set, body) }
        switch own.elastic.mode {
        case .nat:
            row(Self.incoming) { set in
                for device in [leg.near, receiver] { set.add(device, address, data: inside, origin: origin) }
            }
            row(Self.outgoing) { $0.add(own.context.device, inside, data: address, origin: origin) }
        case .passThrough:
            row(Self.untrackedIn) { $0.add(address, origin: origin) }
            row(Self.untrackedOut) { $0.add(receiver, address, origin: origin) }
        case .stateless:
            row(Self.stateless) { $0.add(address, origin: origin) }
            row(Self.statelessIn) { $0.add(address, data: inside, origin: origin) }
            row(Self.statelessOut) { $0.add(own.context.device, inside, data: address, origin: origin) }
            row(Self.untrackedOut) { $0.add(receiver, inside, origin: origin) }
        }
        guard own.uplink.isPresent else { return }
        let chain = FirewallName(.natGatewayLeg, own.gateway.name)
        part.rows(of: ExternalUplinks.legs, in: FirewallTables.devices) {
            let entry = own.elastic.mode == .stateless ? chain.with(role: "stateless") : chain
            $0.add(address, verdict: .goto(entry.description), origin: origin)
        }
        part.rows(of: ExternalUplinks.sources, in: FirewallTables.devices) { $0.add(address, origin: origin) }
        guard own.uplink.mode == .ipvlan else { return }
        part.addresses.append(
            Attributed(Address(device: own.uplink.device, address: address, prefixLength: 32), from: origin))
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        let modes = host.traits.elasticIPs
        if modes.contains(.nat) { addTranslation(to: &firewall) }
        if modes.contains(.passThrough) || modes.contains(.stateless) {
            firewall.filter.sets += [Self.untrackedIn, Self.untrackedOut]
            firewall.rules(at: BeforeRouting.untracked) { chain in
                chain.rule(
                    .match(.iifgroup, LinkGroups.leg), .match(.ipDestination, in: Self.untrackedIn.name), .notrack,
                    .accept)
                chain.rule(
                    .match(.iifgroup, LinkGroups.gatewayReceive),
                    .match(.iifname, .ipSource, in: Self.untrackedOut.name), .notrack, .accept)
            }
        }
        if modes.contains(.stateless) { addRewriting(to: &firewall) }
        if modes.contains(.passThrough) || modes.contains(.stateless) { addErrors(to: &firewall) }
    }

    private func addTranslation(to firewall: inout Firewall) {
        firewall.filter.sets += [Self.incoming, Self.outgoing]
        firewall.rule(
            at: NATBeforeRouting.destinations, NATGateways.isOfGateway,
            .translate(.destination, map: Self.incoming.name, .iifname, .ipDestination))
        // Before the pool.
        firewall.rules(at: NATAfterRouting.elastic) { chain in
            Self.addSources(
                where: [.match(.oifgroup, LinkGroups.uplink), .match(.iifgroup, LinkGroups.gatewayVRF)], to: &chain)
        }
    }

    /// Elastic IPs as sources.
    static func addSources(where conditions: [NFStatement], to chain: inout NFChainBuilder) {
        chain.rule(conditions + [.translate(.source, map: outgoing.name, .iifname, .ipSource)])
    }

    /// Errors that the host itself sends outside about what has no connection: nothing else translates the address of the
    /// gateway that they come from.
    private func addErrors(to firewall: inout Firewall) {
        firewall.filter.sets.append(Self.uplinks)
        let isLeaving = NFStatement.match(.oifgroup, LinkGroups.uplink)
        firewall.rules(at: AfterRouting.errors) { chain in
            // Of guests that have their address themselves.
            chain.rule(isLeaving, .match(.ipSource, in: Self.untrackedIn.name), .accept)
            for type in [3, 11] as [NFICMPType] {
                chain.rule(
                    isLeaving, .match(.icmpType, type),
                    .match(.ctState, masked: NFConnectionState.related.rawValue, .equal, 0),
                    .set(.ipSource, map: Self.uplinks.name, .oifname))
            }
        }
    }

    private func addRewriting(to firewall: inout Firewall) {
        firewall.filter.sets += [Self.stateless, Self.statelessIn, Self.statelessOut]
        firewall.rule(
            at: BeforeRouting.untracked, .match(.iifgroup, LinkGroups.uplink),
            .match(.ipDestination, in: Self.stateless.name), .notrack, .accept)
        firewall.rules(at: AfterRouting.addresses) { chain in
            chain.rule(
                .match(.oifgroup, LinkGroups.overlayTransmit), .match(.iifgroup, LinkGroups.uplink),
                .set(.ipDestination, map: Self.statelessIn.name, .ipDestination), .accept)
            chain.rule(
                .match(.oifgroup, LinkGroups.uplink), .match([.untracked]),
                .set(.ipSource, map: Self.statelessOut.name, .iifname, .ipSource), .accept)
        }
    }
}

/// Which of them a host has.
struct ElasticIPModes: OptionSet, Sendable {
    let rawValue: Int
    static let nat = ElasticIPModes(rawValue: 1)
    static let stateless = ElasticIPModes(rawValue: 2)
    static let passThrough = ElasticIPModes(rawValue: 4)

    init(rawValue: Int) { self.rawValue = rawValue }

    init(_ mode: ElasticIP.Mode) {
        switch mode {
        case .nat: self = .nat
        case .stateless: self = .stateless
        case .passThrough: self = .passThrough
        }
    }
}

extension HostCompiler {
    /// An elastic IP that comes in here, with what it leads to.
    struct ElasticIPHere {
        var elastic: ResolvedElasticIP
        var interface: ResolvedInterface
        var gateway: ResolvedNATGateway
        var context: Context
        var uplink: Uplink
        var receiver: InterfaceName
    }

    func elasticIP(_ number: Int) -> ElasticIPHere? {
        guard topology.elasticIPs.contains(number: number) else { return nil }
        let elastic = topology.elasticIPs[number]
        guard let interface = elastic.interface, let number = elastic.gateway, let uplink = uplinks[elastic.network],
            let key = natGateways[number], let context = contexts[key]
        else { return nil }
        let gateway = topology.natGateways[number]
        return ElasticIPHere(
            elastic: elastic, interface: topology.interfaces[interface], gateway: gateway, context: context,
            uplink: uplink, receiver: Conventions.receiver(of: gateway))
    }

    /// What an uplink answers for, and of a stateless one the way in.
    mutating func route(ofElasticIP number: Int) -> Attributed<Route>? {
        guard let own = elasticIP(number), own.uplink.isPresent else { return nil }
        let (key, origin) = (
            Route.Key(table: .main, destination: IPPrefix(own.elastic.address)), Origin(.elasticIP, number)
        )
        if own.elastic.mode == .stateless {
            let vpc = topology.vpcs[own.interface.vpc].id
            let id = tunnel(to: own.interface.host, key: vpc.rawValue, from: Origin(.host, own.interface.host))
            return Attributed(.via(id, key), from: origin)
        }
        return own.uplink.mode == .ipvlan ? nil : Attributed(.link(own.context.device, key), from: origin)
    }
}
