internal import IPAddressing
internal import VPCModel

extension SecurityGroup: ResolvableResource {
    static let resolution = [
        ResolutionStep(.policiesOfInterfaces) { $0.resolveSecurityGroups() },
        ResolutionStep(.sizes) { $0.checkPolicySizes() },
    ]

    static func elements(of topology: Topology) -> Slots<ResolvedSecurityGroup> { topology.securityGroups }
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<ResolvedSecurityGroup>) -> Result)
        -> Result
    {
        body(&topology.securityGroups)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedSecurityGroup>) -> Result
    ) -> Result {
        body(&change.securityGroups)
    }

    /// Its members are known by the interfaces, and may be many.
    static func noted(_ former: ResolvedSecurityGroup) -> ResolvedSecurityGroup { former.with(members: []) }

    static func restored(_ former: ResolvedSecurityGroup, _ now: ResolvedSecurityGroup) -> ResolvedSecurityGroup {
        former.with(members: now.members)
    }

    init(_ resolved: ResolvedSecurityGroup, in topology: Topology) {
        func name(of group: ResolvedSecurityGroup) -> String {
            group.vpc == resolved.vpc ? group.name : "\(topology.vpcs[group.vpc].name)/\(group.name)"
        }
        func rules(_ resolved: [ResolvedSecurityRule]) -> [SecurityRule] {
            resolved.map { rule in
                SecurityRule(
                    traffic: rule.traffic,
                    peers: rule.cidrs.map { .cidr($0) }
                        + rule.groups.map { .securityGroup(name(of: topology.securityGroups[$0])) }
                        + rule.balancers.map { .loadBalancer(topology.loadBalancers[$0].name) })
            }
        }
        self.init(
            metadata: Metadata(name: resolved.name), vpc: topology.vpcs[resolved.vpc].name,
            ingress: rules(resolved.ingress), egress: rules(resolved.egress))
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let group = resolver.topology.securityGroups[number]
        resolver.index.groupsOfVPC.insert(number, to: group.vpc)
        for peer in group.namedGroups { resolver.index.groupsNamingGroup.insert(number, to: peer) }
        for balancer in group.namedBalancers { resolver.index.groupsNamingBalancer.insert(number, to: balancer) }
        resolver.topology.policyElements += group.cost.elements
        resolver.index.policyEffort += group.cost.effort
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let group = resolver.topology.securityGroups[number]
        resolver.index.groupsOfVPC.remove(number, from: group.vpc)
        for peer in group.namedGroups { resolver.index.groupsNamingGroup.remove(number, from: peer) }
        for balancer in group.namedBalancers { resolver.index.groupsNamingBalancer.remove(number, from: balancer) }
        resolver.topology.policyElements -= group.cost.elements
        resolver.index.policyEffort -= group.cost.effort
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.topology.securityGroups[number].members.map { NumberedResource(kind: .networkInterface, number: $0) }
            + resolver.index.groupsNamingGroup[number].map { NumberedResource(kind: .securityGroup, number: $0) }
    }

    func concerned(by new: SecurityGroup, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        vpc == new.vpc ? [] : Self.referrers(to: number, resolver)
    }
}

extension ResolvedSecurityGroup {
    fileprivate func with(members: [Int]) -> ResolvedSecurityGroup {
        var group = self
        group.members = members
        return group
    }

    fileprivate var namedGroups: Set<Int> { Set((ingress + egress).flatMap(\.groups)) }
    fileprivate var namedBalancers: Set<Int> { Set((ingress + egress).flatMap(\.balancers)) }
}

extension Resolver {
    fileprivate mutating func resolveSecurityGroups() {
        let securityGroups = model.securityGroups
        var found: [(vpc: Int, index: Int)] = []
        for (index, group) in securityGroups.enumerated() {
            if let vpc = number(of: VPC.self, group.vpc, for: group.reference, ["spec", "vpc"]) {
                found.append((vpc, index))
            } else {
                giveUp(group)
            }
        }
        found.sort {
            (topology.vpcs[$0.vpc].id, securityGroups[$0.index].metadata.name)
                < (topology.vpcs[$1.vpc].id, securityGroups[$1.index].metadata.name)
        }
        var numbers: [Int] = []
        for entry in found {
            let group = securityGroups[entry.index]
            let former = number(SecurityGroup.self, group.metadata.name).map { topology.securityGroups[$0] }
            let isOfVPC = former?.vpc == entry.vpc
            let resolved = ResolvedSecurityGroup(
                name: group.metadata.name, vpc: entry.vpc, ingress: [], egress: [],
                members: isOfVPC ? former?.members ?? [] : [])
            numbers.append(place(SecurityGroup.self, group.metadata.name, resolved))
        }
        // Rules name groups: only now are all of these known.
        for (number, entry) in zip(numbers, found) {
            let group = securityGroups[entry.index]
            let ingress = rules(of: group, entry.vpc, .ingress, group.ingress)
            let egress = rules(of: group, entry.vpc, .egress, group.egress)
            topology.securityGroups[number].ingress = ingress.rules
            topology.securityGroups[number].egress = egress.rules
            topology.securityGroups[number].cost = ingress.cost + egress.cost
            SecurityGroup.enter(number, &self)
        }
        joinGroups()
    }

