import IPAddressing
import KernelNames
import NFTables

extension FirewallFamily {
    /// The rest of the table `arp vpcctl` has names as in `inet vpcctl`.
    static let arp = FirewallFamily("senders", tightens: [])
}

/// A guest speaks for its interface's address only, even where it may send for others: the kernel makes a neighbour entry
/// for every sender that it answers, in a table that all devices share.
struct GuestAddressResolution: HostFeature {
    let names = [FirewallFamily.arp]

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        let spoofed = RuleCounter.spoofed.description
        firewall.arp.counters = [NFCounter(spoofed, origin: firewall.origin)]
        var senders = NFSet("senders", of: .interfaceName, .etherAddress, .ipv4Address, grows: true)
        for index in host.attached {
            let interface = host.topology.interfaces[index]
            let origin = Origin(.networkInterface, index)
            let port = host.port(of: interface)
            senders.add(port, interface.mac, interface.address, origin: origin)
            // Whoever asks whether an address is free has none yet (RFC 5227), and makes no entry.
            senders.add(port, interface.mac, IPAddress.anyIPv4, origin: origin)
        }
        firewall.arp.sets = [senders]
        firewall.rule(
            at: GuestARP.check, .match(.iifgroup, LinkGroups.guest),
            .match(.iifname, .arpSenderEther, .arpSenderIP, in: "senders"), .accept)
        firewall.rule(at: GuestARP.forged, .match(.iifgroup, LinkGroups.guest), .counter(spoofed), .drop)
    }
}
