public import VPCModel

/// A resource of a kind with its references resolved, as it stands in a table of the topology.
public protocol ResolvedResource: Sendable, Equatable {
    static var kind: ResourceKind { get }
    var name: String { get }
}

extension Topology {
    /// The resolved resources of one kind. Takes a moment to find: not for the inside of a loop over many.
    public subscript<Resource: ResolvedResource>(_: Resource.Type) -> [Resource] {
        get { (tables.byKind[Resource.kind] as? ResolvedTable<Resource>)?.resources ?? [] }
        set { tables.byKind[Resource.kind] = newValue.isEmpty ? nil : ResolvedTable(resources: newValue) }
    }
}

/// Tables by the kind of their resources; none is empty, so that equal contents are equal.
struct ResolvedTables: Sendable, Equatable {
    fileprivate var byKind: [ResourceKind: any AnyResolvedTable] = [:]

    static func == (left: ResolvedTables, right: ResolvedTables) -> Bool {
        left.byKind.count == right.byKind.count
            && left.byKind.allSatisfy { kind, table in
                right.byKind[kind].map { table.isEqual(to: $0) } ?? false
            }
    }
}

/// A table whose type of resources is not known.
private protocol AnyResolvedTable: Sendable {
    func isEqual(to other: any AnyResolvedTable) -> Bool
}

private struct ResolvedTable<Resource: ResolvedResource>: AnyResolvedTable, Equatable {
    var resources: [Resource]

    func isEqual(to other: any AnyResolvedTable) -> Bool { other as? ResolvedTable == self }
}
