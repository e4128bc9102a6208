import IPAddressing
import KernelModel
import VPCModel
import VPCTopology
import KernelNames
import NFTables

extension FirewallFamily {
    static let ports = FirewallFamily(
        "ports", "port_zone", "open_port_zone", "dev_zone", Conventions.arrivals, "known_port", "unknown_port",
        tightens: [])
}

/// The ports of the guests: which there are, who may speak on each and in which zone, and who can be reached.
struct GuestPorts: HostFeature {
    let names = [FirewallFamily.ports]

    func contribute(to host: inout HostCompiler) { host.addPorts() }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.counters(RuleCounter.spoofed.description, "unknown_port")
        host.addPortSets(to: &firewall.filter)
        firewall.rule(at: BeforeRouting.secondPass, .match(.iifgroup, LinkGroups.vrf), .accept)
        firewall.rule(at: BeforeRouting.guests, .match(.iifgroup, LinkGroups.guest), .goto(FromGuest.chain))
        firewall.rules(at: FromGuest.check) { Self.addSpeakers(to: &$0, .accept) }
        firewall.rule(at: FromGuest.forged, .goto(Spoofed.chain))
        firewall.rule(at: Spoofed.drop, .counter(RuleCounter.spoofed.description), .drop)
        firewall.rule(at: FromHost.zone, .set(.ctZone, map: "dev_zone", .oifname))
        addReachability(to: &firewall, of: host)
    }

    /// Whoever speaks for himself goes on, in his VPC's zone.
    static func addSpeakers(to chain: inout NFChainBuilder, _ verdict: NFStatement) {
        chain.rule(.set(.ctZone, map: "port_zone", .iifname, .etherSource, .ipSource), verdict)
        chain.rule(.set(.ctZone, map: "open_port_zone", .iifname, .etherSource), verdict)
    }

    /// A port is reachable only after its policy is in.
    private func addReachability(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.filter.chain("known_port", origin: firewall.origin) { chain in
            chain.rule(.match(.oifname, notIn: "ports"), .counter("unknown_port"), .drop)
        }
        firewall.rule(at: Arriving.port, .jump("known_port"))
        firewall.rule(at: RelatedErrors.port, .match(.oifgroup, LinkGroups.guest), .jump("known_port"))
        guard host.hasForwarders else { return }
        firewall.rule(at: FromGatewayGuest.port, .match(.oifgroup, LinkGroups.guest), .jump("known_port"))
        firewall.rule(at: ToGatewayGuest.port, .jump("known_port"))
    }
}

extension HostCompiler {
    /// A port per interface: enslaved to its context, with the subnet's gateway address, answering ARP for everything
    /// that is reachable, and with a permanent neighbour entry for its guest.
    mutating func addPorts() {
        for index in attached {
            let interface = topology.interfaces[index]
            guard let context = context(of: interface) else { continue }
            let origin = Origin(.networkInterface, index)
            let port = port(of: interface)
            intent.host.links.append(Attributed(link(port, interface, master: context.device), from: origin))
            let gateway = Address(
                device: port, address: topology.subnets[interface.subnet].gateway, prefixLength: 32)
            intent.host.addresses.append(Attributed(gateway, from: origin))
            let guest = Neighbor(device: port, address: interface.address, hardwareAddress: interface.mac)
            intent.host.neighbors.append(Attributed(guest, from: origin))
        }
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

    // MARK: - Firewall

    fileprivate func addPortSets(to table: inout NFTableIntent) {
        // A port gets packets when it is in `ports`, and sends them when it is in `port_zone` or `open_port_zone`: what
        // judges them is in before.
        var ports = NFSet("ports", of: .interfaceName, grows: true, admits: true)
        var speakers = NFSet(
            "port_zone", of: .interfaceName, .etherAddress, .ipv4Address, to: .values(.zone), grows: true, admits: true)
        var forwarders = NFSet(
            "open_port_zone", of: .interfaceName, .etherAddress, to: .values(.zone), grows: true, admits: true)
        for index in attached {
            let interface = topology.interfaces[index]
            let origin = Origin(.networkInterface, index)
            let port = port(of: interface)
            let zone = zone(ofVPC: interface.vpc)
            ports.add(port, origin: origin)
            if interface.sourceDestCheck {
                speakers.add(port, interface.mac, interface.address, data: zone, origin: origin)
            } else {
                forwarders.add(port, interface.mac, data: zone, origin: origin)
            }
        }
        table.sets.append(
            NFSet(
                Conventions.arrivals, newcomersTo: ports, seconds: Conventions.arrivalSeconds,
                origin: Origin(.host, host)))
        table.sets += [ports, speakers, forwarders]
    }

    /// Adds every port of this host to a set of devices.
    func addPorts(to set: inout NFSet) {
        for index in attached {
            set.add(port(of: topology.interfaces[index]), origin: Origin(.networkInterface, index))
        }
    }
}
