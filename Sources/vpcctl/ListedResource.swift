import Console
import VPCModel
import VPCTopology

/// What `vpcctl get` has to know of a kind.
protocol ListedResource: ResourceType {
    /// The columns behind the name.
    /// - Parameter topology: What the resources resolve to.
    static func columns(in topology: Topology) -> [Column<Self>]

    /// Of a kind that is a list of rules, how these are listed one by one; nil of others.
    static var ruleTable: (@Sendable (RuleTable, [Self]) -> TextTable)? { get }
}

extension ListedResource {
    static var ruleTable: (@Sendable (RuleTable, [Self]) -> TextTable)? { nil }
}

struct Column<Kind: ResourceType> {
    let title: String
    let formats: [OutputFormat]
    let text: (Kind) -> String

    /// - Parameter formats: Those of `table` and `wide` that have the column.
    init(_ title: String, in formats: [OutputFormat] = [.table, .wide], _ text: @escaping (Kind) -> String) {
        self.title = title
        self.formats = formats
        self.text = text
    }
}

extension ListedResource {
    /// - Parameter statuses: Where an agent told them, by resource: what to write into the last columns.
    static func table(
        of resources: [Resource], _ topology: Topology, _ format: OutputFormat,
        statuses: [ResourceReference: ResourceStatus]? = nil
    ) -> TextTable {
        let columns = columns(in: topology).filter { $0.formats.contains(format) }
        let isWide = format == .wide
        var table = TextTable(
            ["NAME"] + columns.map(\.title)
                + (statuses == nil ? [] : ["STATUS"] + (isWide ? ["ORIGIN", "REASON"] : [])))
        table.rows = resources.compactMap { $0.value as? Self }.map { resource in
            var cells = [resource.metadata.name] + columns.map { $0.text(resource) }
            if let statuses {
                let status = statuses[resource.reference]
                cells += [status?.phase ?? "-"] + (isWide ? [status?.origin ?? "-", status?.reason ?? "-"] : [])
            }
            return cells
        }
        return table
    }

    static var hasRules: Bool { ruleTable != nil }

    static func rules(of resources: [Resource], in table: RuleTable) -> TextTable? {
        ruleTable.map { $0(table, resources.compactMap { $0.value as? Self }) }
    }
}

extension ResourceKind {
    /// What `get` knows of the kind.
    var listed: any ListedResource.Type { Self.listed[ordinal] }

    private static let listed = DeclaredKinds.listed
}

extension KindList where repeat each Kind: ListedResource {
    fileprivate static var listed: [any ListedResource.Type] {
        var kinds: [any ListedResource.Type] = []
        repeat kinds.append((each Kind).self)
        return kinds
    }
}