    private mutating func rules(
        of group: SecurityGroup, _ vpc: Int, _ direction: Direction, _ rules: [SecurityRule]
    ) -> (rules: [ResolvedSecurityRule], cost: PolicyCost) {
        var resolved: [ResolvedSecurityRule] = []
        resolved.reserveCapacity(rules.count)
        let peersKey: FieldPath.Component = direction == .ingress ? "from" : "to"
        for (number, rule) in rules.enumerated() {
            var result = ResolvedSecurityRule(traffic: rule.traffic, cidrs: [], groups: [])
            for (peer, value) in rule.peers.enumerated() {
                switch value {
                case .cidr(let cidr): result.cidrs.append(cidr)
                case .securityGroup(let name):
                    let path = direction.path(number) + [peersKey, .index(peer), "securityGroup"]
                    if let index = self.peer(name, usedIn: vpc, by: group.reference, path) {
                        result.groups.append(index)
                    }
                case .loadBalancer(let name):
                    let path = direction.path(number) + [peersKey, .index(peer), "loadBalancer"]
                    if let index = balancer(name, usedIn: vpc, by: group.reference, path) {
                        result.balancers.append(index)
                    }
                }
            }
            let addresses = result.balancers.flatMap {
                direction == .ingress ? topology.addresses(ofBalancer: $0) : topology.targets(ofBalancer: $0)
            }
            result.balanced = Set(addresses).sorted().map { IPPrefix($0) }
            resolved.append(result)
        }
        let admitted = admit(resolved.map(\.line), resolved.servicesOfGroups, of: group.reference) {
            direction.path($0)
        }
        // A rule by addresses may hold those of every member.
        let isSimple =
            resolved.allSatisfy { $0.groups.isEmpty && $0.balancers.isEmpty }
            || resolved.allSatisfy { $0.cidrs.isEmpty && $0.balancers.isEmpty }
        if !admitted.eachLineDecides || !isSimple {
            var finder = ShadowFinder<IPv4Bits>()
            for (number, rule) in resolved.enumerated() {
                // Of a rule with a broken reference it is not known what it matches.
                // Members of peers have addresses of theirs.
                let isWhole =
                    rule.balancers.isEmpty && rule.cidrs.count + rule.groups.count == rules[number].peers.count
                    && rule.groups.allSatisfy { topology.securityGroups[$0].vpc == vpc }
                warnWhereShadowed(rule, isWhole, number, of: group, vpc, direction, &finder)
            }
        }
        return (resolved, admitted.cost)
    }

    /// The group that a rule names, of the VPC itself or of a peer.
    private mutating func peer(
        _ name: String, usedIn vpc: Int, by resource: ResourceReference, _ path: FieldPath
    ) -> Int? {
        let parts = name.split(separator: "/").map(String.init)
        guard parts.count == 2 else { return group(name, usedIn: vpc, by: resource, path) }
        guard let owner = number(of: VPC.self, parts[0], for: resource, path),
            let index = number(of: SecurityGroup.self, parts[1], for: resource, path)
        else { return nil }
        let group = topology.securityGroups[index]
        let here = Diagnostic.Related(
            "the group's VPC is set here", at: ResourceReference(.securityGroup, parts[1]), ["spec", "vpc"])
        guard group.vpc == owner else {
            report(
                "security-group-other-vpc",
                "the security group \(parts[1]) belongs to VPC \(topology.vpcs[group.vpc].name), not to \(parts[0])",
                hint: "write \(topology.vpcs[group.vpc].name)/\(parts[1])", at: resource, path, related: here)
            return nil
        }
        guard owner == vpc || topology.peerings.contains(where: { $0.far(from: vpc)?.vpc == owner }) else {
            report(
                "security-group-not-peered", "VPC \(topology.vpcs[vpc].name) has no peering with \(parts[0])",
                hint: "name a group of the same VPC, or make a VPCPeering", at: resource, path, related: here)
            return nil
        }
        return index
    }

    /// The named group, where it may be used in that VPC.
    private mutating func group(
        _ name: String, usedIn vpc: Int, by resource: ResourceReference, _ path: FieldPath
    ) -> Int? {
        guard let index = number(of: SecurityGroup.self, name, for: resource, path) else {
            return nil
        }
        let owner = topology.securityGroups[index].vpc
        guard owner == vpc else {
            report(
                "security-group-other-vpc",
                "the security group \(name) belongs to VPC \(topology.vpcs[owner].name),"
                    + " this \(resource.kind.rawValue) to \(topology.vpcs[vpc].name)",
                hint: "VPCs do not reach each other: name a group of the same VPC", at: resource, path,
                related: Diagnostic.Related(
                    "the group's VPC is set here", at: ResourceReference(.securityGroup, name), ["spec", "vpc"]))
            return nil
        }
        return index
    }

