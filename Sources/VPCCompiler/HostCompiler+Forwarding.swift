import KernelModel
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let forwarding = FirewallFamily(
        "forward", "arriving", "staying", "related", "groups_out", "groups_in", "left", "arrived", "stayed",
        tightens: [])
}

/// What is forwarded: judged once per connection, direction and epoch; then the connection's mark says that it passed.
/// docs/security.md has the way, ``ConnectionMark`` the bits.
extension HostCompiler {
    mutating func addForwarding(to table: inout NFTableIntent, _ origin: Origin) {
        epoch = numbering.epoch(ofPolicy: policyDigest)
        let (guest, _, _, vrf) = LinkGroups.numbers
        table.chain("forward", NFBaseChain(.filter, .forward, priority: 0), origin: origin) { chain in
            // What is no VPC's is not ours to judge.
            chain.rule(.match(.iifgroup, .notEqual, vrf), .accept)
            // An ICMP error has the mark of the connection that it is about, but is another's packet.
            if hasACLs || hasForwarders { chain.rule(.match([.related]), .goto("related")) }
            if hasForwarders {
                chain.rule(.match(.sdifname, in: "open_ports"), .goto("from_gateway"))
                chain.rule(.match(.oifname, in: "open_ports"), .goto("to_gateway"))
            }
            chain.rule(.match(.oifgroup, guest), .goto("arriving"))
            addShortcuts([.leaving], to: &chain)
            addCut(to: &chain)
            chain.rule(.match([.related]), .goto("related"))
            // From the tunnel into the tunnel: nobody here.
            chain.rule(.match(.sdifname, notIn: "ports"), .accept)
            chain.rule(.vmap(.sdifname, map: "acl_out"))
            addGroups([.leaving], "left", to: &chain)
        }
        addArriving(to: &table, origin)
        addGateways(to: &table, origin)
        addErrors(to: &table, origin)
        addSides(to: &table, origin)
        // A port is reachable only after its policy is in.
        table.chain("known_port", origin: origin) { chain in
            chain.rule(.match(.oifname, notIn: "ports"), .counter("unknown_port"), .drop)
        }
        addMarks("left", [.leaving], to: &table, origin)
        addMarks("arrived", [.arriving], to: &table, origin)
        addMarks("stayed", [.leaving, .arriving], to: &table, origin)
    }

    private var hasACLs: Bool { attached.contains { topology.subnets[topology.interfaces[$0].subnet].acl != nil } }

    /// To a port of this host: from another host, or from a port here.
    private func addArriving(to table: inout NFTableIntent, _ origin: Origin) {
        table.chain("arriving", origin: origin) { chain in
            if hasMiddleboxes {
                // What another host sends has been judged there, when it left. It may bear the address of a guest here.
                addShortcuts([.arriving], .match(.sdifname, notIn: "ports"), to: &chain)
                addShortcuts([.leaving, .arriving], to: &chain)
            } else {
                // Whoever is here has been judged when his packets arrived.
                addShortcuts([.arriving], to: &chain)
            }
            addCut(to: &chain)
            chain.rule(.match([.related]), .goto("related"))
            chain.rule(.jump("known_port"))
            addACLs(to: &chain)
            chain.rule(.match(.sdifname, in: "ports"), .goto("staying"))
            addGroups([.arriving], "arrived", to: &chain)
        }
        table.chain("staying", origin: origin) { chain in
            addKnown([.leaving, .arriving], "stayed", to: &chain)
            chain.rule(.jump(Self.chain(of: .leaving)))
            chain.rule(.jump(Self.chain(of: .arriving)))
            chain.rule(.goto("stayed"))
        }
    }

    /// ICMP errors: from anybody, but to somebody whose groups have let the connection begin that they are about.
    private func addErrors(to table: inout NFTableIntent, _ origin: Origin) {
        let (guest, _, _, _) = LinkGroups.numbers
        table.chain("related", origin: origin) { chain in
            addCut(to: &chain)
            chain.rule(.match(.oifgroup, guest), .jump("known_port"))
            addACLs(to: &chain, relays: hasForwarders)
            for direction in NFDirection.allCases {
                let bits = ConnectionMark.allowed(direction, [.arriving])
                chain.rule(.match(.ctDirection, direction), .match(.ctMark, masked: bits, .equal, bits), .accept)
            }
            chain.rule(.match(.oifgroup, guest), ConnectionMark.has(ConnectionMark.found), .accept)
            if hasForwarders {
                // On its way through a gateway.
                chain.rule(
                    .match(.oifname, in: "open_ports"), .match(.oifname, .ipDestination, notIn: "open_addresses"),
                    .accept)
            }
            chain.rule(.vmap(.oifname, map: "sg_in"))
            chain.rule(.accept)
        }
    }

