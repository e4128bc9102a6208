import IPAddressing
import KernelNames
import NFTables
import VPCModel
import VPCTopology

/// One direction of a security group as lookups: what several rules allow counts for the first of them.
struct SecurityGroupRules: Sendable {
    struct GroupKey: Sendable {
        /// A number of `Topology.securityGroups`.
        var group: Int
        var place: SelectorPlace
    }

    private let name: FirewallName
    /// By rule.
    let counters: [String]
    /// Rules by address.
    let byAddress: [PolicyLookup<IPv4Bits>]
    let classMaps: [NFSet]
    /// Rules by group: services, whatever the address. In the order of the groups.
    private(set) var byGroup: [(key: GroupKey, entries: [GroupServices.Entry])] = []

    init(_ number: Int, of topology: Topology, _ direction: TrafficDirection) {
        let (group, origin) = (topology.securityGroups[number], Origin(.securityGroup, number))
        let rules = group.rules(isIngress: direction == .ingress)
        let name = FirewallName(.group, group.name, direction: direction)
        self.name = name
        counters = rules.indices.map { name.with(role: "\($0)").description }
        let stages = TrafficStages<IPv4Bits>(rules.map(\.line))
        byAddress = stages.lookups(name)
        classMaps = stages.classMaps(name, origin: origin)
        let services = rules.servicesOfGroups
        for member in topology.inOrder(services.keys, of: \.securityGroups) {
            let entries = Dictionary(grouping: services[member]?.entries ?? [], by: { $0.services.place })
            for (place, entries) in entries.sorted(by: { $0.key < $1.key }) {
                byGroup.append((GroupKey(group: member, place: place), entries))
            }
        }
    }

    /// `sg_web_in_from_db`, `sg_web_in_icmp_from_db`.
    func name(_ place: SelectorPlace, group: String) -> String {
        name.with(role: (place == .port ? "from_" : "icmp_from_") + group).description
    }
}

/// Both directions of a security group's rules.
struct BothDirections: Sendable {
    let ingress: SecurityGroupRules
    let egress: SecurityGroupRules

    init(_ number: Int, of topology: Topology) {
        ingress = SecurityGroupRules(number, of: topology, .ingress)
        egress = SecurityGroupRules(number, of: topology, .egress)
    }

    subscript(direction: TrafficDirection) -> SecurityGroupRules { direction == .ingress ? ingress : egress }

    /// The groups that they name.
    var namedGroups: Set<Int> { Set((ingress.byGroup + egress.byGroup).map(\.key.group)) }
}
