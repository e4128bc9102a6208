import NFTables

extension FirewallFamily {
    static let connections = FirewallFamily("left", "arrived", "stayed", tightens: [])
}

/// What is forwarded is judged once per connection, direction and epoch; then the connection's mark says that it passed
/// (``ConnectionMark``).
struct ConnectionMemory: HostFeature {
    let names = [FirewallFamily.connections]

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        // What is no VPC's is not ours to judge.
        firewall.rule(at: Forwarded.others, .match(.iifgroup, .notEqual, LinkGroups.vrf), .accept)
        firewall.rule(at: Forwarded.arriving, .match(.oifgroup, LinkGroups.guest), .goto(Arriving.chain))
        firewall.rule(at: Arriving.staying, .match(.sdifname, in: "ports"), .goto(Staying.chain))
        addPassed(to: &firewall, of: host)
        firewall.rules(at: Forwarded.cut, addCut)
        firewall.rules(at: Arriving.cut, addCut)
        firewall.rules(at: RelatedErrors.cut, addCut)
        if host.traits.hasForwarders {
            firewall.rules(at: FromGatewayGuest.cut, addCut)
            firewall.rules(at: ToGatewayGuest.cut, addCut)
        }
        firewall.rules(at: Forwarded.begun) { addBegun([.leaving], "left", to: &$0) }
        firewall.rules(at: Arriving.begun) { addBegun([.arriving], "arrived", to: &$0) }
        firewall.rules(at: Staying.begun) { addBegun([.leaving, .arriving], "stayed", to: &$0) }
        firewall.rule(at: Forwarded.mark, .goto("left"))
        firewall.rule(at: Arriving.mark, .goto("arrived"))
        firewall.rule(at: Staying.mark, .goto("stayed"))
        addMarks("left", [.leaving], to: &firewall, host.traits.epoch)
        addMarks("arrived", [.arriving], to: &firewall, host.traits.epoch)
        addMarks("stayed", [.leaving, .arriving], to: &firewall, host.traits.epoch)
    }

    // MARK: - Parts

    private func addPassed(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.rules(at: Forwarded.passed) { addPassed([.leaving], host.traits.epoch, to: &$0) }
        firewall.rules(at: Arriving.passed) { chain in
            if host.traits.hasMiddleboxes {
                // What another host sends has been judged there, when it left. It may bear the address of a guest here.
                addPassed([.arriving], host.traits.epoch, .match(.sdifname, notIn: "ports"), to: &chain)
                addPassed([.leaving, .arriving], host.traits.epoch, to: &chain)
            } else {
                // Whoever is here has been judged when his packets arrived.
                addPassed([.arriving], host.traits.epoch, to: &chain)
            }
        }
    }

    /// Accepts what has passed before, on all of `sides`.
    ///
    /// Comparisons under a mask take two thirds of the instructions of a lookup in a set.
    private func addPassed(
        _ sides: [ConnectionMark.Side], _ epoch: PolicyEpoch, _ condition: NFStatement? = nil,
        to chain: inout NFChainBuilder
    ) {
        for direction in NFDirection.allCases {
            let bits = ConnectionMark.passed(direction, sides)
            let mark = NFStatement.match(
                .ctMark, masked: ConnectionMark.epochMask | bits, .equal, epoch.number | bits)
            chain.rule([.match(.ctDirection, direction), mark, condition, .accept].compactMap { $0 })
        }
    }

    private func addCut(to chain: inout NFChainBuilder) {
        chain.rule(
            ConnectionMark.has(ConnectionMark.cut), .counter(RuleCounter.deniedByGroup.description), .drop)
    }

    /// What the groups on `sides` let begin passes, whatever they are by now: who tightens a policy cuts what it forbids.
    /// That the connection exists would not be enough: the groups on the other side may have made it.
    private func addBegun(_ sides: [ConnectionMark.Side], _ end: String, to chain: inout NFChainBuilder) {
        for direction in NFDirection.allCases {
            chain.rule(ConnectionMark.hasBegun(direction, sides) + [.goto(end)])
        }
    }

    /// Remembers that a packet has passed.
    private func addMarks(
        _ name: String, _ sides: [ConnectionMark.Side], to firewall: inout Firewall, _ epoch: PolicyEpoch
    ) {
        firewall.filter.chain(name, origin: firewall.origin) { chain in
            chain.rule(ConnectionMark.has(ConnectionMark.found), .accept)
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
