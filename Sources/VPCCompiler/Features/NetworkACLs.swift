import IPAddressing
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    /// Which chain a port's packets go to.
    static let acls = FirewallFamily("acl", of: .host, isDirected: true, tightens: [])
    /// By the numbers that ports have of the chains of their subnets, these chains.
    static let subnets = FirewallFamily("subnets", of: .host, isDirected: true, tightens: [])
    static let acl = FirewallFamily(
        "acl", of: .one(.networkACL), isDirected: true,
        roles: [
            "", "map", "map_#", "map_count", "map_#_count", "icmp", "icmp_#", "icmp_count", "icmp_#_count", "class",
            "class_#", "#",
        ], tightens: [])
    static let subnet = FirewallFamily("subnet", of: .one(.subnet), isDirected: true, tightens: [])
    static let aclDenials = FirewallFamily("deny_by_acl", "denied_by_acl", tightens: [])
}

/// What passes between subnets, each direction by itself.
struct NetworkACLs: HostFeature {
    let names: [FirewallFamily] = [.acls, .subnets, .acl, .subnet, .aclDenials, .relays, .relayed]

    private static let incoming = ChainDispatch(ports: "acl_in", chains: "subnets_in", drops: RuleCounter.deniedByACL)
    private static let outgoing = ChainDispatch(ports: "acl_out", chains: "subnets_out", drops: RuleCounter.deniedByACL)
    private static let directions = [(incoming, TrafficDirection.ingress), (outgoing, .egress)]

    /// An ordered list of allow and deny becomes disjoint boxes, and those an interval map to verdicts: one lookup, seldom
    /// several (``TrafficStages``), however many lines. A chain per ACL, and a small one per subnet: what stays inside the
    /// subnet is not the ACL's.
    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        host.contributeRelays(piece, to: &part)
        switch piece {
        case .port(let number):
            let subnet = host.topology.interfaces[number].subnet
            guard host.topology.subnets[subnet].acl != nil else { return }
            for (dispatch, direction) in Self.directions {
                dispatch.add(host.portName(number), to: host.subnetName(subnet, direction), host, &part, piece.origin)
            }
        case .subnet(let subnet):
            for (dispatch, direction) in Self.directions {
                dispatch.add(host.subnetName(subnet, direction), host, &part, piece.origin)
                host.addChain(ofSubnet: subnet, direction, to: &part.filter)
            }
        case .acl(let acl, let direction): host.addChain(ofACL: acl, direction, to: &part.filter)
        default: break
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.counters(RuleCounter.deniedByACL.description)
        for (dispatch, _) in Self.directions { dispatch.declare(in: &firewall) }
        if host.traits.hasForwarders { firewall.filter.sets.append(HostCompiler.relays) }
        if host.traits.asksACLs {
            host.addDenial("deny_by_acl", counter: RuleCounter.deniedByACL.description, to: &firewall.filter)
        }
        firewall.rules(at: Forwarded.policy) { $0.rule(Self.outgoing.rule(.sdifname)) }
        firewall.rules(at: Arriving.policy) { addDispatch(to: &$0) }
        firewall.rules(at: RelatedErrors.policy) { addDispatch(to: &$0, relays: host.traits.hasForwarders) }
        guard host.traits.hasForwarders else { return }
        firewall.rules(at: FromGatewayGuest.policy) { addDispatch(to: &$0, relays: true) }
        firewall.rules(at: ToGatewayGuest.policy) { addDispatch(to: &$0) }
    }

    /// - Parameter relays: Whether a guest that may use any address may have sent it.
    private func addDispatch(to chain: inout NFChainBuilder, relays: Bool = false) {
        chain.rule(Self.outgoing.rule(.sdifname))
        if relays { chain.rule(.vmap(.sdifname, map: "relayed")) }
        chain.rule(Self.incoming.rule(.oifname))
    }
}

extension HostCompiler {
    func subnetName(_ subnet: Int, _ direction: TrafficDirection) -> FirewallName {
        FirewallName(.subnet, topology.subnets[subnet].name, direction: direction)
    }

    func aclName(_ acl: Int, _ direction: TrafficDirection) -> FirewallName {
        FirewallName(.acl, topology.acls[acl].name, direction: direction)
    }

    fileprivate func addChain(ofSubnet subnet: Int, _ direction: TrafficDirection, to table: inout NFTableIntent) {
        guard let acl = topology.subnets[subnet].acl else { return }
        let target = aclName(acl, direction).description
        table.chain(subnetName(subnet, direction).description, origin: Origin(.subnet, subnet)) { chain in
            chain.rule(.match(direction.farAddress, topology.subnets[subnet].cidr), .return)
            chain.rule(.goto(target))
        }
    }

