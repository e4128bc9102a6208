import KernelModel
import VPCModel
import VPCTopology

/// One direction of a security group as lookups: what several rules allow counts for the first of them.
struct SecurityGroupRules {
    struct GroupKey {
        /// A number of `Topology.securityGroups`.
        var group: Int
        var place: SelectorPlace
    }

    /// `sg_web_in`.
    let prefix: String
    /// How many rules there are.
    let count: Int
    /// Rules by address.
    let byAddress: [PolicyLookup]
    let classMaps: [NFSet]
    /// Rules by group: services, whatever the address. In the order of the groups.
    private(set) var byGroup: [(key: GroupKey, entries: [TrafficStage.Entry])] = []

    init(_ number: Int, of topology: Topology, _ direction: TrafficDirection) {
        let (group, origin) = (topology.securityGroups[number], Origin(.securityGroup, number))
        prefix = FirewallName.group(group.name, direction)
        let rules = group.rules(isIngress: direction == .ingress)
        count = rules.count
        let stages = TrafficStages(rules.map(\.line))
        byAddress = stages.lookups(prefix)
        classMaps = stages.classMaps(prefix, origin: origin)
        let services = rules.servicesOfGroups
        for member in topology.inOrder(services.keys, of: \.securityGroups) {
            let entries = Dictionary(grouping: services[member]?.entries ?? [], by: \.box.place)
            for (place, entries) in entries.sorted(by: { $0.key < $1.key }) {
                byGroup.append((GroupKey(group: member, place: place), entries))
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
