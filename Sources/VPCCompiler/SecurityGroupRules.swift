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

    private let name: FirewallName
    /// By rule.
    let counters: [String]
    /// Rules by address.
    let byAddress: [PolicyLookup]
    let classMaps: [NFSet]
    /// Rules by group: services, whatever the address.
    private(set) var byGroup: [GroupKey: [TrafficStage.Entry]] = [:]

    /// - Parameter origin: Of the sets.
    init(_ group: ResolvedSecurityGroup, _ direction: TrafficDirection, origin: Origin) {
        let rules = group.rules(isIngress: direction == .ingress)
        let name = FirewallName(.group, group.name, direction: direction)
        self.name = name
        counters = rules.indices.map { name.with(role: "\($0)").description }
        let stages = TrafficStages(rules.map(\.line))
        byAddress = stages.lookups(name)
        classMaps = stages.classMaps(name, origin: origin)
        for (member, services) in rules.servicesOfGroups {
            for (place, entries) in Dictionary(grouping: services.entries, by: \.box.place) {
                byGroup[GroupKey(group: member, place: place)] = entries
            }
        }
    }

    /// `sg_web_in_from_db`, `sg_web_in_icmp_from_db`.
    func name(_ place: SelectorPlace, group: String) -> String {
        name.with(role: (place == .port ? "from_" : "icmp_from_") + group).description
    }
}
