import IPAddressing
public import KernelModel
import VPCModel
import VPCTopology

/// The tables of nf_tables that are ours.
public enum FirewallTables {
    public static let filter = NFTable(.inet, "vpcctl")
    public static let arp = NFTable(.arp, "vpcctl")
    public static let all = [filter, arp]
}

extension HostCompiler {
    /// Who may speak on a port, which zone it speaks in, and what every packet has to pass. docs/security.md has the way.
    mutating func addFirewall() {
        var filter = NFTableIntent(FirewallTables.filter)
        let origin = Origin(.host, host)
        filter.counters = [
            RuleCounter.spoofed, "unknown_key", "foreign_tunnel", RuleCounter.toHost, "unknown_port",
            RuleCounter.deniedByGroup, RuleCounter.deniedByACL,
        ]
        .map { NFCounter($0, origin: origin) }
        addZones(to: &filter)
        addGatewaySets(to: &filter)
        addPrerouting(to: &filter, origin)
        addInput(to: &filter, origin)
        addForwarding(to: &filter, origin)
        addSecurityGroups(to: &filter)
        addACLs(to: &filter)
        addPortDenials(to: &filter)
        filter.normalize()
        var arp = arpTable(origin)
        arp.normalize()
        intent.host.firewall = [filter, arp]
    }

    // MARK: - Zones

    /// The conntrack zone of a VPC: tenants with equal addresses never share a connection. It is the position of the main
    /// table's number, so it lives where that lives, in the kernel.
    func zone(ofVPC vpc: Int) -> NFZone {
        let table = context(vpc: vpc, routeTable: nil)?.table ?? TableID(Conventions.tables.lowerBound)
        return NFZone(UInt16(truncatingIfNeeded: table.rawValue - Conventions.tables.lowerBound + 1))
    }

    private func addZones(to table: inout NFTableIntent) {
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
        var devices = NFSet("dev_zone", of: .interfaceName, to: .values(.zone), grows: true)
        for context in contexts {
            devices.add(context.device, data: zone(ofVPC: context.vpc), origin: context.origin)
            if context.routeTable == nil {
                let receiver = Conventions.receiver(topology.vpcs[context.vpc].id)
                devices.add(receiver, data: zone(ofVPC: context.vpc), origin: context.origin)
            }
        }
        for (index, interface, key) in localGateways {
            let origin = Origin(.networkInterface, index)
            let zone = zone(ofVPC: interface.vpc)
            devices.add(Conventions.gatewayReceiver(key.rawValue & 0x7FFF_FFFF), data: zone, origin: origin)
            devices.add(
                Conventions.vrf(numbering.knownTable(forAlias: gatewayAlias(interface))), data: zone, origin: origin)
        }
        table.sets += [ports, speakers, forwarders, devices, receivedHosts()]
    }

    // MARK: - Chains

    /// Every packet of every device comes this way: what is frequent comes first, and names of devices, 16 bytes to copy
    /// and compare, are looked up only where their class does not tell.
    private func addPrerouting(to table: inout NFTableIntent, _ origin: Origin) {
        let (guest, receive, transmit, vrf) = LinkGroups.numbers
        table.chain("raw_prerouting", NFBaseChain(.filter, .prerouting, priority: -300), origin: origin) { chain in
            // A VRF's packet passes twice; the first time it came in by its port.
            chain.rule(.match(.iifgroup, vrf), .accept)
            chain.rule(.match(.iifgroup, guest), .goto("from_guest"))
            chain.rule(.match(.iifgroup, receive), .set(.ctZone, map: "dev_zone", .iifname), .accept)
            // The sending device receives every key that no other device has.
            chain.rule(.match(.iifgroup, transmit), .counter("unknown_key"), .drop)
            // Only by the devices that lead to that host: the kernel's tunnels do not ask by which one it comes.
            chain.rule(
                .match(.l4proto, NFProtocol.gre), .match(.ipDestination, underlayAddress),
                .match(.iifname, .ipSource, in: "hosts"), .notrack, .accept)
            chain.rule(
                .match(.l4proto, NFProtocol.gre), .match(.ipDestination, underlayAddress),
                .counter("foreign_tunnel"), .drop)
        }
        table.chain("from_guest", origin: origin) { chain in
            chain.rule(.set(.ctZone, map: "port_zone", .iifname, .etherSource, .ipSource), .accept)
            chain.rule(.set(.ctZone, map: "open_port_zone", .iifname, .etherSource), .accept)
            if isLogging { chain.rule(.vmap(.iifname, map: "log_spoofed")) }
            chain.rule(.counter(RuleCounter.spoofed), .drop)
        }
        table.chain("raw_output", NFBaseChain(.filter, .output, priority: -300), origin: origin) { chain in
            chain.rule(.match(.l4proto, NFProtocol.gre), .match(.ipSource, underlayAddress), .notrack, .accept)
            chain.rule(.set(.ctZone, map: "dev_zone", .oifname))
        }
    }

    /// What a guest may say to the host itself: ping its gateway.
    private func addInput(to table: inout NFTableIntent, _ origin: Origin) {
        let (_, _, _, vrf) = LinkGroups.numbers
        table.chain("input", NFBaseChain(.filter, .input, priority: 0), origin: origin) { chain in
            chain.rule(.match(.iifgroup, vrf), .jump("guest_to_host"))
        }
        table.chain("guest_to_host", origin: origin) { chain in
            chain.rule(.match(.icmpType, NFICMPType(8)), .limit(NFLimit(1000, burst: 1000)), .accept)
            chain.rule(.match([.established, .related]), .accept)
            if isLogging { chain.rule(.vmap(.sdifname, map: "log_to_host")) }
            chain.rule(.counter(RuleCounter.toHost), .drop)
        }
    }

    // MARK: - ARP

    /// A guest speaks for its own addresses only.
    private func arpTable(_ origin: Origin) -> NFTableIntent {
        var table = NFTableIntent(FirewallTables.arp)
        table.counters = [NFCounter("spoofed", origin: origin)]
        var senders = NFSet("senders", of: .interfaceName, .etherAddress, .ipv4Address, grows: true)
        var forwarders = NFSet("open_senders", of: .interfaceName, .etherAddress, grows: true)
        for index in attached {
            let interface = topology.interfaces[index]
            let origin = Origin(.networkInterface, index)
            if interface.sourceDestCheck {
                senders.add(port(of: interface), interface.mac, interface.address, origin: origin)
            } else {
                forwarders.add(port(of: interface), interface.mac, origin: origin)
            }
        }
        table.sets = [senders, forwarders]
        let (guest, _, _, _) = LinkGroups.numbers
        table.chain("input", NFBaseChain(.filter, .input, priority: 0), origin: origin) { chain in
            chain.rule(
                .match(.iifgroup, guest), .match(.iifname, .arpSenderEther, .arpSenderIP, in: "senders"), .accept)
            chain.rule(.match(.iifgroup, guest), .match(.iifname, .arpSenderEther, in: "open_senders"), .accept)
            chain.rule(.match(.iifgroup, guest), .counter("spoofed"), .drop)
        }
        return table
    }
}

enum LinkGroups {
    /// Guest ports, overlay receive, overlay transmit, VRFs.
    static let numbers: (NFInterfaceGroup, NFInterfaceGroup, NFInterfaceGroup, NFInterfaceGroup) = (
        NFInterfaceGroup(Conventions.LinkGroup.guestPort), NFInterfaceGroup(Conventions.LinkGroup.overlayReceive),
        NFInterfaceGroup(Conventions.LinkGroup.overlayTransmit), NFInterfaceGroup(Conventions.LinkGroup.vrf)
    )
}
