import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

/// What is asked about packets: ACLs, reports, lists of security groups, groups, members.
extension HostCompiler {
    mutating func bringPolicies(_ concerned: Concerned, _ change: TopologyChange.Part<ResolvedInterface>) {
        let hasLostSubnets = !subnetsBrought.removed.isEmpty
        bringACLs(concerned)
        let reports = demand.reports.take()
        for vpc in reports.removed { drop(.report(vpc)) }
        for vpc in concerned.reports.filter(demand.reports.contains).union(reports.added) { bring(.report(vpc)) }

        let blocks = noteBlocks(concerned, change)
        let lists = demand.lists.take()
        for list in lists.added { for group in list { demand.groups.add(group) } }
        for list in lists.removed {
            for group in list { demand.groups.drop(group) }
            drop(.list(list))
        }
        // What these had in common with others went with them.
        let firsts = Set(lists.removed.map { $0[0] })
        let groups = demand.groups.take()
        for group in groups.removed {
            for named in groupRules.removeValue(forKey: group)?.namedGroups ?? [] { demand.members.drop(named) }
            drop(.group(group))
        }
        let made = concerned.groups.filter(demand.groups.contains).union(groups.added)
        for group in topology.inOrder(made, of: \.securityGroups) {
            let rules = BothDirections(group, of: topology)
            for named in rules.namedGroups { demand.members.add(named) }
            for named in groupRules[group]?.namedGroups ?? [] { demand.members.drop(named) }
            groupRules[group] = rules
            for named in rules.namedGroups where membersHavePrefixes[named] == nil {
                membersHavePrefixes[named] = hasPrefixes(ofGroup: named)
            }
            bring(.group(group))
        }
        let other = Set(concerned.groups)
        var asked = concerned.lists.filter(demand.lists.contains).union(lists.added)
        if !other.isEmpty { asked.formUnion(demand.lists.keys.filter { $0.contains(where: other.contains) }) }
        if !blocks.turned.isEmpty {
            asked.formUnion(demand.lists.keys.filter { $0.contains { isNamed(blocks.turned, by: $0) } })
        }
        if !firsts.isEmpty { asked.formUnion(demand.lists.keys.filter { firsts.contains($0[0]) }) }
        for list in asked { bring(.list(list)) }
        bringMembers(concerned.members.union(blocks.groups), change)
        if !lists.removed.isEmpty || hasLostSubnets { releaseChains() }
    }

    /// Lists and subnets seldom go, and there are few of them beside the ports.
    private mutating func releaseChains() {
        let table = intent.host.firewall.first { $0.table == FirewallTables.filter }
        numbering.releaseChains(but: Set(table?.chains.map(\.name) ?? []))
    }

    private func isNamed(_ groups: Set<Int>, by group: Int) -> Bool {
        groupRules[group]?.namedGroups.contains(where: groups.contains) ?? false
    }

    /// Finds out which groups have members with blocks of addresses: packets are asked about these apart.
    /// - Returns: those of which a member with blocks has changed, and those that are asked about otherwise now.
    private mutating func noteBlocks(
        _ concerned: Concerned, _ change: TopologyChange.Part<ResolvedInterface>
    ) -> (groups: Set<Int>, turned: Set<Int>) {
        var groups: Set<Int> = []
        let now = (change.added + change.changed.keys).map { topology.interfaces[$0] }
        for interface in Array(change.removed.values) + Array(change.changed.values) + now where interface.hasPrefixes {
            groups.formUnion(interface.securityGroups)
        }
        var turned: Set<Int> = []
        for group in groups.union(concerned.members) {
            guard let former = membersHavePrefixes[group] else { continue }
            let now = topology.securityGroups.contains(number: group) && hasPrefixes(ofGroup: group)
            membersHavePrefixes[group] = now
            if former != now { turned.insert(group) }
        }
        return (groups, turned)
    }

    private mutating func bringACLs(_ concerned: Concerned) {
        let (added, removed) = subnetsBrought
        subnetsBrought = ([], [])
        for subnet in removed { drop(.subnet(subnet)) }
        for subnet in concerned.subnets.filter(demand.subnets.contains).union(added) { bring(.subnet(subnet)) }
        let acls = demand.acls.take()
        for acl in acls.removed { drop(.acl(acl.acl, acl.direction)) }
        for acl in Set(demand.acls.keys.filter { concerned.acls.contains($0.acl) }).union(acls.added) {
            bring(.acl(acl.acl, acl.direction))
        }
    }

    /// A member that comes or goes is one element.
    /// - Parameter groups: Those of which more than single addresses may be others.
    private mutating func bringMembers(_ groups: Set<Int>, _ change: TopologyChange.Part<ResolvedInterface>) {
        let (added, removed) = demand.members.take()
        for group in removed {
            drop(.members(group))
            membersHavePrefixes[group] = nil
        }
        let whole = groups.filter(demand.members.contains).union(added)
        for group in whole { bring(.members(group)) }
        for (number, former) in change.removed.merging(change.changed, uniquingKeysWith: { first, _ in first }) {
            for group in former.securityGroups where demand.members.contains(group) && !whole.contains(group) {
                if isMember(number, of: group, with: former.addresses, change.changed[number]) { continue }
                editMembers(of: group) { elements in
                    var isOther = false
                    for address in former.addresses {
                        if elements.remove(NFKey(address), from: Origin(.networkInterface, number)) { isOther = true }
                    }
                    return isOther
                }
            }
        }
        for number in change.added + change.changed.keys {
            let interface = topology.interfaces[number]
            for group in interface.securityGroups where demand.members.contains(group) && !whole.contains(group) {
                if isMember(number, of: group, with: interface.addresses, change.changed[number]) { continue }
                editMembers(of: group) { elements in
                    for address in interface.addresses {
                        var element = NFElements(layout: elements.layout)
                        element.append(NFKey(address), origin: Origin(.networkInterface, number))
                        elements.put(element, at: 0)
                    }
                    return true
                }
            }
        }
    }

    /// Whether an interface is and was a member of a group, with the same addresses.
    private func isMember(
        _ number: Int, of group: Int, with addresses: [IPAddress], _ former: ResolvedInterface?
    ) -> Bool {
        guard let former else { return false }
        let now = topology.interfaces[number]
        return [former, now].allSatisfy { $0.securityGroups.contains(group) && $0.addresses == addresses }
    }

    private mutating func editMembers(of group: Int, _ edit: (inout NFElements) -> Bool) {
        let (name, table) = (membersName(group), FirewallTables.filter)
        guard let index = intent.host.firewall.position(of: table),
            let place = intent.host.firewall[index].position(ofSet: name)
        else { return }
        if edit(&intent.host.firewall[index].sets[place].elements) {
            changed.firewall.insert(NFPart(table, .set, name))
        }
    }
}
