import NFTables

extension FirewallFamily {
    static let toHost = FirewallFamily("echo_rate", "bfd_rate", "to_host", tightens: [])
}

/// What a guest may say to the host itself: ping its gateway, answer what the host began, and where a route says so, speak
/// BFD. No ICMP errors: the kernel
/// looks up the route that they are about in the main table, whatever VRF they came in by, and a guest may have the
/// address of another host.
struct HostAccess: HostFeature {
    let names = [FirewallFamily.toHost]

    /// Echo requests to a gateway that a port may send in a second: answering them is the host's own work.
    private static let echoRate = NFLimit(100, burst: 100)

    /// Control packets that a port may send in a second (RFC 5881): a session takes 7. Whatever comes, the host's end is told
    /// of no more.
    private static let bfdRate = NFLimit(100, burst: 100)

    private static let sessions = NFSet("bfd_rate", of: .interfaceName, grows: true, limit: bfdRate)

    private static let rates = NFSet("echo_rate", of: .interfaceName, grows: true, limit: echoRate)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .port(let number) = piece else { return }
        part.rows(of: Self.rates) { $0.add(host.portName(number), origin: piece.origin) }
        if host.topology.interfaces[number].speaksBFD {
            part.rows(of: Self.sessions) { $0.add(host.portName(number), origin: piece.origin) }
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.counters(RuleCounter.toHost.description)
        firewall.filter.sets.append(Self.rates)
        firewall.rule(at: ToHost.guests, .match(.iifgroup, LinkGroups.vrf), .jump(GuestToHost.chain))
        firewall.rule(
            at: GuestToHost.services, .match(.icmpType, NFICMPType(8)), .match(.sdifname, in: "echo_rate"), .accept)
        if host.traits.hasBFD {
            firewall.filter.sets.append(Self.sessions)
            firewall.rule(
                at: GuestToHost.services, .match(.udpDestination, NFPort(3784)), .match(.sdifname, in: "bfd_rate"),
                .accept)
        }
        firewall.rule(
            at: GuestToHost.answers, .match(.ctDirection, NFDirection.reply), .match([.established]), .accept)
        firewall.rule(at: GuestToHost.drop, .counter(RuleCounter.toHost.description), .drop)
    }
}
