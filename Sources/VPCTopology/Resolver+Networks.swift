internal import IPAddressing
internal import VPCModel

extension Resolver {
    // MARK: Hosts

    mutating func resolveHosts() {
        let hosts = model.hosts
        for host in hosts.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            enter(host, topology.hosts.add(host, at: formerNumber(of: host)))
        }
        var owners: [IPAddress: Int] = [:]
        for (position, host) in hosts.enumerated() {
            let address = host.underlayAddress
            let path: FieldPath = ["spec", "underlay", "address"]
            if let (_, use) = IPPrefix.reserved.first(where: { $0.block.contains(address) }) {
                report(
                    "underlay-address", "\(address) is a \(use) address",
                    hint: "give an address that other hosts can reach",
                    at: host.reference, path)
            }
            if let first = owners[address] {
                report(
                    "duplicate-underlay-address", "the underlay address \(address) is that of another host",
                    hint: "two hosts with one address would receive each other's packets", at: host.reference, path,
                    related: Diagnostic.Related("the other host is here", at: hosts[first].reference, path))
            } else {
                owners[address] = position
            }
        }
    }

    // MARK: VPCs

    mutating func resolveVPCs() {
        let vpcs = model.vpcs
        let order = vpcs.indices.sorted {
            (vpcs[$0].id, vpcs[$0].metadata.name) < (vpcs[$1].id, vpcs[$1].metadata.name)
        }
        for index in order {
            let vpc = vpcs[index]
            let resolved = ResolvedVPC(
                name: vpc.metadata.name, id: vpc.id, cidrs: vpc.cidrs.sorted().outermost, denialLog: vpc.denialLog)
            enter(vpc, topology.vpcs.add(resolved, at: formerNumber(of: vpc)))
            checkCIDRs(vpc)
        }
        ranksOfVPCs = Array(repeating: 0, count: topology.vpcs.endIndex)
        for (rank, number) in topology.inOrder(topology.vpcs.indices, of: \.vpcs).enumerated() {
            ranksOfVPCs[number] = rank
        }
        var owners: [VPCID: Int] = [:]
        for (index, vpc) in vpcs.enumerated() {
            if let first = owners[vpc.id] {
                report(
                    "duplicate-vpc-id", "the id \(vpc.id) is that of another VPC",
                    hint: "the id is the GRE key of the VPC's packets: it must be unique", at: vpc.reference,
                    ["spec", "id"],
                    related: Diagnostic.Related(
                        "VPC \(vpcs[first].metadata.name) has it", at: vpcs[first].reference,
                        ["spec", "id"]))
            } else {
                owners[vpc.id] = index
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
                enter(table, Self.broken)
            }
        }
        found.sort {
            (rank(ofVPC: $0.vpc), routeTables[$0.index].metadata.name)
                < (rank(ofVPC: $1.vpc), routeTables[$1.index].metadata.name)
        }
        for entry in found {
            let table = routeTables[entry.index]
            let resolved = ResolvedRouteTable(name: table.metadata.name, vpc: entry.vpc, routes: [])
            let number = topology.routeTables.add(resolved, at: formerNumber(of: table))
            enter(table, number)
            sourceOfRouteTable[number] = entry.index
        }
    }

    // MARK: Subnets

    mutating func resolveSubnets() {
        let subnets = model.subnets
        var found: [(vpc: Int, index: Int, routeTable: Int?)] = []
        var usedTables = [Bool](repeating: false, count: topology.routeTables.endIndex)
        for (index, subnet) in subnets.enumerated() {
            let reference = subnet.reference
            let vpc = number(of: VPC.self, subnet.vpc, for: reference, ["spec", "vpc"])
            let table = subnet.routeTable.flatMap {
                number(of: RouteTable.self, $0, for: reference, ["spec", "routeTable"])
            }
            if let table { usedTables[table] = true }
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
                enter(subnet, Self.broken)
            }
        }
        found.sort {
            (rank(ofVPC: $0.vpc), subnets[$0.index].cidr, $0.index)
                < (rank(ofVPC: $1.vpc), subnets[$1.index].cidr, $1.index)
        }
        var outer: (vpc: Int, index: Int)?
        for entry in found {
            let subnet = subnets[entry.index]
            let resolved = ResolvedSubnet(
                name: subnet.metadata.name, vpc: entry.vpc, cidr: subnet.cidr, gateway: subnet.usableGateway,
                routeTable: entry.routeTable)
            enter(subnet, topology.subnets.add(resolved, at: formerNumber(of: subnet)))
            // As in `overlaps`: in ascending order, only the last one that is not inside another can contain this one.
            if let outer, outer.vpc == entry.vpc, subnets[outer.index].cidr.contains(subnet.cidr) {
                let (first, second) = (min(outer.index, entry.index), max(outer.index, entry.index))
                let (other, own) = (subnets[first], subnets[second])
                report(
                    "subnet-overlap", "\(own.cidr) overlaps \(other.cidr) of subnet \(other.metadata.name)",
                    hint: "the subnets of a VPC must be disjoint", at: own.reference, ["spec", "cidr"],
                    related: Diagnostic.Related("the other subnet is here", at: other.reference, ["spec", "cidr"]))
            } else {
                outer = (entry.vpc, entry.index)
            }
        }
        // A subnet that did not decode may be the one that uses it.
        let isComplete =
            !model.gaps.kinds.contains(.subnet) && !model.gaps.resources.contains { $0.kind == .subnet }
        for (number, table) in topology.routeTables.numbered where isComplete && !usedTables[number] {
            warn(
                "unused-route-table", "no subnet uses this route table", hint: "set spec.routeTable of a subnet",
                at: ResourceReference(.routeTable, table.name), ["metadata", "name"])
        }
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
    var outermost: [IPPrefix] {
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
