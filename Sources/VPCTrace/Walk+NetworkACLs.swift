import IPAddressing
import VPCCompiler
import VPCModel
import VPCTopology

extension Walk {
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

    private func reference(_ subnet: ResolvedSubnet) -> ResourceReference { ResourceReference(.subnet, subnet.name) }
}
