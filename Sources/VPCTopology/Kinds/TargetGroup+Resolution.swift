internal import VPCModel

extension TargetGroup: ResolvableResource {
    static let resolution = [ResolutionStep(.routes) { $0.resolveTargetGroups() }]

    static func elements(of topology: Topology) -> Slots<ResolvedTargetGroup> { topology.targetGroups }
    static func elements<Result>(
        _ topology: inout Topology, _ body: (inout Slots<ResolvedTargetGroup>) -> Result
    ) -> Result {
        body(&topology.targetGroups)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedTargetGroup>) -> Result
    ) -> Result {
        body(&change.targetGroups)
    }

    init(_ resolved: ResolvedTargetGroup, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name), vpc: topology.vpcs[resolved.vpc].name, port: resolved.port,
            transport: resolved.transport, members: resolved.members, healthCheck: resolved.healthCheck,
            drain: resolved.drain, whenAllUnhealthy: resolved.whenAllUnhealthy)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) { set(number, isThere: true, &resolver) }
    static func leave(_ number: Int, _ resolver: inout Resolver) { set(number, isThere: false, &resolver) }

    private static func set(_ number: Int, isThere: Bool, _ resolver: inout Resolver) {
        let group = resolver.topology.targetGroups[number]
        for target in group.targets {
            resolver.index.targetGroupsOfInterface.set(number, to: target.interface, isThere)
        }
        guard case .selector = group.members else { return }
        if isThere {
            resolver.index.selectingTargetGroups.insert(number)
        } else {
            resolver.index.selectingTargetGroups.remove(number)
        }
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.index.balancersOfTargetGroup[number].map { NumberedResource(kind: .loadBalancer, number: $0) }
    }

    func concerned(by new: TargetGroup, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        (vpc, transport) == (new.vpc, new.transport) ? [] : Self.referrers(to: number, resolver)
    }
}

extension Resolver {
    fileprivate mutating func resolveTargetGroups() {
        let groups = model.targetGroups.sorted { $0.metadata.name < $1.metadata.name }
        if groups.isEmpty { return }
        var found: [(vpc: Int, group: TargetGroup)] = []
        for group in groups {
            if let vpc = number(of: VPC.self, group.vpc, for: group.reference, ["spec", "vpc"]) {
                found.append((vpc, group))
            } else {
                giveUp(group)
            }
        }
        let labelled = LabelledInterfaces(
            found.compactMap { entry in entry.group.selector.map { (entry.vpc, $0) } }, in: topology)
        for (vpc, group) in found {
            let targets: [ResolvedTargetGroup.Target]
            switch group.members {
            case .interfaces(let members): targets = self.targets(members, of: group, vpc)
            case .selector(let labels):
                targets = labelled.interfaces(ofVPC: vpc, labels, in: topology).map { .init(interface: $0, weight: 1) }
                if targets.isEmpty { warnOfNobody(group, vpc) }
            }
            if targets.count > TargetGroup.maximumTargets {
                report(
                    "too-many-targets",
                    "it has \(targets.count) targets; \(TargetGroup.maximumTargets) are the most",
                    hint: "use several groups and balancers", at: group.reference, group.path)
            }
            let resolved = ResolvedTargetGroup(
                name: group.metadata.name, vpc: vpc, port: group.port, transport: group.transport,
                members: group.members,
                targets: targets.sorted {
                    topology.interfaces[$0.interface].name < topology.interfaces[$1.interface].name
                }, healthCheck: group.healthCheck, drain: group.drain, whenAllUnhealthy: group.whenAllUnhealthy)
            TargetGroup.enter(place(TargetGroup.self, group.metadata.name, resolved), &self)
        }
    }

    private mutating func warnOfNobody(_ group: TargetGroup, _ vpc: Int) {
        // What did not decode may be what it selects.
        if model.gaps.kinds.contains(.networkInterface)
            || model.gaps.resources.contains(where: { $0.kind == .networkInterface })
        {
            return
        }
        warn(
            "no-targets",
            "no interface of VPC \(topology.vpcs[vpc].name) has all of these labels: nobody is let connect",
            hint: "give interfaces the labels, in metadata.labels", at: group.reference, ["spec", "selector"])
    }

