internal import IPAddressing
internal import VPCModel

extension NetworkACL: ResolvableResource {
    static let resolution = [ResolutionStep(.policiesOfSubnets) { $0.resolveACLs() }]

    static func elements(of topology: Topology) -> Slots<ResolvedACL> { topology.acls }
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<ResolvedACL>) -> Result) -> Result {
        body(&topology.acls)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedACL>) -> Result
    ) -> Result {
        body(&change.acls)
    }

    init(_ resolved: ResolvedACL, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name), vpc: topology.vpcs[resolved.vpc].name, ingress: resolved.ingress,
            egress: resolved.egress)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let acl = resolver.topology.acls[number]
        resolver.index.aclsOfVPC.insert(number, to: acl.vpc)
        resolver.topology.policyElements += acl.cost.elements
        resolver.index.policyEffort += acl.cost.effort
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let acl = resolver.topology.acls[number]
        resolver.index.aclsOfVPC.remove(number, from: acl.vpc)
        resolver.topology.policyElements -= acl.cost.elements
        resolver.index.policyEffort -= acl.cost.effort
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.index.subnetsOfACL[number].map { NumberedResource(kind: .subnet, number: $0) }
    }

    func concerned(by new: NetworkACL, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        vpc == new.vpc ? [] : Self.referrers(to: number, resolver)
    }
}

extension Resolver {
    fileprivate mutating func resolveACLs() {
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
            NetworkACL.enter(place(NetworkACL.self, acl.metadata.name, resolved), &self)
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
        var finder = ShadowFinder<IPv4Bits>()
        for position in order {
            let rule = rules[position]
            let addresses = rule.cidr.range(of: IPv4Bits.self)
            let boxes = rule.cidr.family == .ipv4 ? rule.traffic.boxes(addresses) : []
            let regions = boxes.map { ShadowFinder.Region(space: .addresses, box: $0) }
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
}

extension [ACLRule] {
    /// Positions in the order in which the lines decide.
    fileprivate var byPriority: [Int] {
        indices.sorted { (self[$0].priority, $0) < (self[$1].priority, $1) }
    }
}

extension ResolvedACL: NamedInVPC {}
