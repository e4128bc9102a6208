public import IPAddressing
public import VPCModel

/// What a topology has several of.
@usableFromInline
package protocol TopologyElement: Sendable, Equatable {
    var resourceName: String { get }
    /// The order of the kind: it depends on what the manifests say, and never on numbers.
    /// - Parameter vpcs: Those of the topology that both are in.
    func isBefore(_ other: Self, _ vpcs: Slots<ResolvedVPC>) -> Bool
}

extension Topology {
    /// Numbers of one kind in the order of the kind: hosts and probes by name, VPCs by id; subnets by VPC, then CIDR;
    /// interfaces by VPC, then address; route tables, groups and ACLs by VPC, then name.
    @inlinable
    package func inOrder<Element: TopologyElement>(
        _ numbers: some Sequence<Int>, of kind: KeyPath<Topology, Slots<Element>>
    ) -> [Int] {
        let elements = self[keyPath: kind]
        let vpcs = vpcs
        return numbers.sorted { elements[$0].isBefore(elements[$1], vpcs) }
    }

    @inlinable
    package func isVPC(_ vpc: Int, before other: Int) -> Bool {
        let (id, otherID) = (vpcs[vpc].id, vpcs[other].id)
        return id == otherID ? vpcs[vpc].name < vpcs[other].name : id < otherID
    }

    // MARK: Interfaces in order

    /// The interface to which an address of a VPC is routed.
    @inlinable
    package func interface(at address: IPAddress, inVPC vpc: Int) -> Int? {
        let all = interfacesOfVPC[vpc]
        let place = all.partitionPoint { interfaces[$0].address < address }
        if place < all.count, interfaces[all[place]].address == address { return all[place] }
        return furtherOfVPC[vpc].isEmpty ? nil : further(around: address, inVPC: vpc)?.interface
    }

    /// Those of one VPC on a host, by address.
    @inlinable
    package func interfaces(of vpc: Int, on host: Int) -> some Sequence<Int> {
        let all = interfacesOfHost[host]
        let start = all.partitionPoint { isVPC(interfaces[$0].vpc, before: vpc) }
        return all[start...].lazy.prefix { interfaces[$0].vpc == vpc }
    }
}

extension [Int] {
    /// Puts a number into a list that is in order.
    /// - Parameter isBefore: Whether what is under another number comes before.
    mutating func insert(_ number: Int, where isBefore: (Int) -> Bool) { insert(number, at: partitionPoint(isBefore)) }

    /// Takes a number out of such a list; does nothing where it is not in it.
    mutating func remove(_ number: Int, where isBefore: (Int) -> Bool) {
        let place = partitionPoint(isBefore)
        if place < count, self[place] == number { remove(at: place) }
    }
}

extension Host: TopologyElement {
    @usableFromInline package var resourceName: String { metadata.name }

    @usableFromInline package func isBefore(_ other: Host, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        metadata.name < other.metadata.name
    }
}

extension ResolvedVPC: TopologyElement {
    @usableFromInline package var resourceName: String { name }

    @usableFromInline package func isBefore(_ other: ResolvedVPC, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        isBefore(other)
    }

    func isBefore(_ other: ResolvedVPC) -> Bool { id == other.id ? name < other.name : id < other.id }
}

extension ResolvedSubnet: TopologyElement {
    @usableFromInline package var resourceName: String { name }

    @usableFromInline package func isBefore(_ other: ResolvedSubnet, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        vpc == other.vpc ? (cidr, name) < (other.cidr, other.name) : vpcs[vpc].isBefore(vpcs[other.vpc])
    }
}

extension ResolvedInterface: TopologyElement {
    @usableFromInline package var resourceName: String { name }

    @usableFromInline package func isBefore(_ other: ResolvedInterface, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        vpc == other.vpc ? address < other.address : vpcs[vpc].isBefore(vpcs[other.vpc])
    }
}

extension ResolvedRouteTable: TopologyElement {
    @usableFromInline package var resourceName: String { name }

    @usableFromInline package func isBefore(_ other: ResolvedRouteTable, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        vpc == other.vpc ? name < other.name : vpcs[vpc].isBefore(vpcs[other.vpc])
    }
}

extension ResolvedSecurityGroup: TopologyElement {
    @usableFromInline package var resourceName: String { name }

    @usableFromInline package func isBefore(_ other: ResolvedSecurityGroup, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        vpc == other.vpc ? name < other.name : vpcs[vpc].isBefore(vpcs[other.vpc])
    }
}

extension ResolvedACL: TopologyElement {
    @usableFromInline package var resourceName: String { name }

    @usableFromInline package func isBefore(_ other: ResolvedACL, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        vpc == other.vpc ? name < other.name : vpcs[vpc].isBefore(vpcs[other.vpc])
    }
}
