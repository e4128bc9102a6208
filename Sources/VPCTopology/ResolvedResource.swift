package import VPCModel

/// A resource of a kind with its references resolved, as it stands in a table of the topology.
package protocol ResolvedResource: TopologyElement {
    static var kind: ResourceKind { get }

    /// Refers to what it refers to by other numbers.
    mutating func renumber(_ numbers: TopologyNumbers)
}

extension Topology {
    /// The resolved resources of one kind. Takes a moment to find: not for the inside of a loop over many.
    package subscript<Resource: ResolvedResource>(_: Resource.Type) -> Slots<Resource> {
        get { (tables.byKind[Resource.kind] as? ResolvedTable<Resource>)?.resources ?? Slots() }
        _modify {
            var table = tables.byKind.removeValue(forKey: Resource.kind) as? ResolvedTable<Resource> ?? ResolvedTable()
            defer { tables.byKind[Resource.kind] = table }
            yield &table.resources
        }
    }
}

/// Tables by the kind of their resources.
struct ResolvedTables: Sendable {
    fileprivate var byKind: [ResourceKind: any AnyResolvedTable] = [:]

    /// Empty, with the numbers set apart.
    var reserving: ResolvedTables {
        var result = self
        for (kind, table) in byKind { result.byKind[kind] = table.reserving }
        return result
    }

    mutating func release() {
        for kind in byKind.keys { byKind[kind]?.release() }
    }

    func renumbered(_ numbers: TopologyNumbers, _ vpcs: Slots<ResolvedVPC>) -> ResolvedTables {
        var result = self
        for (kind, table) in byKind { result.byKind[kind] = table.renumbered(numbers, vpcs) }
        return result
    }

    /// Whether both hold the same, in the order of their numbers.
    func holdsWhat(_ other: ResolvedTables) -> Bool {
        let (own, others) = (byKind.filter { !$0.value.isEmpty }, other.byKind.filter { !$0.value.isEmpty })
        return own.count == others.count
            && own.allSatisfy { kind, table in others[kind].map { table.holdsWhat($0) } ?? false }
    }
}

/// A table whose type of resources is not known.
private protocol AnyResolvedTable: Sendable {
    var isEmpty: Bool { get }
    var reserving: any AnyResolvedTable { get }
    mutating func release()
    func renumbered(_ numbers: TopologyNumbers, _ vpcs: Slots<ResolvedVPC>) -> any AnyResolvedTable
    func holdsWhat(_ other: any AnyResolvedTable) -> Bool
}

private struct ResolvedTable<Resource: ResolvedResource>: AnyResolvedTable {
    var resources = Slots<Resource>()

    var isEmpty: Bool { resources.isEmpty }
    var reserving: any AnyResolvedTable { ResolvedTable(resources: Slots(reserving: resources)) }
    mutating func release() { resources.release() }

    func renumbered(_ numbers: TopologyNumbers, _ vpcs: Slots<ResolvedVPC>) -> any AnyResolvedTable {
        var result = Slots<Resource>()
        for number in resources.indices.sorted(by: { resources[$0].isBefore(resources[$1], vpcs) }) {
            var resource = resources[number]
            resource.renumber(numbers)
            result.add(resource)
        }
        return ResolvedTable(resources: result)
    }

    func holdsWhat(_ other: any AnyResolvedTable) -> Bool {
        (other as? ResolvedTable).map { resources.elementsEqual($0.resources) } ?? false
    }
}
