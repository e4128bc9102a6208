import NFTables

/// ICMP errors: from anybody, but to somebody whose groups have let the connection begin that they are about.
struct ConnectionErrors: HostFeature {
    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        let lead: [NFStatement] = [.match([.related]), .goto(RelatedErrors.chain)]
        // An ICMP error has the mark of the connection that it is about, but is another's packet.
        if host.traits.hasACLs || host.traits.hasForwarders { firewall.rules(at: Forwarded.errors) { $0.rule(lead) } }
        firewall.rules(at: Forwarded.related) { $0.rule(lead) }
        firewall.rules(at: Arriving.related) { $0.rule(lead) }
        firewall.rules(at: RelatedErrors.begun) { chain in
            for direction in NFDirection.allCases {
                let bits = ConnectionMark.allowed(direction, [.arriving])
                chain.rule(.match(.ctDirection, direction), .match(.ctMark, masked: bits, .equal, bits), .accept)
            }
            chain.rule(
                .match(.oifgroup, LinkGroups.guest), ConnectionMark.has(ConnectionMark.found), .accept)
        }
        firewall.rule(at: RelatedErrors.accept, .accept)
    }
}
