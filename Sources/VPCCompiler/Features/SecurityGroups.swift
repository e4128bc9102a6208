import IPAddressing
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let groupSides = FirewallFamily("groups_out", "groups_in", tightens: [])
    /// Which chain a port's packets go to: an interface that had no groups gets some, or loses one.
    static let groups = FirewallFamily("sg", of: .host, isDirected: true, tightens: [.losing, .gaining])
    /// By the numbers that ports have of the chains of their lists, these chains.
    static let lists = FirewallFamily("lists", of: .host, isDirected: true, tightens: [])
    static let group = FirewallFamily(
        "sg", of: .one(.securityGroup), isDirected: true,
        roles: ["map", "map_#", "icmp", "icmp_#", "class", "class_#", "from_@", "icmp_from_@", "services", "#"],
        tightens: .losing)
    /// The addresses of a group's members.
    static let members = FirewallFamily(
        "members", of: .one(.securityGroup), roles: ["", "prefixes"], tightens: .losing)
    private static let listRoles = ["", "unknown", "moved"]
    static let list = FirewallFamily(
        "sg", of: .several(.securityGroup), isDirected: true, roles: listRoles, tightens: .losing)
    static let longList = FirewallFamily("sgs", of: .digest, isDirected: true, roles: listRoles, tightens: .losing)
    static let listDenial = FirewallFamily(
        "deny_sg", of: .several(.securityGroup), isDirected: true, roles: ["", "stray"], tightens: [])
    static let longListDenial = FirewallFamily(
        "deny_sgs", of: .digest, isDirected: true, roles: ["", "stray"], tightens: [])
    static let groupDenials = FirewallFamily("deny_by_group", "denied_by_group", tightens: [])
}

/// Which connections may begin.
struct SecurityGroups: HostFeature {
    let names: [FirewallFamily] = [
        .groupSides, .groups, .lists, .group, .members, .list, .longList, .listDenial, .longListDenial, .groupDenials,
        .foundAnswers,
    ]

    private static let incoming = ChainDispatch(ports: "sg_in", chains: "lists_in", drops: RuleCounter.deniedByGroup)
    private static let outgoing = ChainDispatch(ports: "sg_out", chains: "lists_out", drops: RuleCounter.deniedByGroup)
    private static let directions = [(incoming, TrafficDirection.ingress), (outgoing, .egress)]

    /// Data, not rules: a group's CIDR rules are an interval map to the rules' counters (seldom several,
    /// ``TrafficStages``), its rules by group a set of members and a map of ports. A chain per distinct list of groups, not
    /// per interface. A member that joins or leaves is one element.
    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        switch piece {
        case .port(let number):
            let list = host.topology.interfaces[number].securityGroups
            if list.isEmpty { return }
            for (dispatch, direction) in Self.directions {
                dispatch.add(host.portName(number), to: host.listName(list, direction), host, &part, piece.origin)
            }
        case .list(let groups):
            // All that begin with the same group have one origin.
            for list in host.demand.lists.keys where list[0] == groups[0] {
                for (dispatch, direction) in Self.directions {
                    dispatch.add(host.listName(list, direction), host, &part, piece.origin)
                }
            }
            for direction in TrafficDirection.allCases { host.addChain(of: groups, direction, to: &part.filter) }
        case .group(let group):
            guard let rules = host.groupRules[group] else { return }
            for direction in TrafficDirection.allCases { host.addSets(of: group, rules[direction], to: &part.filter) }
            host.addServices(of: [group], to: &part.filter)
        case .members(let group): host.addMembers(of: group, to: &part.filter)
        default: break
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.counters(RuleCounter.deniedByGroup.description)
        for (dispatch, _) in Self.directions { dispatch.declare(in: &firewall) }
        if host.traits.hasGroups {
            for direction in TrafficDirection.allCases { host.addFoundAnswers(direction, to: &firewall.filter) }
            host.addDenial("deny_by_group", counter: RuleCounter.deniedByGroup.description, to: &firewall.filter)
        }
        for side in [ConnectionMark.Side.leaving, .arriving] {
            firewall.filter.chain(Self.chain(of: side), origin: firewall.origin) { chain in
                for direction in NFDirection.allCases {
                    chain.rule(ConnectionMark.hasBegun(direction, [side]) + [.return])
                }
                chain.rule(Self.dispatch(side))
            }
        }
        firewall.rules(at: Forwarded.groups) { $0.rule(Self.dispatch(.leaving)) }
        firewall.rules(at: Arriving.groups) { $0.rule(Self.dispatch(.arriving)) }
        firewall.rule(at: Staying.groups, .jump(Self.chain(of: .leaving)))
        firewall.rule(at: Staying.groups, .jump(Self.chain(of: .arriving)))
        firewall.rules(at: RelatedErrors.groups) { $0.rule(Self.dispatch(.arriving)) }
    }

