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

    private static let senders = NFSet("senders", of: .interfaceName, .etherAddress, .ipv4Address, grows: true)
    private static let prefixes = NFSet(
        "prefix_senders", of: .interfaceName, .etherAddress, .ipv4Address, isInterval: true)
    /// A second, and at once: the kernel lets go of an entry after five seconds where there are too many.
    private static let rates = NFSet(
        "prefix_sender_rate", of: .interfaceName, grows: true, limit: NFLimit(10, burst: 20))

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .port(let number) = piece else { return }
        let (interface, port) = (host.topology.interfaces[number], host.portName(number))
        part.rows(of: Self.senders, in: FirewallTables.arp) { senders in
            for address in interface.addresses { senders.add(port, interface.mac, address, origin: piece.origin) }
            // Whoever asks whether an address is free has none yet (RFC 5227), and makes no entry.
            senders.add(port, interface.mac, IPAddress.anyIPv4, origin: piece.origin)
        }
        if !interface.hasPrefixes { return }
        part.rows(of: Self.prefixes, in: FirewallTables.arp) { senders in
            for prefix in interface.prefixes { senders.add(port, interface.mac, prefix, origin: piece.origin) }
        }
        part.rows(of: Self.rates, in: FirewallTables.arp) { $0.add(port, origin: piece.origin) }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        let spoofed = RuleCounter.spoofed.description
        firewall.arp.counters = [NFCounter(spoofed, origin: firewall.origin)]
        firewall.arp.sets = [Self.senders]
        firewall.rule(
            at: GuestARP.check, .match(.iifgroup, LinkGroups.guest),
            .match(.iifname, .arpSenderEther, .arpSenderIP, in: "senders"), .accept)
        if host.traits.hasPrefixes {
            firewall.arp.sets += [Self.prefixes, Self.rates]
            firewall.rule(
                at: GuestARP.check, .match(.iifgroup, LinkGroups.guest),
                .match(.iifname, .arpSenderEther, .arpSenderIP, in: "prefix_senders"),
                .match(.iifname, in: "prefix_sender_rate"), .accept)
        }
        firewall.rule(at: GuestARP.forged, .match(.iifgroup, LinkGroups.guest), .counter(spoofed), .drop)
    }
}