    /// The named balancer, where it is one of that VPC.
    private mutating func balancer(
        _ name: String, usedIn vpc: Int, by resource: ResourceReference, _ path: FieldPath
    ) -> Int? {
        guard let index = number(of: LoadBalancer.self, name, for: resource, path) else { return nil }
        let owner = topology.loadBalancers[index].vpc
        if owner == vpc { return index }
        report(
            "balancer-other-vpc",
            "the load balancer \(name) belongs to VPC \(topology.vpcs[owner].name), this \(resource.kind.rawValue) to"
                + " \(topology.vpcs[vpc].name)", hint: "name one of the same VPC", at: resource, path,
            related: Diagnostic.Related(
                "the balancer's VPC is set here", at: ResourceReference(.loadBalancer, name), ["spec", "vpc"]))
        return nil
    }

    private mutating func warnWhereShadowed(
        _ rule: ResolvedSecurityRule, _ isWhole: Bool, _ number: Int, of group: SecurityGroup, _ vpc: Int,
        _ direction: Direction, _ finder: inout ShadowFinder<IPv4Bits>
    ) {
        var regions: [ShadowFinder<IPv4Bits>.Region] = []
        var everyMember: [TrafficBox<IPv4Bits>] = []
        if isWhole, rule.cidrs.allSatisfy({ $0.family == .ipv4 }) {
            for cidr in rule.cidrs {
                regions += rule.traffic.boxes(cidr.range()).map { .init(space: .addresses, box: $0) }
                // Members have addresses of the VPC, so that such a block matches them all.
                if topology.vpcs[vpc].cidrs.allSatisfy({ cidr.contains($0) }) {
                    everyMember += rule.traffic.boxes(0...0)
                }
            }
            for member in rule.groups {
                regions += rule.traffic.boxes(0...0).map { .init(space: .members(member), box: $0) }
            }
        }
        let deciding = finder.add(regions, everyMember: everyMember)
        guard let earliest = deciding.first else { return }
        let names = listed(deciding.map { direction.path($0).description })
        warn(
            "shadowed-rule",
            "\(direction.path(number)) allows nothing more: "
                + (deciding.count == 1 ? "\(names) allows all of it" : "\(names) together allow all of it"),
            hint: "remove it", at: group.reference, direction.path(number),
            related: Diagnostic.Related(
                "\(direction.path(earliest)) is here", at: group.reference, direction.path(earliest)))
    }

    // MARK: Members

    /// Gives every interface its groups, and every group its members.
    private mutating func joinGroups() {
        var lists: Set<[Int]> = []
        var next = placements.startIndex
        for (index, interface) in interfaces.enumerated() {
            let hasPlace = next < placements.endIndex && placements[next].index == index
            let number = hasPlace ? placements[next].number : nil
            if hasPlace { next += 1 }
            if interface.securityGroups.isEmpty { continue }
            var groups = groups(of: interface, number)
            // All of one VPC.
            if groups.count > 1 {
                groups.sort { topology.securityGroups[$0].name < topology.securityGroups[$1].name }
            }
            // Most have the groups of another one, and share its list.
            if let number { topology.interfaces[number].securityGroups = shared(groups, &lists) }
        }
        for position in orderOfPlacements { topology.enterGroups(of: placements[position].number) }
    }

    private func shared(_ groups: [Int], _ lists: inout Set<[Int]>) -> [Int] {
        if change != nil, let member = groups.first.flatMap({ topology.securityGroups[$0].members.first }) {
            let list = topology.interfaces[member].securityGroups
            if list == groups { return list }
        }
        return lists.insert(groups).memberAfterInsert
    }

    /// - Parameter placed: Its number, where it has a place.
    private mutating func groups(of interface: NetworkInterface, _ placed: Int?) -> [Int] {
        let reference = interface.reference
        var first: [String: Int] = [:]
        var groups: [Int] = []
        for (number, name) in interface.securityGroups.enumerated() {
            let path: FieldPath = ["spec", "securityGroups", .index(number)]
            if let other = first[name] {
                report(
                    "duplicate-group", "it has the security group \(name) twice", hint: "remove one of them",
                    at: reference, path,
                    related: Diagnostic.Related(
                        "the first one is here", at: reference, ["spec", "securityGroups", .index(other)]))
                continue
            }
            first[name] = number
            // Without a place of its own the interface's VPC is not known, but a name can still be wrong.
            if let placed {
                if let group = group(name, usedIn: topology.interfaces[placed].vpc, by: reference, path) {
                    groups.append(group)
                }
            } else {
                _ = self.number(of: SecurityGroup.self, name, for: reference, path)
            }
        }
        let maximum = SecurityGroup.maximumPerInterface
        if first.count > maximum {
            report(
                "too-many-groups", "it has \(first.count) security groups; \(maximum) are the most",
                hint: "join rules that always go together in one group", at: reference, ["spec", "securityGroups"])
        }
        return groups
    }
}

extension ResolvedSecurityGroup: NamedInVPC {}
