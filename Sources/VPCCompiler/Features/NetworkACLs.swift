import IPAddressing
import VPCModel
import VPCTopology
import KernelNames
import NFTables

extension FirewallFamily {
    /// Which chain a port's packets go to.
    static let acls = FirewallFamily("acl", of: .host, isDirected: true, tightens: [])
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
    let names: [FirewallFamily] = [.acls, .acl, .subnet, .aclDenials, .relays, .relayed]

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.counters(RuleCounter.deniedByACL.description)
        host.addACLs(to: &firewall.filter)
        firewall.rule(at: Forwarded.policy, .vmap(.sdifname, map: "acl_out"))
        firewall.rules(at: Arriving.policy) { addDispatch(to: &$0) }
        firewall.rules(at: RelatedErrors.policy) { addDispatch(to: &$0, relays: host.hasForwarders) }
        guard host.hasForwarders else { return }
        firewall.rules(at: FromGatewayGuest.policy) { addDispatch(to: &$0, relays: true) }
        firewall.rules(at: ToGatewayGuest.policy) { addDispatch(to: &$0) }
    }

    /// - Parameter relays: Whether a guest that may use any address may have sent it.
    private func addDispatch(to chain: inout NFChainBuilder, relays: Bool = false) {
        chain.rule(.vmap(.sdifname, map: "acl_out"))
        if relays { chain.rule(.vmap(.sdifname, map: "relayed")) }
        chain.rule(.vmap(.oifname, map: "acl_in"))
    }
}

extension HostCompiler {
    var hasACLs: Bool { attached.contains { topology.subnets[topology.interfaces[$0].subnet].acl != nil } }

    /// An ordered list of allow and deny becomes disjoint boxes, and those an interval map to verdicts: one lookup, seldom
    /// several (``TrafficStages``), however many lines. A chain per ACL, and a small one per subnet: what stays inside the subnet is not the ACL's.
    fileprivate func addACLs(to table: inout NFTableIntent) {
        var maps = (in: verdictMap("acl_in"), out: verdictMap("acl_out"))
        var subnets: [Int: (incoming: String, outgoing: String)] = [:]
        for index in attached {
            let interface = topology.interfaces[index]
            guard topology.subnets[interface.subnet].acl != nil else { continue }
            let origin = Origin(.networkInterface, index)
            let names =
                subnets[interface.subnet]
                ?? (subnetName(interface.subnet, .ingress), subnetName(interface.subnet, .egress))
            subnets[interface.subnet] = names
            maps.in.add(port(of: interface), verdict: .jump(names.incoming), origin: origin)
            maps.out.add(port(of: interface), verdict: .jump(names.outgoing), origin: origin)
        }
        table.sets += [maps.in, maps.out]
        let acls = Set(subnets.keys.compactMap { topology.subnets[$0].acl })
        let asked = addRelayedSources(to: &table)
        for acl in topology.inOrder(acls.union(asked), of: \.acls) { addChain(ofACL: acl, .ingress, to: &table) }
        for acl in topology.inOrder(acls, of: \.acls) { addChain(ofACL: acl, .egress, to: &table) }
        for subnet in topology.inOrder(subnets.keys, of: \.subnets) {
            for direction in TrafficDirection.allCases { addChain(ofSubnet: subnet, direction, to: &table) }
        }
        if !acls.union(asked).isEmpty {
            addDenial("deny_by_acl", counter: RuleCounter.deniedByACL.description, to: &table)
        }
    }

    private func subnetName(_ subnet: Int, _ direction: TrafficDirection) -> String {
        FirewallName(.subnet, topology.subnets[subnet].name, direction: direction).description
    }

    func aclName(_ acl: Int, _ direction: TrafficDirection) -> FirewallName {
        FirewallName(.acl, topology.acls[acl].name, direction: direction)
    }

    private func addChain(ofSubnet subnet: Int, _ direction: TrafficDirection, to table: inout NFTableIntent) {
        guard let acl = topology.subnets[subnet].acl else { return }
        let target = aclName(acl, direction).description
        table.chain(subnetName(subnet, direction), origin: Origin(.subnet, subnet)) { chain in
            chain.rule(.match(direction.farAddress, topology.subnets[subnet].cidr), .return)
            chain.rule(.goto(target))
        }
    }

    private func addChain(ofACL acl: Int, _ direction: TrafficDirection, to table: inout NFTableIntent) {
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
                verdicts.add(
                    entry.box.addressKey, entry.box.protocolKey, entry.box.selectorKey, verdict: verdict, origin: origin
                )
                counters.add(
                    entry.box.addressKey, entry.box.protocolKey, entry.box.selectorKey,
                    counter: lines.counters[entry.line], origin: origin)
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
        let subnets = Set(attached.map { topology.interfaces[$0].subnet }).filter { topology.subnets[$0].acl != nil }
        for index in topology.inOrder(subnets, of: \.subnets) {
            let subnet = topology.subnets[index]
            guard let acl = subnet.acl else { continue }
            digest.add(subnet.name)
            digest.add(subnet.cidr)
            for rules in [topology.acls[acl].ingress, topology.acls[acl].egress] {
                digest.add(UInt64(rules.count))
                for rule in rules { digest.add(rule) }
            }
        }
        if hasMiddleboxes { digest.add("middleboxes") }
        return digest.value
    }
}

extension Digest {
    fileprivate mutating func add(_ prefix: IPPrefix) {
        add(UInt64(prefix.address.v4))
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
    let lookups: [PolicyLookup]
    let classMaps: [NFSet]

    /// - Parameter origin: Of the sets.
    init(_ acl: ResolvedACL, _ direction: TrafficDirection, origin: Origin) {
        let (name, rules) = (
            FirewallName(.acl, acl.name, direction: direction), acl.lines(isIngress: direction == .ingress)
        )
        (self.name, self.rules) = (name, rules)
        counters = rules.map { name.with(role: "\($0.priority)").description }
        let stages = TrafficStages(rules.map(\.line))
        lookups = stages.lookups(name)
        classMaps = stages.classMaps(name, origin: origin)
    }

    /// The map to counters that goes with a map to verdicts.
    func countName(_ lookup: PolicyLookup) -> String { name.with(role: lookup.role + "_count").description }
}