    static func dispatch(_ side: ConnectionMark.Side) -> [NFStatement] {
        side == .leaving ? outgoing.rule(.sdifname) : incoming.rule(.oifname)
    }

    /// The groups on one side, asked for what they have not let begin.
    static func chain(of side: ConnectionMark.Side) -> String { side == .leaving ? "groups_out" : "groups_in" }
}

extension HostCompiler {
    static func verdictMap(_ name: String) -> NFSet { NFSet(name, of: .interfaceName, to: .verdict, grows: true) }

    func addDenial(_ name: String, counter: String, to table: inout NFTableIntent) {
        table.chain(name, origin: Origin(.host, host)) { chain in
            chain.rule(.counter(counter), .drop)
        }
    }

    // MARK: - Chains

    /// The name depends on the groups alone, so that it stays when other lists come and go.
    func listName(_ groups: [Int], _ direction: TrafficDirection) -> FirewallName {
        .list(groups.map { topology.securityGroups[$0].name }, direction)
    }

    fileprivate func addChain(of groups: [Int], _ direction: TrafficDirection, to table: inout NFTableIntent) {
        let origin = Origin(.securityGroup, groups[0])
        let names = groups.map { topology.securityGroups[$0].name }.joined(separator: ",")
        let strays = denialChain(.groups(groups, direction, isStray: true), &table)
        let unmatched = denialChain(.groups(groups, direction, isStray: false), &table)
        let list = listName(groups, direction)
        let (unknown, moved) = (list.with(role: "unknown").description, list.with(role: "moved").description)
        table.chain(list.description, origin: origin) { chain in
            // A connection begins with SYN: else the server's next packet would reopen one that was cut.
            chain.rule(.match([.invalid]), .goto(unknown), comment: names)
            chain.rule(
                .match(.l4proto, NFProtocol.tcp), .match([.new]), .match(Self.tcpFlags, masked: 0x17, .notEqual, 0x02),
                .goto(unknown))
            // And an association with INIT (RFC 9260): connection tracking would take ABORT, HEARTBEAT and others for one.
            chain.rule(
                .match(.l4proto, NFProtocol.sctp), .match([.new]), .match(Self.sctpChunk, .notEqual, 0x01),
                .goto(strays))
            for group in groups {
                if let rules = groupRules[group]?[direction] {
                    addQuestions(to: rules, group, direction.farAddress, to: &chain)
                }
            }
            addMoved(direction, moved, to: &chain)
            chain.rule(ConnectionMark.has(ConnectionMark.found), .goto(moved))
            chain.rule(.goto(unmatched))
        }
        table.chain(unknown, origin: origin) { chain in
            addMoved(direction, moved, to: &chain)
            chain.rule(.goto(strays))
        }
        addMovedChain(moved, groups, direction, strays: strays, unmatched: unmatched, to: &table)
    }