    private mutating func targets(
        _ members: [TargetGroup.Member], of group: TargetGroup, _ vpc: Int
    ) -> [ResolvedTargetGroup.Target] {
        var first: [String: Int] = [:]
        var targets: [ResolvedTargetGroup.Target] = []
        for (position, member) in members.enumerated() {
            let path: FieldPath = ["spec", "interfaces", .index(position), "name"]
            if let other = first[member.name] {
                report(
                    "duplicate-target", "it has \(member.name) twice", hint: "give it the weight of both",
                    at: group.reference, path,
                    related: Diagnostic.Related(
                        "the first one is here", at: group.reference, ["spec", "interfaces", .index(other), "name"]))
                continue
            }
            first[member.name] = position
            let interface = number(of: NetworkInterface.self, member.name, for: group.reference, path)
            guard let interface else { continue }
            let owner = topology.interfaces[interface].vpc
            guard owner == vpc else {
                report(
                    "target-other-vpc",
                    "\(member.name) is in VPC \(topology.vpcs[owner].name), the group in \(topology.vpcs[vpc].name)",
                    hint: "name an interface of VPC \(topology.vpcs[vpc].name)", at: group.reference, path,
                    related: Diagnostic.Related(
                        "the interface is here", at: ResourceReference(.networkInterface, member.name),
                        ["spec", "subnet"]))
                continue
            }
            targets.append(.init(interface: interface, weight: member.weight))
        }
        return targets
    }

    // MARK: Changes

    /// Target groups that name an interface, and do not select it.
    func namingTargetGroups(_ interface: Int) -> [Int] {
        index.targetGroupsOfInterface[interface].filter { !index.selectingTargetGroups.contains($0) }
    }

    /// Security groups that name balancers whose addresses, or those of whose targets, may be others.
    func policies(naming resources: Set<NumberedResource>) -> [NumberedResource] {
        if topology.loadBalancers.isEmpty { return [] }
        var balancers: Set<Int> = []
        for resource in resources {
            if resource.kind == .loadBalancer { balancers.insert(resource.number) }
            if resource.kind == .targetGroup { balancers.formUnion(index.balancersOfTargetGroup[resource.number]) }
        }
        return balancers.flatMap { index.groupsNamingBalancer[$0] }.map {
            NumberedResource(kind: .securityGroup, number: $0)
        }
    }

    /// Target groups in which interfaces are that have changed, or may be from now on, and what goes by their targets.
    func balancing(with resources: Set<NumberedResource>, _ changes: ResourceChanges) -> [NumberedResource] {
        if topology.targetGroups.isEmpty { return [] }
        var groups: Set<Int> = []
        var labels: [[String: String]] = []
        for resource in resources where resource.kind == .networkInterface {
            groups.formUnion(index.targetGroupsOfInterface[resource.number])
            labels.append(topology.interfaces[resource.number].labels)
        }
        for (reference, resource) in changes.added where reference.kind == .networkInterface {
            labels.append(resource.value.metadata.labels)
        }
        for (reference, resource) in changes.removed where reference.kind == .networkInterface {
            labels.append(resource.value.metadata.labels)
        }
        for number in index.selectingTargetGroups {
            guard case .selector(let wanted) = topology.targetGroups[number].members else { continue }
            if labels.contains(where: { $0.hasAll(of: wanted) }) { groups.insert(number) }
        }
        return groups.map { NumberedResource(kind: .targetGroup, number: $0) }
    }
}

extension TargetGroup {
    fileprivate var selector: [String: String]? { if case .selector(let labels) = members { labels } else { nil } }
    fileprivate var path: FieldPath { ["spec", selector == nil ? "interfaces" : "selector"] }
}

extension [String: String] {
    /// Whether all of these labels are among them.
    func hasAll(of wanted: [String: String]) -> Bool {
        count >= wanted.count && wanted.allSatisfy { self[$0.key] == $0.value }
    }
}

/// Interfaces by a label of each selector, found by looking at each interface once.
private struct LabelledInterfaces {
    private struct Label: Hashable {
        var vpc: Int
        var key: String
        var value: String

        /// One of a selector's: the same each time.
        init?(_ vpc: Int, _ selector: [String: String]) {
            guard let (key, value) = selector.min(by: { $0.key < $1.key }) else { return nil }
            (self.vpc, self.key, self.value) = (vpc, key, value)
        }

        init(_ vpc: Int, _ key: String, _ value: String) {
            (self.vpc, self.key, self.value) = (vpc, key, value)
        }
    }

    private var numbers: [Label: [Int]] = [:]

    init(_ selectors: [(vpc: Int, labels: [String: String])], in topology: Topology) {
        for selector in selectors { if let label = Label(selector.vpc, selector.labels) { numbers[label] = [] } }
        for vpc in Set(selectors.map(\.vpc)) {
            for number in topology.interfacesOfVPC[vpc] {
                for (key, value) in topology.interfaces[number].labels {
                    numbers[Label(vpc, key, value)]?.append(number)
                }
            }
        }
    }

    func interfaces(ofVPC vpc: Int, _ selector: [String: String], in topology: Topology) -> [Int] {
        guard let label = Label(vpc, selector) else { return [] }
        return (numbers[label] ?? []).filter { topology.interfaces[$0].labels.hasAll(of: selector) }
    }
}
