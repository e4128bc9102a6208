import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let ports = FirewallFamily(
        "ports", "port_zone", "port_prefix_zone", "open_port_zone", "dev_zone", Conventions.arrivals, "known_port",
        "unknown_port",
        tightens: [])
}

/// The ports of the guests: which there are, who may speak on each and in which zone, and who can be reached.
struct GuestPorts: HostFeature {
    let names = [FirewallFamily.ports]

    // A port gets packets when it is in `ports`, and sends them when it is in `port_zone` or `open_port_zone`: what
    // judges them is in before.
    private static let ports = NFSet("ports", of: .interfaceName, grows: true, admits: true)
    private static let speakers = NFSet(
        "port_zone", of: .interfaceName, .etherAddress, .ipv4Address, to: .values(.zone), grows: true, admits: true)
    private static let prefixes = NFSet(
        "port_prefix_zone", of: .interfaceName, .etherAddress, .ipv4Address, to: .values(.zone), isInterval: true,
        admits: true)
    private static let forwarders = NFSet(
        "open_port_zone", of: .interfaceName, .etherAddress, to: .values(.zone), grows: true, admits: true)

    /// The ports that these operations bring.
    static func newcomers(in operations: [NFOperation]) -> Set<InterfaceName> {
        operations.reduce(into: []) { ports, operation in
            guard case .addElements(let set, _, let elements) = operation,
                NFSet.wantedName(ofSetNamed: set) == Self.ports.name
            else { return }
            ports.formUnion((0..<elements.count).map(elements.device))
        }
    }

    /// A port per interface: enslaved to its context, with the subnet's gateway address, answering ARP for everything
    /// that is reachable, and with a permanent neighbour entry for its guest.
    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .port(let number) = piece else { return }
        let interface = host.topology.interfaces[number]
        guard let context = host.context(of: interface) else { return }
        let (origin, port) = (piece.origin, host.portName(number))
        part.links.append(Attributed(link(port, interface, master: context.device), from: origin))
        let gateway = Address(
            device: port, address: host.topology.subnets[interface.subnet].gateway, prefixLength: 32)
        part.addresses.append(Attributed(gateway, from: origin))
        for address in interface.addresses {
            let guest = Neighbor(device: port, address: address, hardwareAddress: interface.mac)
            part.neighbors.append(Attributed(guest, from: origin))
        }

        let zone = host.zone(ofVPC: interface.vpc)
        part.rows(of: Self.ports) { $0.add(port, origin: origin) }
        if interface.sourceDestCheck {
            part.rows(of: Self.speakers) { set in
                for address in interface.addresses { set.add(port, interface.mac, address, data: zone, origin: origin) }
            }
            if interface.hasPrefixes {
                part.rows(of: Self.prefixes) { set in
                    for prefix in interface.prefixes {
                        set.add(port, interface.mac, prefix, data: zone, origin: origin)
                    }
                }
            }
        } else {
            part.rows(of: Self.forwarders) { $0.add(port, interface.mac, data: zone, origin: origin) }
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.counters(RuleCounter.spoofed.description, "unknown_port")
        let arrivals = NFSet(
            Conventions.arrivals, newcomersTo: Self.ports, seconds: Conventions.arrivalSeconds, origin: firewall.origin)
        firewall.filter.sets += [arrivals, Self.ports, Self.speakers, Self.forwarders]
        if host.traits.hasPrefixesOfSpeakers { firewall.filter.sets.append(Self.prefixes) }
        firewall.rule(at: BeforeRouting.secondPass, .match(.iifgroup, LinkGroups.vrf), .accept)
        firewall.rule(at: BeforeRouting.guests, .match(.iifgroup, LinkGroups.guest), .goto(FromGuest.chain))
        firewall.rules(at: FromGuest.check) { Self.addSpeakers(to: &$0, of: host, .accept) }
        firewall.rule(at: FromGuest.forged, .goto(Spoofed.chain))
        firewall.rule(at: Spoofed.drop, .counter(RuleCounter.spoofed.description), .drop)
        firewall.rule(at: FromHost.zone, .set(.ctZone, map: "dev_zone", .oifname))
        addReachability(to: &firewall, of: host)
    }

    /// Whoever speaks for himself goes on, in his VPC's zone.
    static func addSpeakers(to chain: inout NFChainBuilder, of host: HostCompiler, _ verdict: NFStatement) {
        chain.rule(.set(.ctZone, map: "port_zone", .iifname, .etherSource, .ipSource), verdict)
        chain.rule(.set(.ctZone, map: "open_port_zone", .iifname, .etherSource), verdict)
        // Last: nobody else pays for it.
        guard host.traits.hasPrefixesOfSpeakers else { return }
        chain.rule(.set(.ctZone, map: "port_prefix_zone", .iifname, .etherSource, .ipSource), verdict)
    }

    /// A port is reachable only after its policy is in.
    private func addReachability(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.filter.chain("known_port", origin: firewall.origin) { chain in
            chain.rule(.match(.oifname, notIn: "ports"), .counter("unknown_port"), .drop)
        }
        firewall.rule(at: Arriving.port, .jump("known_port"))
        firewall.rule(at: RelatedErrors.port, .match(.oifgroup, LinkGroups.guest), .jump("known_port"))
        guard host.traits.hasForwarders else { return }
        firewall.rule(at: FromGatewayGuest.port, .match(.oifgroup, LinkGroups.guest), .jump("known_port"))
        firewall.rule(at: ToGatewayGuest.port, .jump("known_port"))
    }

    private func link(_ name: InterfaceName, _ interface: ResolvedInterface, master: InterfaceName) -> Link {
        var link = Link(
            name: name, kind: .adopted, master: master, group: Conventions.LinkGroup.guestPort,
            ipv4: IPv4DeviceConfiguration(forwarding: true, proxyARP: true, acceptLocal: true), proxyDelay: 0,
            ipv6Disabled: true)
        guard case .namespace(let namespace, let device) = interface.attachment, let far = InterfaceName(device) else {
            return link
        }
        let peer = VethPeer(
            name: far, namespace: NamespaceName(namespace), hardwareAddress: interface.mac, mtu: UInt32(interface.mtu))
        let resource = ResourceReference(.networkInterface, interface.name)
        link.kind = .veth(peer: peer)
        link.alias = Conventions.alias(resource) + " " + VethPeer.note(name: far, namespace: peer.namespace)
        link.mtu = peer.mtu
        link.hardwareAddress = Conventions.gatewayMAC
        return link
    }
}