    /// The rules of one direction of a group, asked about one packet.
    /// - Parameters:
    ///   - far: where the far end's address is in the packet.
    ///   - port: where the responder's port is; by default where first packets have it.
    func addQuestions(
        to rules: SecurityGroupRules, _ group: Int, _ far: NFField, port: NFField? = nil,
        then verdict: NFStatement = .return, to chain: inout NFChainBuilder
    ) {
        let origin = Origin(.securityGroup, group)
        for lookup in rules.byAddress where port == nil || lookup.place == .port {
            chain.rule(lookup.place.guardStatement, lookup.count(far, port: port), verdict, origin: origin)
        }
        for (key, _) in rules.byGroup where port == nil || key.place == .port {
            let map = rules.name(key.place, group: name(ofGroup: key.group))
            let count = NFStatement.counter(map: map, .ipProtocol, port ?? key.place.field)
            chain.rule(
                .match(far, in: membersName(key.group)), key.place.guardStatement, count, verdict, origin: origin)
            guard membersHavePrefixes[key.group] == true else { continue }
            chain.rule(
                .match(far, .ipProtocol, in: prefixesName(key.group)), key.place.guardStatement, count, verdict,
                origin: origin)
        }
    }

    /// FIN, SYN, RST and ACK are in the low bits of byte 13 of a TCP header (RFC 9293).
    static let tcpFlags = NFField.bytes(.transport, offset: 13, .icmpType)
    /// The type of the first chunk, behind SCTP's common header of 12 bytes (RFC 9260); INIT has the packet to itself.
    private static let sctpChunk = NFField.bytes(.transport, offset: 12, .icmpType)

    // MARK: - Sets

    /// The maps of one direction of a group's rules.
    fileprivate func addSets(of group: Int, _ rules: SecurityGroupRules, to table: inout NFTableIntent) {
        let origin = Origin(.securityGroup, group)
        for counter in rules.counters { table.counters.append(NFCounter(counter, origin: origin)) }
        table.sets += rules.classMaps
        for lookup in rules.byAddress {
            var set = NFSet(
                lookup.name, of: .ipv4Address, .internetProtocol, .internetService, to: .counter, isInterval: true,
                origin: origin)
            for entry in lookup.entries {
                let services = entry.box.services
                set.add(
                    entry.box.addressKey, services.protocolKey, services.selectorKey,
                    counter: rules.counters[entry.line], origin: origin)
            }
            table.sets.append(set)
        }
        for (key, entries) in rules.byGroup {
            var set = NFSet(
                rules.name(key.place, group: name(ofGroup: key.group)), of: .internetProtocol, .internetService,
                to: .counter, isInterval: true, origin: origin)
            for entry in entries {
                set.add(
                    entry.services.protocolKey, entry.services.selectorKey, counter: rules.counters[entry.line],
                    origin: origin)
            }
            table.sets.append(set)
        }
    }

    fileprivate func addMembers(of group: Int, to table: inout NFTableIntent) {
        var set = NFSet(membersName(group), of: .ipv4Address, grows: true, origin: Origin(.securityGroup, group))
        // The second field holds every protocol, see `TrafficStages.classMaps`.
        var prefixes = NFSet(
            prefixesName(group), of: .ipv4Address, .internetProtocol, isInterval: true,
            origin: Origin(.securityGroup, group))
        for index in topology.securityGroups[group].members {
            let (interface, origin) = (topology.interfaces[index], Origin(.networkInterface, index))
            for address in interface.addresses { set.add(address, origin: origin) }
            for prefix in interface.prefixes { prefixes.add(prefix, NFProtocol.any, origin: origin) }
        }
        table.sets.append(set)
        if !prefixes.elements.isEmpty { table.sets.append(prefixes) }
    }

    func hasPrefixes(ofGroup group: Int) -> Bool {
        topology.securityGroups[group].members.contains { topology.interfaces[$0].hasPrefixes }
    }

    private func name(ofGroup group: Int) -> String { topology.securityGroups[group].name }
    /// Those of the members' addresses that are delegated in blocks.
    private func prefixesName(_ group: Int) -> String {
        FirewallName(.members, name(ofGroup: group), role: "prefixes").description
    }
    func membersName(_ group: Int) -> String { FirewallName(.members, name(ofGroup: group)).description }
}
