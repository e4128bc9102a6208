package import IPAddressing
package import VPCModel

/// What a topology has several of.
package protocol TopologyElement: Sendable, Equatable {
    var resourceName: String { get }
    /// The order of the kind: it depends on what the manifests say, and never on numbers.
    func isBefore(_ other: Self, in topology: Topology) -> Bool
}

extension Topology {
    /// Numbers of one kind in the order of the kind: hosts and probes by name, VPCs by id; subnets by VPC, then CIDR;
    /// interfaces by VPC, then address; route tables, groups and ACLs by VPC, then name.
    package func inOrder<Element: TopologyElement>(
        _ numbers: some Sequence<Int>, of kind: KeyPath<Topology, Slots<Element>>
    ) -> [Int] {
        let elements = self[keyPath: kind]
        return numbers.sorted { elements[$0].isBefore(elements[$1], in: self) }
    }

    package func isVPC(_ vpc: Int, before other: Int) -> Bool {
        vpc != other && vpcs[vpc].isBefore(vpcs[other])
    }

    // MARK: Interfaces in order

    /// The interface with an address of a VPC.
    package func interface(at address: IPAddress, inVPC vpc: Int) -> Int? {
        let all = interfacesOfVPC[vpc]
        let place = all.partitionPoint { interfaces[$0].address < address }
        guard place < all.count, interfaces[all[place]].address == address else { return nil }
        return all[place]
    }

    /// Those of one VPC on a host, by address.
    package func interfaces(of vpc: Int, on host: Int) -> some Sequence<Int> {
        let all = interfacesOfHost[host]
        let start = all.partitionPoint { isVPC(interfaces[$0].vpc, before: vpc) }
        return all[start...].lazy.prefix { interfaces[$0].vpc == vpc }
    }
}

extension [Int] {
    /// Puts a number into a list that is in order. What comes last of all is put there at once.
    /// - Parameter isBefore: Whether what is under another number comes before.
    /// - Returns: where it is now.
    @discardableResult
    mutating func insert(_ number: Int, where isBefore: (Int) -> Bool) -> Int {
        let place = last.map { isBefore($0) ? count : partitionPoint(isBefore) } ?? 0
        insert(number, at: place)
        return place
    }

    /// Takes a number out of such a list; does nothing where it is not in it.
    mutating func remove(_ number: Int, where isBefore: (Int) -> Bool) {
        let place = partitionPoint(isBefore)
        if place < count, self[place] == number { remove(at: place) }
    }
}

extension Host: TopologyElement {
    package var resourceName: String { metadata.name }

    package func isBefore(_ other: Host, in topology: Topology) -> Bool { metadata.name < other.metadata.name }
}

extension ResolvedVPC: TopologyElement {
    package var resourceName: String { name }

    package func isBefore(_ other: ResolvedVPC, in topology: Topology) -> Bool { isBefore(other) }

    func isBefore(_ other: ResolvedVPC) -> Bool { (id, name) < (other.id, other.name) }
}

extension ResolvedSubnet: TopologyElement {
    package var resourceName: String { name }

    package func isBefore(_ other: ResolvedSubnet, in topology: Topology) -> Bool {
        vpc == other.vpc ? (cidr, name) < (other.cidr, other.name) : topology.isVPC(vpc, before: other.vpc)
    }
}

extension ResolvedInterface: TopologyElement {
    package var resourceName: String { name }

    package func isBefore(_ other: ResolvedInterface, in topology: Topology) -> Bool {
        vpc == other.vpc ? address < other.address : topology.isVPC(vpc, before: other.vpc)
    }
}

extension ResolvedRouteTable: TopologyElement {
    package var resourceName: String { name }

    package func isBefore(_ other: ResolvedRouteTable, in topology: Topology) -> Bool {
        vpc == other.vpc ? name < other.name : topology.isVPC(vpc, before: other.vpc)
    }
}

extension ResolvedSecurityGroup: TopologyElement {
    package var resourceName: String { name }

    package func isBefore(_ other: ResolvedSecurityGroup, in topology: Topology) -> Bool {
        vpc == other.vpc ? name < other.name : topology.isVPC(vpc, before: other.vpc)
    }
}

extension ResolvedACL: TopologyElement {
    package var resourceName: String { name }

    package func isBefore(_ other: ResolvedACL, in topology: Topology) -> Bool {
        vpc == other.vpc ? name < other.name : topology.isVPC(vpc, before: other.vpc)
    }
}

extension ResolvedProbe: TopologyElement {
    package var resourceName: String { name }

    package func isBefore(_ other: ResolvedProbe, in topology: Topology) -> Bool { name < other.name }
}
