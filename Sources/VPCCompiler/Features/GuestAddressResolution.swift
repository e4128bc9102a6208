import IPAddressing
import KernelNames
import NFTables

extension FirewallFamily {
    /// The rest of the table `arp vpcctl` has names as in `inet vpcctl`.
    static let arp = FirewallFamily("senders", "prefix_senders", "prefix_sender_rate", tightens: [])
}

/// A guest speaks for what is its interface's own only, even where it may send for others: the kernel makes a neighbour
/// entry for every sender that it answers, in a table that all devices share. Whoever is behind a delegated prefix is asked
/// for with its own address as the sender's, because that is the source of the packet; of those there may be many, so that each
/// port may make few entries a second.
struct GuestAddressResolution: HostFeature {
    let names = [FirewallFamily.arp]

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        let spoofed = RuleCounter.spoofed.description
        firewall.arp.counters = [NFCounter(spoofed, origin: firewall.origin)]
        var senders = NFSet("senders", of: .interfaceName, .etherAddress, .ipv4Address, grows: true)
        var prefixes = NFSet(
            "prefix_senders", of: .interfaceName, .etherAddress, .ipv4Address, isInterval: true)
        for index in host.attached {
            let interface = host.topology.interfaces[index]
            let origin = Origin(.networkInterface, index)
            let port = host.port(of: interface)
            for address in [interface.address] + interface.furtherAddresses {
                senders.add(port, interface.mac, address, origin: origin)
            }
            for prefix in interface.prefixes { prefixes.add(port, interface.mac, prefix, origin: origin) }
            // Whoever asks whether an address is free has none yet (RFC 5227), and makes no entry.
            senders.add(port, interface.mac, IPAddress.anyIPv4, origin: origin)
        }
        firewall.arp.sets = [senders]
        firewall.rule(
            at: GuestARP.check, .match(.iifgroup, LinkGroups.guest),
            .match(.iifname, .arpSenderEther, .arpSenderIP, in: "senders"), .accept)
        if !prefixes.elements.isEmpty { addPrefixes(prefixes, to: &firewall, of: host) }
        firewall.rule(at: GuestARP.forged, .match(.iifgroup, LinkGroups.guest), .counter(spoofed), .drop)
    }

    /// A second, and at once: the kernel lets go of an entry after five seconds where there are too many.
    private static let rate = NFLimit(10, burst: 20)

    private func addPrefixes(_ prefixes: NFSet, to firewall: inout Firewall, of host: HostCompiler) {
        var rates = NFSet("prefix_sender_rate", of: .interfaceName, grows: true, limit: Self.rate)
        for index in host.attached where host.topology.interfaces[index].hasPrefixes {
            rates.add(host.port(of: host.topology.interfaces[index]), origin: Origin(.networkInterface, index))
        }
        firewall.arp.sets += [prefixes, rates]
        firewall.rule(
            at: GuestARP.check, .match(.iifgroup, LinkGroups.guest),
            .match(.iifname, .arpSenderEther, .arpSenderIP, in: "prefix_senders"),
            .match(.iifname, in: "prefix_sender_rate"), .accept)
    }
}
