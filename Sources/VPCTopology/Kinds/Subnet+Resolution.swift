internal import IPAddressing
internal import VPCModel

extension Subnet: ResolvableResource {
    static let resolution = [ResolutionStep(.subnets) { $0.resolveSubnets() }]

    static func elements(of topology: Topology) -> Slots<ResolvedSubnet> { topology.subnets }
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<ResolvedSubnet>) -> Result) -> Result
    {
        body(&topology.subnets)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedSubnet>) -> Result
    ) -> Result {
        body(&change.subnets)
    }

    init(_ resolved: ResolvedSubnet, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name), vpc: topology.vpcs[resolved.vpc].name, cidr: resolved.cidr,
            gateway: resolved.gateway, routeTable: resolved.routeTable.map { topology.routeTables[$0].name },
            acl: resolved.acl.map { topology.acls[$0].name }, dhcp: resolved.dhcp)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let (subnet, subnets) = (resolver.topology.subnets[number], resolver.topology.subnets)
        resolver.index.subnetsOfVPC[subnet.vpc, default: []].insert(number) { subnets[$0].cidr < subnet.cidr }
        if let table = subnet.routeTable { resolver.index.subnetsOfRouteTable.insert(number, to: table) }
        if let acl = subnet.acl { resolver.index.subnetsOfACL.insert(number, to: acl) }
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let (subnet, subnets) = (resolver.topology.subnets[number], resolver.topology.subnets)
        resolver.index.subnetsOfVPC[subnet.vpc, default: []].remove(number) { subnets[$0].cidr < subnet.cidr }
        if let table = subnet.routeTable {
            resolver.index.subnetsOfRouteTable.remove(number, from: table)
            resolver.suspectRouteTables.insert(table)
        }
        if let acl = subnet.acl { resolver.index.subnetsOfACL.remove(number, from: acl) }
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        interfaces(of: number, resolver) + natGateways(of: number, resolver) + balancers(of: number, resolver)
    }

    private static func interfaces(of number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.index.interfaces(of: number, in: resolver.topology).map {
            NumberedResource(kind: .networkInterface, number: $0)
        }
    }

    private static func natGateways(of number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.topology.natGateways.numbered.filter { $0.element.subnet == number }.map {
            NumberedResource(kind: .natGateway, number: $0.number)
        }
    }

    private static func balancers(of number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.topology.loadBalancers.numbered.filter { balancer in
            balancer.element.inside?.subnet == number || balancer.element.instances.contains { $0.subnet == number }
        }.map { NumberedResource(kind: .loadBalancer, number: $0.number) }
    }

    func concerned(by new: Subnet, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        if (vpc, cidr, usableGateway) == (new.vpc, new.cidr, new.usableGateway) { return [] }
        let interfaces = Self.interfaces(of: number, resolver)
        let gateways = Self.natGateways(of: number, resolver)
        // Those that get another address, because they leave theirs out, are others to who refers to them.
        let moved = interfaces.filter {
            vpc != new.vpc || !new.cidr.hasPlace(for: resolver.topology.interfaces[$0.number].address)
        }
        return interfaces + moved.flatMap { NetworkInterface.referrers(to: $0.number, resolver) } + gateways
            + gateways.flatMap { NATGateway.referrers(to: $0.number, resolver) } + Self.balancers(of: number, resolver)
    }
}

extension Resolver {
    fileprivate mutating func resolveSubnets() {
        let subnets = model.subnets
        var found: [(vpc: Int, index: Int, routeTable: Int?)] = []
        for (index, subnet) in subnets.enumerated() {
            let reference = subnet.reference
            let vpc = number(of: VPC.self, subnet.vpc, for: reference, ["spec", "vpc"])
            let table = subnet.routeTable.flatMap {
                number(of: RouteTable.self, $0, for: reference, ["spec", "routeTable"])
            }
            if let table { suspectRouteTables.remove(table) }
            if let vpc, let table, topology.routeTables[table].vpc != vpc {
                let owner = topology.routeTables[table]
                report(
                    "route-table-other-vpc",
                    "the route table \(owner.name) belongs to VPC \(topology.vpcs[owner.vpc].name),"
                        + " the subnet to \(subnet.vpc)",
                    hint: "a subnet uses a route table of its own VPC", at: reference, ["spec", "routeTable"],
                    related: Diagnostic.Related(
                        "the route table says so here", at: ResourceReference(.routeTable, owner.name), ["spec", "vpc"])
                )
            }
            let isUsable = checkCIDR(subnet, vpc: vpc)
            if let options = subnet.dhcp { check(options, of: subnet) }
            if let vpc, isUsable {
                found.append((vpc, index, table))
            } else {
                giveUp(subnet)
            }
        }
        found.sort {
            (topology.vpcs[$0.vpc].id, subnets[$0.index].cidr, $0.index)
                < (topology.vpcs[$1.vpc].id, subnets[$1.index].cidr, $1.index)
        }
        for entry in found {
            let subnet = subnets[entry.index]
            let resolved = ResolvedSubnet(
                name: subnet.metadata.name, vpc: entry.vpc, cidr: subnet.cidr, gateway: subnet.usableGateway,
                routeTable: entry.routeTable, dhcp: subnet.dhcp)
            let number = place(Subnet.self, subnet.metadata.name, resolved)
            if let other = overlapping(resolved) {
                // Of the two, the one whose document comes later.
                let others = found.first { subnets[$0.index].metadata.name == topology.subnets[other].name }
                let isLater = others.map { $0.index < entry.index } ?? true
                let (own, other) = isLater ? (resolved, topology.subnets[other]) : (topology.subnets[other], resolved)
                report(
                    "subnet-overlap", "\(own.cidr) overlaps \(other.cidr) of subnet \(other.name)",
                    hint: "the subnets of a VPC must be disjoint", at: ResourceReference(.subnet, own.name),
                    ["spec", "cidr"],
                    related: Diagnostic.Related(
                        "the other subnet is here", at: ResourceReference(.subnet, other.name), ["spec", "cidr"]))
            } else {
                Subnet.enter(number, &self)
            }
        }
        // A subnet that did not decode may be the one that uses it.
        let isComplete =
            !model.gaps.kinds.contains(.subnet) && !model.gaps.resources.contains { $0.kind == .subnet }
        guard isComplete else { return }
        for number in topology.inOrder(suspectRouteTables, of: \.routeTables)
        where index.subnetsOfRouteTable[number].isEmpty && !isWithdrawn(.routeTable, number) {
            warn(
                "unused-route-table", "no subnet uses this route table", hint: "set spec.routeTable of a subnet",
                at: ResourceReference(.routeTable, topology.routeTables[number].name), ["metadata", "name"])
        }
    }