    fileprivate func addChain(ofACL acl: Int, _ direction: TrafficDirection, to table: inout NFTableIntent) {
        let origin = Origin(.networkACL, acl)
        let lines = ACLLines(topology.acls[acl], direction, origin: origin)
        for counter in lines.counters { table.counters.append(NFCounter(counter, origin: origin)) }
        let denials = lines.rules.map { rule in
            rule.action == .allow ? "" : denialChain(.acl(acl, direction, priority: rule.priority), &table)
        }
        table.sets += lines.classMaps
        for lookup in lines.lookups {
            var verdicts = NFSet(
                lookup.name, of: .ipv4Address, .internetProtocol, .internetService, to: .verdict, isInterval: true,
                origin: origin)
            var counters = NFSet(
                lines.countName(lookup), of: .ipv4Address, .internetProtocol, .internetService, to: .counter,
                isInterval: true, origin: origin)
            for entry in lookup.entries {
                let rule = lines.rules[entry.line]
                let verdict: NFVerdict = rule.action == .allow ? .return : .goto(denials[entry.line])
                let (addresses, services) = (entry.box.addressKey, entry.box.services)
                verdicts.add(
                    addresses, services.protocolKey, services.selectorKey, verdict: verdict, origin: origin)
                counters.add(
                    addresses, services.protocolKey, services.selectorKey, counter: lines.counters[entry.line],
                    origin: origin)
            }
            table.sets += [verdicts, counters]
        }
        let unmatched = denialChain(.acl(acl, direction, priority: nil), &table)
        table.chain(lines.name.description, origin: origin) { chain in
            for lookup in lines.lookups {
                let far = direction.farAddress
                chain.rule(lookup.place.guardStatement, lookup.count(far, in: lines.countName(lookup)))
                chain.rule(lookup.place.guardStatement, lookup.decide(far))
            }
            chain.rule(.goto(unmatched))
        }
    }

    /// Changes when what an ACL of this host decides may have changed: then every connection is judged once more. It is
    /// made of the ACLs themselves, and of whether there are middleboxes, because then more is judged.
    var policyDigest: UInt64 {
        var digest = Digest()
        for index in topology.inOrder(demand.subnets.keys, of: \.subnets) {
            let subnet = topology.subnets[index]
            guard let acl = subnet.acl else { continue }
            digest.add(subnet.name)
            digest.add(subnet.cidr)
            for rules in [topology.acls[acl].ingress, topology.acls[acl].egress] {
                digest.add(UInt64(rules.count))
                for rule in rules { digest.add(rule) }
            }
        }
        if traits.hasMiddleboxes { digest.add("middleboxes") }
        return digest.value
    }
}

extension Digest {
    fileprivate mutating func add(_ prefix: IPPrefix) {
        if prefix.family == .ipv6 { add(prefix.address.high) }
        add(prefix.address.low)
        add(UInt64(prefix.length))
    }

    fileprivate mutating func add(_ rule: ACLRule) {
        add(UInt64(rule.priority))
        add(rule.action.rawValue)
        add(rule.cidr)
        add(rule.traffic.ipProtocol.map { UInt64($0.rawValue) } ?? .max)
        add(rule.traffic.icmpType.map { UInt64($0) } ?? .max)
        add(rule.traffic.icmpCode.map { UInt64($0) } ?? .max)
        add(UInt64(rule.traffic.ports.count))
        for range in rule.traffic.ports {
            add(UInt64(range.lowerBound))
            add(UInt64(range.upperBound))
        }
    }
}

/// One direction of an ACL as lookups.
struct ACLLines {
    /// Of the chain: `acl_web_in`.
    let name: FirewallName
    /// By priority.
    let rules: [ACLRule]
    /// By rule.
    let counters: [String]
    let lookups: [PolicyLookup<IPv4Bits>]
    let classMaps: [NFSet]

    /// - Parameter origin: Of the sets.
    init(_ acl: ResolvedACL, _ direction: TrafficDirection, origin: Origin) {
        let (name, rules) = (
            FirewallName(.acl, acl.name, direction: direction), acl.lines(isIngress: direction == .ingress)
        )
        (self.name, self.rules) = (name, rules)
        counters = rules.map { name.with(role: "\($0.priority)").description }
        let stages = TrafficStages<IPv4Bits>(rules.map(\.line))
        lookups = stages.lookups(name)
        classMaps = stages.classMaps(name, origin: origin)
    }

    /// The map to counters that goes with a map to verdicts.
    func countName(_ lookup: PolicyLookup<IPv4Bits>) -> String { name.with(role: lookup.role + "_count").description }
}
