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

extension FirewallFamily {
    static let speakers = FirewallFamily(
        "raw_prerouting", "raw_output", "from_guest", "spoofed", "ports", "port_zone", "open_port_zone", "dev_zone",
        Conventions.arrivals, "known_port", "unknown_port", tightens: [])
    static let tunnels = FirewallFamily("hosts", "unknown_key", "foreign_tunnel", tightens: [])
    static let toHost = FirewallFamily("input", "guest_to_host", "echo_rate", "to_host", tightens: [])
    /// The rest of the table `arp vpcctl` has names as in `inet vpcctl`.
    static let arp = FirewallFamily("senders", tightens: [])
}

extension HostCompiler {
    /// Who may speak on a port, which zone it speaks in, and what every packet has to pass. docs/security.md has the way.
    mutating func addFirewall() {
        var filter = NFTableIntent(FirewallTables.filter)
        let origin = Origin(.host, host)
        filter.counters = [
            RuleCounter.spoofed.description, "unknown_key", "foreign_tunnel", RuleCounter.toHost.description,
            "unknown_port",
            RuleCounter.deniedByGroup.description, RuleCounter.deniedByACL.description, "excess_fragments",
        ]
        .map { NFCounter($0, origin: origin) }
        addZones(to: &filter)
        addGatewaySets(to: &filter)
        addPrerouting(to: &filter, origin)
        addFragments(to: &filter, origin)
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
        table.sets.append(
            NFSet(
                Conventions.arrivals, newcomersTo: ports, seconds: Conventions.arrivalSeconds,
                origin: Origin(.host, host)))
        table.sets += [ports, speakers, forwarders, devices, receivedHosts()]
    }

    // MARK: - Chains

    /// Before connection tracking puts fragments together (NF_IP_PRI_CONNTRACK_DEFRAG, -400): what is dropped here takes
    /// none of the memory that all fragments share, and zones are put together apart.
    static let beforeReassembly: Int32 = -450

    /// Every packet of every device comes this way: what is frequent comes first, and names of devices, 16 bytes to copy
    /// and compare, are looked up only where their class does not tell.
    private func addPrerouting(to table: inout NFTableIntent, _ origin: Origin) {
        let (guest, receive, transmit, vrf) = LinkGroups.numbers
        let prerouting = NFBaseChain(.filter, .prerouting, priority: Self.beforeReassembly)
        table.chain("raw_prerouting", prerouting, origin: origin) { chain in
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
            chain.rule(Self.isFragment, .goto("fragment"))
            addSpeakers(to: &chain, .accept)
        }
        table.chain("spoofed", origin: origin) { chain in
            if isLogging { chain.rule(.vmap(.iifname, map: "log_spoofed")) }
            chain.rule(.counter(RuleCounter.spoofed.description), .drop)
        }
        let output = NFBaseChain(.filter, .output, priority: Self.beforeReassembly)
        table.chain("raw_output", output, origin: origin) { chain in
            chain.rule(.match(.l4proto, NFProtocol.gre), .match(.ipSource, underlayAddress), .notrack, .accept)
            chain.rule(.set(.ctZone, map: "dev_zone", .oifname))
        }
    }

    /// Whoever speaks for himself goes on, in his VPC's zone.
    func addSpeakers(to chain: inout NFChainBuilder, _ verdict: NFStatement) {
        chain.rule(.set(.ctZone, map: "port_zone", .iifname, .etherSource, .ipSource), verdict)
        chain.rule(.set(.ctZone, map: "open_port_zone", .iifname, .etherSource), verdict)
        chain.rule(.goto("spoofed"))
    }

    /// Echo requests to a gateway that a port may send in a second: answering them is the host's own work.
    private static let echoRate = NFLimit(100, burst: 100)

    /// What a guest may say to the host itself: ping its gateway, and answer what the host began. No ICMP errors: the
    /// kernel looks up the route that they are about in the main table, whatever VRF they came in by, and a guest may
    /// have the address of another host.
    private func addInput(to table: inout NFTableIntent, _ origin: Origin) {
        let (_, _, _, vrf) = LinkGroups.numbers
        table.chain("input", NFBaseChain(.filter, .input, priority: 0), origin: origin) { chain in
            chain.rule(.match(.iifgroup, vrf), .jump("guest_to_host"))
        }
        var echoRates = NFSet("echo_rate", of: .interfaceName, grows: true, limit: Self.echoRate)
        addPorts(to: &echoRates)
        table.sets.append(echoRates)
        table.chain("guest_to_host", origin: origin) { chain in
            chain.rule(.match(.icmpType, NFICMPType(8)), .match(.sdifname, in: "echo_rate"), .accept)
            chain.rule(.match(.ctDirection, NFDirection.reply), .match([.established]), .accept)
            if isLogging { chain.rule(.vmap(.sdifname, map: "log_to_host")) }
            chain.rule(.counter(RuleCounter.toHost.description), .drop)
        }
    }

    /// Adds every port of this host to a set of devices.
    func addPorts(to set: inout NFSet) {
        for index in attached {
            set.add(port(of: topology.interfaces[index]), origin: Origin(.networkInterface, index))
        }
    }

    // MARK: - ARP

    /// A guest speaks for its interface's address only, even where it may send for others: the kernel makes a neighbour
    /// entry for every sender that it answers, in a table that all devices share.
    private func arpTable(_ origin: Origin) -> NFTableIntent {
        var table = NFTableIntent(FirewallTables.arp)
        table.counters = [NFCounter("spoofed", origin: origin)]
        var senders = NFSet("senders", of: .interfaceName, .etherAddress, .ipv4Address, grows: true)
        for index in attached {
            let interface = topology.interfaces[index]
            let origin = Origin(.networkInterface, index)
            senders.add(port(of: interface), interface.mac, interface.address, origin: origin)
            // Whoever asks whether an address is free has none yet (RFC 5227), and makes no entry.
            senders.add(port(of: interface), interface.mac, IPAddress.anyIPv4, origin: origin)
        }
        table.sets = [senders]
        let (guest, _, _, _) = LinkGroups.numbers
        table.chain("input", NFBaseChain(.filter, .input, priority: 0), origin: origin) { chain in
            chain.rule(
                .match(.iifgroup, guest), .match(.iifname, .arpSenderEther, .arpSenderIP, in: "senders"), .accept)
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
