internal import IPAddressing
internal import VPCModel

/// What a direction of a security group or ACL comes to in the kernel, computed as the compiler does.
struct PolicySize {
    /// Elements of its sets.
    private(set) var elements = 0
    /// A line for which there is no room.
    private(set) var excess: Int?
    /// Steps that it took to find out.
    let effort: Int
    /// Whether it is known that each line decides on something.
    let eachLineDecides: Bool

    /// - Parameters:
    ///   - lines: As far as they name addresses.
    ///   - groups: What they allow to members of groups.
    init(_ lines: [TrafficLine], _ groups: [Int: GroupServices] = [:], limits: TrafficLimits) {
        let stages = TrafficStages<IPv4Bits>(lines, limits)
        excess = stages.excess
        effort = stages.effort
        elements = stages.elementCount
        var taken = [Int](repeating: 0, count: lines.count)
        for stage in stages.stages { for entry in stage.entries { taken[entry.line] += 1 } }
        for services in groups.values {
            let entries = services.entries
            elements += entries.count
            for entry in entries { taken[entry.line] += 1 }
        }
        // What one stage holds may be all decided in another.
        eachLineDecides = excess == nil && stages.stages.count < 2 && !taken.contains(0)
        if excess == nil, elements > limits.elements { excess = taken.indices.max { taken[$0] < taken[$1] } }
    }
}

extension Resolver {
    /// Takes what a direction comes to into account, and reports it where it is more than a host can hold, or than can be
    /// worked out while somebody waits.
    /// - Returns: What it comes to, and whether it is known that each line decides on something, or does not matter any more.
    mutating func admit(
        _ lines: [TrafficLine], _ groups: [Int: GroupServices] = [:], of resource: ResourceReference,
        _ path: (Int) -> FieldPath
    ) -> (cost: PolicyCost, eachLineDecides: Bool) {
        // That it is too much has been reported.
        guard policyEffort <= limits.effortOfAll else { return (PolicyCost(), true) }
        let size = PolicySize(lines, groups, limits: limits)
        let cost = PolicyCost(elements: size.elements, effort: size.effort)
        policyEffort += size.effort
        if let excess = size.excess {
            report(
                "policy-too-large",
                "\(path(excess)) cannot be held by a host: with it this list takes more than"
                    + " \(limits.elements) elements of nftables, or more than"
                    + " \(limits.stages) lookups",
                hint: Self.remedy, at: resource, path(excess))
        }
        if policyEffort > limits.effortOfAll {
            report(
                "policy-too-large",
                "what the lists up to this one come to takes more than \(limits.effortOfAll) steps to find out",
                hint: Self.remedy, at: resource, ["metadata", "name"])
            return (cost, true)
        }
        return (cost, size.eachLineDecides)
    }

    private static let remedy =
        "use fewer and larger blocks and port ranges, and do not alternate lines with many ports and lines with many"
        + " addresses: each of the one that meets one of the other takes an element"

    /// Checks what the policies of each host's interfaces come to together.
    mutating func checkPolicySizes() {
        // All policies are as many as a host has at most: then no host needs to be looked at.
        guard topology.policyElements > limits.elementsOfHost else { return }
        if change != nil {
            isInDoubt = true
            return
        }
        for (number, interfaces) in topology.interfacesOfHost.enumerated() where !interfaces.isEmpty {
            let policies = policies(of: interfaces)
            let elements = policies.reduce(0) { $0 + $1.elements }
            guard elements > limits.elementsOfHost,
                let largest = policies.max(by: { ($0.elements, $1.resource) < ($1.elements, $0.resource) })
            else { continue }
            let host = ResourceReference(.host, topology.hosts[number].metadata.name)
            report(
                "policy-too-large",
                "the security groups and ACLs of its interfaces take \(elements) elements of nftables;"
                    + " \(limits.elementsOfHost) are the most",
                hint: Self.remedy, at: host, ["metadata", "name"],
                related: Diagnostic.Related(
                    "the largest takes \(largest.elements) of them", at: largest.resource, ["metadata", "name"]))
        }
    }

    private func policies(of interfaces: [Int]) -> [(resource: ResourceReference, elements: Int)] {
        var groups: Set<Int> = []
        var acls: Set<Int> = []
        for index in interfaces {
            let interface = topology.interfaces[index]
            groups.formUnion(interface.securityGroups)
            if let acl = topology.subnets[interface.subnet].acl { acls.insert(acl) }
        }
        return groups.map { group in
            let group = topology.securityGroups[group]
            return (ResourceReference(.securityGroup, group.name), group.cost.elements)
        }
            + acls.map { acl in
                let acl = topology.acls[acl]
                return (ResourceReference(.networkACL, acl.name), acl.cost.elements)
            }
    }
}
