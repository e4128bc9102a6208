import KernelModel
import VPCModel
import VPCTopology

/// One direction of a security group as lookups: what several rules allow counts for the first of them.
struct SecurityGroupRules {
    struct GroupKey: Hashable, Comparable {
        /// Index into `Topology.securityGroups`.
        var group: Int
        var place: SelectorPlace

        static func < (left: GroupKey, right: GroupKey) -> Bool {
            (left.group, left.place) < (right.group, right.place)
        }
    }

    /// `sg_web_in`.
    let prefix: String
    /// How many rules there are.
    let count: Int
    /// Rules by address.
    let byAddress: [PolicyLookup]
    let classMaps: [NFSet]
    /// Rules by group: services, whatever the address.
    private(set) var byGroup: [GroupKey: [TrafficStage.Entry]] = [:]

    /// - Parameter origin: Of the sets.
    init(_ group: ResolvedSecurityGroup, _ direction: TrafficDirection, origin: Origin) {
        prefix = FirewallName.group(group.name, direction)
        let rules = group.rules(isIngress: direction == .ingress)
        count = rules.count
        let stages = TrafficStages(rules.map(\.line))
        byAddress = stages.lookups(prefix)
        classMaps = stages.classMaps(prefix, origin: origin)
        for (member, services) in rules.servicesOfGroups {
            for (place, entries) in Dictionary(grouping: services.entries, by: \.box.place) {
                byGroup[GroupKey(group: member, place: place)] = entries
            }
        }
    }

    /// `sg_web_in_from_db`, `sg_web_in_icmp_from_db`.
    func name(_ place: SelectorPlace, group: String) -> String {
        (place == .port ? prefix : prefix + "_icmp") + "_from_\(group)"
    }

    /// The counter of the rule at that position.
    func counter(_ line: Int) -> String { FirewallName.rule(prefix, line) }
}
