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

/// What the manifests name, of no VPC: in the order of the names.
@usableFromInline
package protocol NamedAlone: TopologyElement {
    var name: String { get }
}

extension NamedAlone {
    @usableFromInline package var resourceName: String { name }

    @usableFromInline package func isBefore(_ other: Self, _ vpcs: Slots<ResolvedVPC>) -> Bool { name < other.name }
}

/// What the manifests name, of a VPC.
@usableFromInline
package protocol NamedInVPC: TopologyElement {
    var name: String { get }
    /// A number of `Topology.vpcs`.
    var vpc: Int { get }
}

extension NamedInVPC {
    @usableFromInline package var resourceName: String { name }

    @usableFromInline package func isBefore(_ other: Self, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        vpc == other.vpc ? name < other.name : vpcs[vpc].isBefore(vpcs[other.vpc])
    }
}
