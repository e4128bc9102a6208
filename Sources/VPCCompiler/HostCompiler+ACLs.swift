import IPAddressing
import KernelModel
import VPCModel
import VPCTopology

extension HostCompiler {
    /// An ordered list of allow and deny becomes disjoint boxes, and those one interval map to verdicts: one lookup
    /// however many lines. A chain per ACL, and a small one per subnet: what stays inside the subnet is not the ACL's.
    mutating func addACLs(to table: inout NFTableIntent) {
        var maps = (in: verdictMap("acl_in"), out: verdictMap("acl_out"))
        var subnets: Set<Int> = []
        for index in attached {
            let interface = topology.interfaces[index]
            guard topology.subnets[interface.subnet].acl != nil else { continue }
            subnets.insert(interface.subnet)
            let origin = Origin(.networkInterface, index)
            let name = subnetName(interface.subnet)
            maps.in.add(port(of: interface), verdict: .jump(name + "_in"), origin: origin)
            maps.out.add(port(of: interface), verdict: .jump(name + "_out"), origin: origin)
        }
        table.sets += [maps.in, maps.out]
        let acls = Set(subnets.compactMap { topology.subnets[$0].acl })
        let asked = addRelayedSources(to: &table)
        for acl in acls.union(asked).sorted() { addChain(ofACL: acl, .ingress, to: &table) }
        for acl in acls.sorted() { addChain(ofACL: acl, .egress, to: &table) }
        for subnet in subnets.sorted() {
            for direction in TrafficDirection.allCases { addChain(ofSubnet: subnet, direction, to: &table) }
        }
        if !acls.union(asked).isEmpty { addDenial("acl", counter: RuleCounter.deniedByACL, to: &table) }
    }

    private func subnetName(_ subnet: Int) -> String { FirewallName.subnet(topology.subnets[subnet].name) }

    private func addChain(ofSubnet subnet: Int, _ direction: TrafficDirection, to table: inout NFTableIntent) {
        guard let acl = topology.subnets[subnet].acl else { return }
        let target = FirewallName.acl(topology.acls[acl].name, direction)
        table.chain("\(subnetName(subnet))_\(direction.rawValue)", origin: Origin(.subnet, subnet)) { chain in
            chain.rule(.match(direction.farAddress, topology.subnets[subnet].cidr), .return)
            chain.rule(.goto(target))
        }
    }

    private func addChain(ofACL acl: Int, _ direction: TrafficDirection, to table: inout NFTableIntent) {
        let lines = ACLLines(topology.acls[acl], direction)
        let origin = Origin(.networkACL, acl)
        for line in lines.rules {
            table.counters.append(NFCounter(FirewallName.rule(lines.prefix, line.priority), origin: origin))
        }
        let denials = lines.rules.map { rule in
            rule.action == .allow ? "" : denialChain(.acl(acl, direction, priority: rule.priority), &table)
        }
        for place in lines.boxes.keys.sorted() {
            var verdicts = NFSet(
                lines.name(place), of: .ipv4Address, .internetProtocol, .internetService, to: .verdict,
                isInterval: true,
                origin: origin)
            var counters = NFSet(
                lines.name(place) + "_count", of: .ipv4Address, .internetProtocol, .internetService, to: .counter,
                isInterval: true, origin: origin)
            for entry in lines.boxes[place] ?? [] {
                let rule = lines.rules[entry.line]
                let verdict: NFVerdict = rule.action == .allow ? .return : .goto(denials[entry.line])
                verdicts.add(
                    entry.box.addressKey, entry.box.protocolKey, entry.box.selectorKey, verdict: verdict, origin: origin
                )
                counters.add(
                    entry.box.addressKey, entry.box.protocolKey, entry.box.selectorKey,
                    counter: FirewallName.rule(lines.prefix, rule.priority), origin: origin)
            }
            table.sets += [verdicts, counters]
        }
        let unmatched = denialChain(.acl(acl, direction, priority: nil), &table)
        table.chain(lines.prefix, origin: origin) { chain in
            for place in lines.boxes.keys.sorted() {
                let far = direction.farAddress
                chain.rule(
                    place.guardStatement, .counter(map: lines.name(place) + "_count", far, .ipProtocol, place.field))
                chain.rule(place.guardStatement, .vmap(far, .ipProtocol, place.field, map: lines.name(place)))
            }
            chain.rule(.goto(unmatched))
        }
    }

    /// Changes when what an ACL of this host decides may have changed: then every connection is judged once more. It is
    /// made of the ACLs themselves, so that it needs no memory, and of whether there are middleboxes, because then more
    /// is judged; less than ``ConnectionMark/cut``.
    var policyEpoch: UInt32 {
        var digest = Digest()
        for index in Set(attached.map { topology.interfaces[$0].subnet }).sorted() {
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
        return UInt32(digest.value % UInt64(ConnectionMark.cut))
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

/// One direction of an ACL as disjoint boxes.
struct ACLLines {
    /// `acl_web_in`.
    let prefix: String
    /// By priority.
    let rules: [ACLRule]
    private(set) var boxes: [SelectorPlace: [DisjointBoxes.Entry]] = [:]

    init(_ acl: ResolvedACL, _ direction: TrafficDirection) {
        prefix = FirewallName.acl(acl.name, direction)
        rules = direction == .ingress ? acl.ingress : acl.egress
        var disjoint = DisjointBoxes()
        for (line, rule) in rules.enumerated() { disjoint.add(rule.traffic.boxes(rule.cidr.range), line: line) }
        for part in disjoint.entries.flatMap(\.bySelector) { boxes[part.place, default: []].append(part.entry) }
    }

    func name(_ place: SelectorPlace) -> String { place == .port ? prefix + "_map" : prefix + "_icmp" }
}
