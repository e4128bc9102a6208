/// All resources of a manifest set: a table for each kind, in the order of the documents.
public struct Model: Hashable, Sendable {
    /// By ordinal of the kind.
    @usableFromInline var tables: [any ResourceTable] = DeclaredKinds.emptyTables
    /// What the documents hold beside these resources; a model with gaps is never acted upon.
    public var gaps = Gaps()

    public init() {}

    /// The resources of one kind. Takes a moment to find: not for the inside of a loop over many.
    @inlinable public subscript<Kind: ResourceType>(_: Kind.Type) -> [Kind] {
        get { (tables[Kind.kind.ordinal] as? Table<Kind>)?.elements ?? [] }
        _modify {
            let ordinal = Kind.kind.ordinal
            var table = tables[ordinal] as? Table<Kind> ?? Table<Kind>()
            // Else the elements have two owners, and are copied.
            tables[ordinal] = Table<Kind>()
            defer { tables[ordinal] = table }
            yield &table.elements
        }
    }

    public static func == (left: Model, right: Model) -> Bool {
        left.gaps == right.gaps && zip(left.tables, right.tables).allSatisfy { $0.isEqual(to: $1) }
    }

    public func hash(into hasher: inout Hasher) {
        for table in tables { table.hash(into: &hasher) }
        hasher.combine(gaps)
    }
}

extension Model {
    public init(_ resources: some Sequence<Resource>) {
        self.init()
        for resource in resources { append(resource) }
    }

    public mutating func append(_ resource: Resource) { tables[resource.kind.ordinal].append(resource.value) }

    /// The number of resources of all kinds.
    public var count: Int { tables.reduce(0) { $0 + $1.count } }

    /// The names of the resources of one kind, in the order of the documents.
    public func names(of kind: ResourceKind) -> [String] { tables[kind.ordinal].names }

    /// The resources of one kind, in the order of the documents.
    public func resources(of kind: ResourceKind) -> [Resource] { tables[kind.ordinal].resources }

    /// All resources, kind by kind, each kind in the order of the documents.
    public var resources: [Resource] { tables.flatMap(\.resources) }
}

/// The resources of one kind, whichever it is.
@usableFromInline protocol ResourceTable: Sendable {
    var count: Int { get }
    var names: [String] { get }
    var resources: [Resource] { get }
    /// - Parameter resource: Of the table's kind.
    mutating func append(_ resource: any ResourceType)
    func isEqual(to other: any ResourceTable) -> Bool
    func hash(into hasher: inout Hasher)
}

/// `Kind` is a `ResourceType`. That is not said of the type itself, since the runtime would look for what it conforms to
/// once for each kind, among all conformances there are.
@usableFromInline struct Table<Kind> {
    @usableFromInline var elements: [Kind] = []

    @usableFromInline init() {}
}

extension Table: Sendable where Kind: Sendable {}
extension Table: Equatable where Kind: Equatable {}
extension Table: Hashable where Kind: Hashable {}

extension Table: ResourceTable where Kind: ResourceType {
    @usableFromInline var count: Int { elements.count }
    @usableFromInline var names: [String] { elements.map(\.metadata.name) }
    @usableFromInline var resources: [Resource] { elements.map { Resource($0) } }

    @usableFromInline mutating func append(_ resource: any ResourceType) {
        if let resource = resource as? Kind { elements.append(resource) }
    }

    @usableFromInline func isEqual(to other: any ResourceTable) -> Bool { other as? Table == self }
}

/// What is known of the documents that could not be decoded.
///
/// A reference to such a resource is not dangling: reporting it would only repeat the error in the document itself.
public struct Gaps: Hashable, Sendable {
    /// Resources that were named but not decoded.
    public var resources: Set<ResourceReference> = []
    /// Kinds of which a document was found whose name could not be read.
    public var kinds: Set<ResourceKind> = []

    public init() {}

    public var isEmpty: Bool { resources.isEmpty && kinds.isEmpty }

    /// Whether this resource may exist although the model lacks it.
    public func mayHold(_ resource: ResourceReference) -> Bool {
        !isEmpty && (kinds.contains(resource.kind) || resources.contains(resource))
    }
}
