internal import IPAddressing
internal import VPCModel

extension VPC: ResolvableResource {
    static let resolution = [ResolutionStep(.hostsAndVPCs) { $0.resolveVPCs() }]

    static func elements(of topology: Topology) -> Slots<ResolvedVPC> { topology.vpcs }
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<ResolvedVPC>) -> Result) -> Result {
        body(&topology.vpcs)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedVPC>) -> Result
    ) -> Result {
        body(&change.vpcs)
    }

    init(_ resolved: ResolvedVPC, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name), id: resolved.id, cidrs: resolved.cidrs,
            denialLog: resolved.denialLog, maxConnections: resolved.maxConnections, account: resolved.account,
            region: resolved.region)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        resolver.index.vpcIDs[resolver.topology.vpcs[number].id] = number
        resolver.topology.makeRoomForVPCs()
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let id = resolver.topology.vpcs[number].id
        if resolver.index.vpcIDs[id] == number { resolver.index.vpcIDs[id] = nil }
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        let index = resolver.index
        return (index.subnetsOfVPC[number] ?? []).map { NumberedResource(kind: .subnet, number: $0) }
            + index.routeTablesOfVPC[number].map { NumberedResource(kind: .routeTable, number: $0) }
            + index.groupsOfVPC[number].map { NumberedResource(kind: .securityGroup, number: $0) }
            + index.aclsOfVPC[number].map { NumberedResource(kind: .networkACL, number: $0) }
            + resolver.topology.peerings.numbered.filter { $0.element.far(from: number) != nil }.map {
                NumberedResource(kind: .vpcPeering, number: $0.number)
            } + resolver.topology.balancing(inVPC: number)
    }

    /// Everything of a VPC has its place by the id.
    func concerned(by new: VPC, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        if id != new.id { return nil }
        return (Set(cidrs), account, region) == (Set(new.cidrs), new.account, new.region)
            ? [] : Self.referrers(to: number, resolver)
    }
}

extension Resolver {
    fileprivate mutating func resolveVPCs() {
        let vpcs = model.vpcs
        var numbers = [Int](repeating: -1, count: vpcs.count)
        let order = vpcs.indices.sorted {
            (vpcs[$0].id, vpcs[$0].metadata.name) < (vpcs[$1].id, vpcs[$1].metadata.name)
        }
        for index in order {
            let vpc = vpcs[index]
            let resolved = ResolvedVPC(
                name: vpc.metadata.name, id: vpc.id, cidrs: vpc.cidrs.sorted().outermost, denialLog: vpc.denialLog,
                maxConnections: vpc.maxConnections, account: vpc.account, region: vpc.region)
            numbers[index] = place(VPC.self, vpc.metadata.name, resolved)
            checkCIDRs(vpc)
            checkLog(vpc)
        }
        topology.makeRoomForVPCs()
        for (vpc, number) in zip(vpcs, numbers) {
            if let first = index.vpcIDs[vpc.id].map({ topology.vpcs[$0].name }) {
                report(
                    "duplicate-vpc-id", "the id \(vpc.id) is that of another VPC",
                    hint: "the id is the GRE key of the VPC's packets: it must be unique", at: vpc.reference,
                    ["spec", "id"],
                    related: Diagnostic.Related(
                        "VPC \(first) has it", at: ResourceReference(.vpc, first), ["spec", "id"]))
            } else {
                VPC.enter(number, &self)
            }
        }
    }

    private mutating func checkLog(_ vpc: VPC) {
        guard vpc.denialLog?.group == DenialLog.requestGroup else { return }
        report(
            "log-group-taken", "nflog group \(DenialLog.requestGroup) is that of what guests ask of vpcd, such as DHCP",
            hint: "a group has one reader: name another one", at: vpc.reference, ["spec", "logDenied", "nflogGroup"])
    }

    private mutating func checkCIDRs(_ vpc: VPC) {
        for (position, cidr) in vpc.cidrs.enumerated() {
            if let (block, use) = IPPrefix.reserved.first(where: { $0.block.overlaps(cidr) }) {
                report(
                    "cidr-reserved", "\(cidr) holds \(use) addresses (\(block))",
                    hint: "private networks are 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16", at: vpc.reference,
                    ["spec", "cidrs", .index(position)])
            }
        }
        for (position, other) in overlaps(vpc.cidrs) {
            report(
                "cidr-overlap", "\(vpc.cidrs[position]) overlaps \(vpc.cidrs[other]) of the same VPC",
                hint: "remove the smaller one", at: vpc.reference, ["spec", "cidrs", .index(position)],
                related: Diagnostic.Related(
                    "the other block is here", at: vpc.reference, ["spec", "cidrs", .index(other)]))
        }
    }

    /// Pairs of overlapping prefixes, each prefix reported once, the later of a pair first.
    ///
    /// Two prefixes overlap only where one contains the other. In ascending order a prefix is directly followed by
    /// what it contains, so that comparing with the last one not contained itself finds all.
    private func overlaps(_ prefixes: [IPPrefix]) -> [(later: Int, earlier: Int)] {
        guard prefixes.count > 1 else { return [] }
        var pairs: [(Int, Int)] = []
        var outer: Int?
        for index in prefixes.indices.sorted(by: { (prefixes[$0], $0) < (prefixes[$1], $1) }) {
            if let outer, prefixes[outer].overlaps(prefixes[index]) {
                pairs.append((max(outer, index), min(outer, index)))
            } else {
                outer = index
            }
        }
        return pairs
    }
}

extension ResolvedVPC: TopologyElement {
    @usableFromInline package var resourceName: String { name }

    @usableFromInline package func isBefore(_ other: ResolvedVPC, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        isBefore(other)
    }

    func isBefore(_ other: ResolvedVPC) -> Bool { id == other.id ? name < other.name : id < other.id }
}
