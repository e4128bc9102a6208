import IPAddressing
import VPCCompiler
import VPCModel
import VPCTopology

extension Walk {
    /// The groups of an interface, together: one that allows is enough.
    func passesGroups(
        of index: Int, _ direction: PolicyDirection, _ state: ConnectionState, _ way: inout Way
    ) -> Bool {
        let interface = topology.interfaces[index]
        let stage: TraceStep.Stage = direction == .egress ? .groupEgress : .groupIngress
        guard !interface.securityGroups.isEmpty else {
            way.add(
                stage, .allow, "\(interface.name) has no security groups: everything is allowed", reference(interface))
            return true
        }
        let groups = interface.securityGroups.map { topology.securityGroups[$0] }
        let names = groups.count == 1 ? "group \(groups[0].name)" : "groups " + list(groups.map(\.name))
        let own: FieldPath = ["spec", "securityGroups"]
        if state == .invalid {
            way.add(
                stage, .deny, "\(names): " + way.strayReason,
                reference(interface), own, counter: RuleCounter.deniedByGroup)
            return false
        }
        for group in groups {
            guard let match = rule(of: group, direction, way.packet) else { continue }
            way.add(
                stage, .allow,
                "group \(group.name): \(direction.rawValue)[\(match.line)] allows \(match.traffic)"
                    + " \(direction.preposition) \(match.peer)",
                ResourceReference(.securityGroup, group.name),
                ["spec", .key(direction.rawValue), .index(match.line)],
                counter: RuleCounter.ofGroup(group.name, direction.traffic, rule: match.line))
            return true
        }
        let complaint =
            "no \(direction.rawValue) rule of \(names) allows \(way.packet.traffic) \(direction.preposition)"
            + " \(direction.farAddress(way.packet))"
        if groups.count == 1 {
            let path: FieldPath = ["spec", .key(direction.rawValue)]
            way.add(
                stage, .deny, complaint, ResourceReference(.securityGroup, groups[0].name), path,
                counter: RuleCounter.deniedByGroup)
        } else {
            way.add(stage, .deny, complaint, reference(interface), own, counter: RuleCounter.deniedByGroup)
        }
        return false
    }

    /// The rule that counts a packet in the kernel: of those by address the first, then of those by group.
    private func rule(
        of group: ResolvedSecurityGroup, _ direction: PolicyDirection, _ packet: Packet
    ) -> (line: Int, traffic: String, peer: String)? {
        let rules = direction == .ingress ? group.ingress : group.egress
        let far = direction.farAddress(packet)
        for (line, rule) in rules.enumerated() where rule.traffic.matches(packet) {
            if let cidr = rule.cidrs.first(where: { $0.contains(far) }) { return (line, rule.traffic.text, "\(cidr)") }
            let balancer = rule.balancers.first { balancer in
                let all = direction == .ingress ? topology.addresses(ofBalancer:) : topology.targets(ofBalancer:)
                return all(balancer).contains(far)
            }
            if let balancer {
                return (line, rule.traffic.text, "load balancer \(topology.loadBalancers[balancer].name)")
            }
        }
        var best: (line: Int, traffic: String, group: Int)?
        for (line, rule) in rules.enumerated() where rule.traffic.matches(packet) {
            for peer in rule.groups where best.map({ isBefore(peer, $0.group) }) ?? true {
                let hasMember = topology.securityGroups[peer].members.contains { topology.interfaces[$0].has(far) }
                if hasMember { best = (line, rule.traffic.text, peer) }
            }
        }
        return best.map { ($0.line, $0.traffic, "group \(topology.securityGroups[$0.group].name)") }
    }

    private func isBefore(_ group: Int, _ other: Int) -> Bool {
        topology.securityGroups[group].isBefore(topology.securityGroups[other], topology.vpcs)
    }

    private func list(_ names: [String]) -> String { names.joined(separator: ", ") }
}