    /// A subnet whose block has something in common with that of another one: then one is in the other.
    private func overlapping(_ subnet: ResolvedSubnet) -> Int? {
        let own = index.subnetsOfVPC[subnet.vpc] ?? []
        let place =
            own.last.map { topology.subnets[$0].cidr < subnet.cidr } == true
            ? own.count : own.partitionPoint { topology.subnets[$0].cidr < subnet.cidr }
        // In ascending order a block is directly followed by what it contains.
        if place > 0, topology.subnets[own[place - 1]].cidr.contains(subnet.cidr) { return own[place - 1] }
        if place < own.count, subnet.cidr.contains(topology.subnets[own[place]].cidr) { return own[place] }
        return nil
    }

    /// Checks a subnet on its own and within its VPC; true where interfaces can be checked against it.
    private mutating func checkCIDR(_ subnet: Subnet, vpc: Int?) -> Bool {
        let (reference, cidr) = (subnet.reference, subnet.cidr)
        guard cidr.length <= Subnet.longestPrefix(of: cidr.family) else {
            report(
                "subnet-too-small", "\(cidr) has no room for a gateway and a guest",
                hint: "the smallest subnet is a /\(Subnet.longestPrefix(of: cidr.family))", at: reference,
                ["spec", "cidr"])
            return false
        }
        if let vpc, topology.vpcs[vpc].cidrs.block(containing: cidr.address)?.contains(cidr) != true {
            report(
                "subnet-outside-vpc",
                "\(cidr) is in none of the CIDR blocks of VPC \(subnet.vpc) (\(listed(topology.vpcs[vpc].cidrs)))",
                hint: "choose a block inside the VPC, or add one to its spec.cidrs", at: reference, ["spec", "cidr"],
                related: Diagnostic.Related(
                    "the VPC's blocks are here", at: ResourceReference(.vpc, subnet.vpc), ["spec", "cidrs"]))
        }
        guard let gateway = subnet.gateway else { return true }
        guard cidr.contains(gateway) else {
            report(
                "gateway-outside-subnet", "the gateway \(gateway) is not in \(cidr)",
                hint: "leave the field out to have \(cidr.firstUsable)", at: reference, ["spec", "gateway"])
            return true
        }
        if gateway == cidr.address || gateway == cidr.broadcast {
            report(
                "gateway-not-usable",
                "the gateway \(gateway) is the \(gateway == cidr.broadcast ? "broadcast" : "network") address of \(cidr)",
                hint: "leave the field out to have \(cidr.firstUsable)", at: reference, ["spec", "gateway"])
        }
        return true
    }

    private func listed(_ prefixes: [IPPrefix]) -> String {
        prefixes.prefix(4).map(\.description).joined(separator: ", ") + (prefixes.count > 4 ? ", …" : "")
    }
}

extension Subnet {
    /// The smallest subnet: its network and broadcast addresses, the gateway, one guest.
    static func longestPrefix(of family: AddressFamily) -> Int { family.bitWidth - 2 }

    /// The gateway, or what it would be by default where it is outside the subnet.
    var usableGateway: IPAddress {
        if let gateway, cidr.contains(gateway) { return gateway }
        return cidr.firstUsable
    }
}

extension ResolvedSubnet: TopologyElement {
    @usableFromInline package var resourceName: String { name }

    @usableFromInline package func isBefore(_ other: ResolvedSubnet, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        vpc == other.vpc ? (cidr, name) < (other.cidr, other.name) : vpcs[vpc].isBefore(vpcs[other.vpc])
    }
}
