package import IPAddressing
internal import VPCModel

extension Resolver {
    // MARK: Hosts

    mutating func resolveHosts() {
        let hosts = model.hosts
        var numbers = [Int](repeating: -1, count: hosts.count)
        for index in hosts.indices.sorted(by: { hosts[$0].metadata.name < hosts[$1].metadata.name }) {
            numbers[index] = place(hosts[index], hosts[index])
        }
        topology.makeRoomForHosts()
        for (host, number) in zip(hosts, numbers) {
            let address = host.underlayAddress
            let path: FieldPath = ["spec", "underlay", "address"]
            if let (_, use) = IPPrefix.reserved.first(where: { $0.block.contains(address) }) {
                report(
                    "underlay-address", "\(address) is a \(use) address",
                    hint: "give an address that other hosts can reach",
                    at: host.reference, path)
            }
            if let first = index.underlays[address] {
                report(
                    "duplicate-underlay-address", "the underlay address \(address) is that of another host",
                    hint: "two hosts with one address would receive each other's packets", at: host.reference, path,
                    related: Diagnostic.Related("the other host is here", at: topology.hosts[first].reference, path))
            } else {
                Host.enter(number, &self)
            }
        }
    }

    // MARK: VPCs

    mutating func resolveVPCs() {
        let vpcs = model.vpcs
        var numbers = [Int](repeating: -1, count: vpcs.count)
        let order = vpcs.indices.sorted {
            (vpcs[$0].id, vpcs[$0].metadata.name) < (vpcs[$1].id, vpcs[$1].metadata.name)
        }
        for index in order {
            let vpc = vpcs[index]
            let resolved = ResolvedVPC(
                name: vpc.metadata.name, id: vpc.id, cidrs: vpc.cidrs.sorted().outermost, denialLog: vpc.denialLog)
            numbers[index] = place(vpc, resolved)
            checkCIDRs(vpc)
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

    // MARK: Route tables

    /// Route tables without their routes: these name interfaces, which need subnets, which name route tables.
    mutating func resolveRouteTables() {
        let routeTables = model.routeTables
        var found: [(vpc: Int, index: Int)] = []
        for (index, table) in routeTables.enumerated() {
            let vpc = number(of: VPC.self, table.vpc, for: table.reference, ["spec", "vpc"])
            if let vpc {
                found.append((vpc, index))
            } else {
                giveUp(table)
            }
        }
        found.sort {
            (topology.vpcs[$0.vpc].id, routeTables[$0.index].metadata.name)
                < (topology.vpcs[$1.vpc].id, routeTables[$1.index].metadata.name)
        }
        for entry in found {
            let table = routeTables[entry.index]
            let resolved = ResolvedRouteTable(name: table.metadata.name, vpc: entry.vpc, routes: [])
            let number = place(table, resolved)
            placedRouteTables.append((number, entry.index))
            suspectRouteTables.insert(number)
        }
    }

    // MARK: Subnets

    mutating func resolveSubnets() {
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
                routeTable: entry.routeTable)
            let number = place(subnet, resolved)
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
        guard cidr.length <= Subnet.longestPrefix else {
            report(
                "subnet-too-small", "\(cidr) has no room for a gateway and a guest",
                hint: "the smallest subnet is a /\(Subnet.longestPrefix)", at: reference, ["spec", "cidr"])
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
        if gateway == cidr.address || gateway == cidr.last {
            report(
                "gateway-not-usable",
                "the gateway \(gateway) is the \(gateway == cidr.last ? "broadcast" : "network") address of \(cidr)",
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
    static let longestPrefix: UInt8 = 30

    /// The gateway, or what it would be by default where it is outside the subnet.
    var usableGateway: IPAddress {
        if let gateway, cidr.contains(gateway) { return gateway }
        return cidr.firstUsable
    }
}

extension IPPrefix {
    /// The address after the network's own.
    var firstUsable: IPAddress { address.advanced(by: 1) ?? address }

    /// The address before the broadcast address.
    var lastUsable: IPAddress { IPAddress(family: family, high: last.high, low: last.low & ~1) }
}

/// For prefixes in ascending order.
extension [IPPrefix] {
    /// Those that are in no other one: what is left is disjoint.
    package var outermost: [IPPrefix] {
        var result: [IPPrefix] = []
        for prefix in self where result.last?.contains(prefix) != true { result.append(prefix) }
        return result
    }

    /// The block that an address is in, where the blocks are disjoint.
    func block(containing address: IPAddress) -> IPPrefix? {
        var range = indices
        while !range.isEmpty {
            let middle = range.lowerBound + range.count / 2
            if self[middle].contains(address) { return self[middle] }
            range = self[middle].address < address ? middle + 1..<range.upperBound : range.lowerBound..<middle
        }
        return nil
    }
}
