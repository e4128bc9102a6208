import IPAddressing
import VPCCompiler
import VPCModel
import VPCTopology

/// Which way a packet goes, seen from the guest.
enum PolicyDirection: String {
    case ingress
    case egress

    /// As the compiler calls it.
    var traffic: TrafficDirection { self == .ingress ? .ingress : .egress }

    func farAddress(_ packet: Packet) -> IPAddress { self == .ingress ? packet.source : packet.destination }
    /// `from` or `to`.
    var preposition: String { self == .ingress ? "from" : "to" }
}

extension Walk {
    // MARK: ACLs

    /// The ACL of an interface's subnet; what stays inside the subnet does not meet it.
    func passesACL(of index: Int, _ direction: PolicyDirection, _ way: inout Way) -> Bool {
        let subnet = topology.subnets[topology.interfaces[index].subnet]
        let stage: TraceStep.Stage = direction == .egress ? .aclEgress : .aclIngress
        guard let position = subnet.acl else {
            way.add(stage, .allow, "subnet \(subnet.name) has no ACL: everything is allowed", reference(subnet))
            return true
        }
        let acl = topology.acls[position]
        let far = direction.farAddress(way.packet)
        if subnet.cidr.contains(far) {
            way.add(
                stage, .allow, "\(far) is inside subnet \(subnet.name): ACL \(acl.name) is not asked", reference(subnet)
            )
            return true
        }
        return passes(acl, direction, stage, far, &way)
    }

    /// What a gateway sends into another subnet with a source inside of that one does not stay inside: the gateway's own
    /// host asks the ACL, in place of the receiver's.
    func passesRelay(from gateway: Int, to receivers: [Int], _ way: inout Way) -> Bool {
        let own = topology.interfaces[gateway].subnet
        let entered = Set(receivers.map { topology.interfaces[$0].subnet })
            .first { $0 != own && topology.subnets[$0].cidr.contains(way.packet.source) }
        guard let entered, let position = topology.subnets[entered].acl else { return true }
        return passes(topology.acls[position], .ingress, .aclIngress, way.packet.source, &way)
    }

    private func passes(
        _ acl: ResolvedACL, _ direction: PolicyDirection, _ stage: TraceStep.Stage, _ far: IPAddress, _ way: inout Way
    ) -> Bool {
        let resource = ResourceReference(.networkACL, acl.name)
        let list: FieldPath = ["spec", .key(direction.rawValue)]
        let rules = direction == .ingress ? acl.ingress : acl.egress
        guard let rule = rules.first(where: { $0.cidr.contains(far) && $0.traffic.matches(way.packet) }) else {
            way.add(
                stage, .deny,
                "ACL \(acl.name): no \(direction.rawValue) line matches \(way.packet.traffic) \(direction.preposition)"
                    + " \(far): deny", resource, list, counter: RuleCounter.deniedByACL)
            return false
        }
        let isAllowed = rule.action == .allow
        way.add(
            stage, isAllowed ? .allow : .deny,
            "ACL \(acl.name): \(direction.rawValue) line \(rule.priority) \(isAllowed ? "allows" : "denies")"
                + " \(rule.traffic.text) \(direction.preposition) \(rule.cidr)", resource,
            path(ofLine: rule.priority, of: acl, direction) ?? list,
            counter: RuleCounter.ofACL(acl.name, direction.traffic, priority: rule.priority))
        return isAllowed
    }

    /// The line's position in its manifest; the topology has the order of deciding.
    private func path(ofLine priority: Int, of acl: ResolvedACL, _ direction: PolicyDirection) -> FieldPath? {
        model?.acls.first { $0.metadata.name == acl.name }?.path(ofLine: priority, isIngress: direction == .ingress)
    }

    // MARK: Security groups

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
        }
        var best: (line: Int, traffic: String, group: Int)?
        for (line, rule) in rules.enumerated() where rule.traffic.matches(packet) {
            for peer in rule.groups where best.map({ isBefore(peer, $0.group) }) ?? true {
                let hasMember = topology.securityGroups[peer].members.contains {
                    topology.interfaces[$0].address == far
                }
                if hasMember { best = (line, rule.traffic.text, peer) }
            }
        }
        return best.map { ($0.line, $0.traffic, "group \(topology.securityGroups[$0.group].name)") }
    }

    private func isBefore(_ group: Int, _ other: Int) -> Bool {
        topology.securityGroups[group].isBefore(topology.securityGroups[other], topology.vpcs)
    }

    private func list(_ names: [String]) -> String { names.joined(separator: ", ") }

    private func reference(_ subnet: ResolvedSubnet) -> ResourceReference { ResourceReference(.subnet, subnet.name) }
}
