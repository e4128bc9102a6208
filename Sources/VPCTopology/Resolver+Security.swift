internal import IPAddressing
internal import VPCModel

/// The two lists of a security group or ACL, by the name of their field.
private enum Direction: String {
    case ingress
    case egress

    func path(_ position: Int) -> FieldPath { ["spec", .key(rawValue), .index(position)] }
}

extension Resolver {
    // MARK: ACLs

    mutating func resolveACLs() {
        let acls = model.acls
        var found: [(vpc: Int, index: Int, cost: PolicyCost)] = []
        for (index, acl) in acls.enumerated() {
            let vpc = number(of: VPC.self, acl.vpc, for: acl.reference, ["spec", "vpc"])
            if vpc == nil { giveUp(acl) }
            let cost = checkLines(acl, .ingress, acl.ingress) + checkLines(acl, .egress, acl.egress)
            if let vpc { found.append((vpc, index, cost)) }
        }
        found.sort {
            (topology.vpcs[$0.vpc].id, acls[$0.index].metadata.name) < (
                topology.vpcs[$1.vpc].id, acls[$1.index].metadata.name
            )
        }
        for entry in found {
            let acl = acls[entry.index]
            var resolved = ResolvedACL(
                name: acl.metadata.name, vpc: entry.vpc, ingress: acl.ingress.byPriority.map { acl.ingress[$0] },
                egress: acl.egress.byPriority.map { acl.egress[$0] })
            resolved.cost = entry.cost
            NetworkACL.enter(place(acl, resolved), &self)
        }
        for subnet in model.subnets { attachACL(to: subnet) }
    }

    private mutating func attachACL(to subnet: Subnet) {
        guard let name = subnet.acl,
            let acl = number(of: NetworkACL.self, name, for: subnet.reference, ["spec", "acl"]),
            let index = number(Subnet.self, subnet.metadata.name)
        else { return }
        guard topology.acls[acl].vpc == topology.subnets[index].vpc else {
            report(
                "acl-other-vpc",
                "the network ACL \(name) belongs to VPC \(topology.vpcs[topology.acls[acl].vpc].name),"
                    + " the subnet to \(subnet.vpc)",
                hint: "a subnet uses a network ACL of its own VPC", at: subnet.reference, ["spec", "acl"],
                related: Diagnostic.Related(
                    "the ACL's VPC is set here", at: ResourceReference(.networkACL, name), ["spec", "vpc"]))
            return
        }
        topology.subnets[index].acl = acl
        self.index.subnetsOfACL.insert(index, to: acl)
    }

    /// - Returns: What the lines come to.
    private mutating func checkLines(_ acl: NetworkACL, _ direction: Direction, _ rules: [ACLRule]) -> PolicyCost {
        var first: [Int: Int] = [:]
        for (position, rule) in rules.enumerated() {
            guard let other = first[rule.priority] else {
                first[rule.priority] = position
                continue
            }
            report(
                "duplicate-priority", "there is another \(direction.rawValue) line of priority \(rule.priority)",
                hint: "the order of two such lines would not be known", at: acl.reference,
                direction.path(position) + ["priority"],
                related: Diagnostic.Related(
                    "the first one is here", at: acl.reference, direction.path(other) + ["priority"]))
        }
        guard first.count == rules.count else { return PolicyCost() }
        let order = rules.byPriority
        let admitted = admit(order.map { rules[$0].line }, of: acl.reference) { direction.path(order[$0]) }
        if !admitted.eachLineDecides { warnOfShadowedLines(of: acl, direction, rules, order) }
        return admitted.cost
    }

    private mutating func warnOfShadowedLines(
        of acl: NetworkACL, _ direction: Direction, _ rules: [ACLRule], _ order: [Int]
    ) {
        var finder = ShadowFinder()
        for position in order {
            let rule = rules[position]
            let regions = rule.traffic.boxes(rule.cidr.range).map {
                ShadowFinder.Region(space: .addresses, box: $0)
            }
            let deciding = finder.add(regions).map { order[$0] }
            guard let earliest = deciding.first else { continue }
            let names = listed(deciding.map { String(rules[$0].priority) })
            let isRepetition = deciding.allSatisfy { rules[$0].action == rule.action }
            warn(
                "shadowed-rule",
                "\(direction.rawValue) line \(rule.priority) never decides: "
                    + (deciding.count == 1
                        ? "line \(names) matches all of its traffic"
                        : "lines \(names) together match all of its traffic"),
                hint: isRepetition ? "remove it" : "move it before line \(rules[earliest].priority), or remove it",
                at: acl.reference, direction.path(position),
                related: Diagnostic.Related(
                    "line \(rules[earliest].priority) is here", at: acl.reference, direction.path(earliest)))
        }
    }

    // MARK: Security groups

    mutating func resolveSecurityGroups() {
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
            numbers.append(place(group, resolved))
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
                    if let index = self.group(name, usedIn: vpc, by: group.reference, path) {
                        result.groups.append(index)
                    }
                }
            }
            resolved.append(result)
        }
        let admitted = admit(resolved.map(\.line), resolved.servicesOfGroups, of: group.reference) {
            direction.path($0)
        }
        // A rule by addresses may hold those of every member.
        let isSimple = resolved.allSatisfy { $0.groups.isEmpty } || resolved.allSatisfy { $0.cidrs.isEmpty }
        if !admitted.eachLineDecides || !isSimple {
            var finder = ShadowFinder()
            for (number, rule) in resolved.enumerated() {
                // Of a rule with a broken reference it is not known what it matches.
                let isWhole = rule.cidrs.count + rule.groups.count == rules[number].peers.count
                warnWhereShadowed(rule, isWhole, number, of: group, vpc, direction, &finder)
            }
        }
        return (resolved, admitted.cost)
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

    private mutating func warnWhereShadowed(
        _ rule: ResolvedSecurityRule, _ isWhole: Bool, _ number: Int, of group: SecurityGroup, _ vpc: Int,
        _ direction: Direction, _ finder: inout ShadowFinder
    ) {
        var regions: [ShadowFinder.Region] = []
        var everyMember: [TrafficBox] = []
        if isWhole {
            for cidr in rule.cidrs {
                regions += rule.traffic.boxes(cidr.range).map { ShadowFinder.Region(space: .addresses, box: $0) }
                // Members have addresses of the VPC, so that such a block matches them all.
                if topology.vpcs[vpc].cidrs.allSatisfy({ cidr.contains($0) }) {
                    everyMember += rule.traffic.boxes(0...0)
                }
            }
            for member in rule.groups {
                regions += rule.traffic.boxes(0...0).map { ShadowFinder.Region(space: .members(member), box: $0) }
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

/// `a`, `a and b`, `a, b, c and 4 more`.
func listed(_ names: [String]) -> String {
    guard names.count > 1 else { return names.first ?? "" }
    if names.count > 4 { return names.prefix(3).joined(separator: ", ") + " and \(names.count - 3) more" }
    return names.dropLast().joined(separator: ", ") + " and " + names[names.count - 1]
}

extension [ACLRule] {
    /// Positions in the order in which the lines decide.
    fileprivate var byPriority: [Int] {
        indices.sorted { (self[$0].priority, $0) < (self[$1].priority, $1) }
    }
}