    // MARK: - Parts

    /// Accepts what has passed before, on all of `sides`.
    ///
    /// Comparisons under a mask take two thirds of the instructions of a lookup in a set.
    private func addShortcuts(
        _ sides: [ConnectionMark.Side], _ condition: NFStatement? = nil, to chain: inout NFChainBuilder
    ) {
        for direction in NFDirection.allCases {
            let bits = ConnectionMark.passed(direction, sides)
            let mark = NFStatement.match(.ctMark, masked: ConnectionMark.epochMask | bits, .equal, epoch.number | bits)
            chain.rule([.match(.ctDirection, direction), mark, condition, .accept].compactMap { $0 })
        }
    }

    func addCut(to chain: inout NFChainBuilder) {
        chain.rule(ConnectionMark.has(ConnectionMark.cut), .counter(RuleCounter.deniedByGroup.description), .drop)
    }

    func addFound(to chain: inout NFChainBuilder) {
        chain.rule(ConnectionMark.has(ConnectionMark.found), .accept)
    }

    /// - Parameter relays: Whether a guest that may use any address may have sent it.
    func addACLs(to chain: inout NFChainBuilder, relays: Bool = false) {
        chain.rule(.vmap(.sdifname, map: "acl_out"))
        if relays { chain.rule(.vmap(.sdifname, map: "relayed")) }
        chain.rule(.vmap(.oifname, map: "acl_in"))
    }

    private func addGroups(_ sides: [ConnectionMark.Side], _ end: String, to chain: inout NFChainBuilder) {
        addKnown(sides, end, to: &chain)
        if sides.contains(.leaving) { chain.rule(.vmap(.sdifname, map: "sg_out")) }
        if sides.contains(.arriving) { chain.rule(.vmap(.oifname, map: "sg_in")) }
        chain.rule(.goto(end))
    }

    /// What the groups on `sides` let begin passes, whatever they are by now: who tightens a policy cuts what it forbids.
    /// That the connection exists would not be enough: the groups on the other side may have made it.
    private func addKnown(_ sides: [ConnectionMark.Side], _ end: String, to chain: inout NFChainBuilder) {
        for direction in NFDirection.allCases {
            chain.rule(isAllowed(direction, sides) + [.goto(end)])
        }
    }

    /// The groups on one side, asked for what they have not let begin.
    private func addSides(to table: inout NFTableIntent, _ origin: Origin) {
        for side in [ConnectionMark.Side.leaving, .arriving] {
            table.chain(Self.chain(of: side), origin: origin) { chain in
                for direction in NFDirection.allCases { chain.rule(isAllowed(direction, [side]) + [.return]) }
                chain.rule(
                    side == .leaving ? .vmap(.sdifname, map: "sg_out") : .vmap(.oifname, map: "sg_in"))
            }
        }
    }

    private func isAllowed(_ direction: NFDirection, _ sides: [ConnectionMark.Side]) -> [NFStatement] {
        let bits = ConnectionMark.allowed(direction, sides)
        return [
            .match(.ctDirection, direction), .match([.established]), .match(.ctMark, masked: bits, .equal, bits),
        ]
    }

    static func chain(of side: ConnectionMark.Side) -> String { side == .leaving ? "groups_out" : "groups_in" }

    /// Remembers that a packet has passed.
    private func addMarks(
        _ name: String, _ sides: [ConnectionMark.Side], to table: inout NFTableIntent, _ origin: Origin
    ) {
        table.chain(name, origin: origin) { chain in
            addFound(to: &chain)
            chain.rule(
                ConnectionMark.hasNot(epoch.number), ConnectionMark.renewed(in: epoch.number), comment: epoch.note)
            for direction in NFDirection.allCases {
                // An answer that the rules allow by themselves does not make its receiver the connection's originator.
                let begun = direction == .original ? ConnectionMark.allowed(direction, sides) : 0
                let bits = ConnectionMark.passed(direction, sides) | begun
                chain.rule(.match(.ctDirection, direction), .set(.ctMark, keeping: .max, adding: bits), .accept)
            }
            chain.rule(.accept)
        }
    }
}
