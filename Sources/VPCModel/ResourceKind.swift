/// Kinds as types.
public struct KindList<each Kind: ResourceType> {
    static var types: [any ResourceType.Type] {
        var types: [any ResourceType.Type] = []
        repeat types.append((each Kind).self)
        return types
    }

    static var emptyTables: [any ResourceTable] {
        var tables: [any ResourceTable] = []
        repeat tables.append(Table<each Kind>())
        return tables
    }
}

/// Resources of one kind.
///
/// Further stages ask for more: `ManifestResource` (VPCManifest) for what a document may say, `ResolvableResource`
/// (VPCTopology) for what it refers to, `ListedResource` (vpcctl) for the columns of a table.
public protocol ResourceType: Hashable, Sendable {
    static var names: KindNames { get }
    static var kind: ResourceKind { get }
    var metadata: Metadata { get set }
}

extension ResourceType {
    public var reference: ResourceReference { ResourceReference(Self.kind, metadata.name) }
}

/// What a kind is called.
public struct KindNames: Sendable {
    /// In a manifest: `RouteTable`.
    public let name: String
    /// Several of them, on command lines and in the API: `routetables`.
    public let plural: String
    /// Further words for them on command lines: `rt`.
    public let short: [String]

    /// - Parameter plural: Of a name that does not take an s.
    public init(_ name: String, plural: String? = nil, short: [String] = []) {
        self.name = name
        self.plural = plural ?? name.lowercased() + "s"
        self.short = short
    }
}

/// A kind of resource: one of ``DeclaredKinds``.
public struct ResourceKind: Hashable, Sendable, Comparable, CaseIterable, RawRepresentable {
    /// The position in ``DeclaredKinds``, less than ``limit``.
    public let ordinal: Int

    /// Whoever packs a kind into a number has this many to tell apart.
    public static let limit = 64

    public static let allCases = types.indices.map(ResourceKind.init(ordinal:))

    static let types: [any ResourceType.Type] = {
        let types = DeclaredKinds.types
        precondition(types.count < limit, "more kinds than an origin can tell apart")
        precondition(Set(types.map { $0.names.name }).count == types.count, "two kinds of one name")
        return types
    }()

    private static let byName = Dictionary(uniqueKeysWithValues: allCases.map { ($0.rawValue, $0) })

    private init(ordinal: Int) { self.ordinal = ordinal }

    init(of type: any ResourceType.Type) {
        guard let ordinal = Self.types.firstIndex(where: { $0 == type }) else {
            preconditionFailure("\(type) is none of DeclaredKinds")
        }
        self.ordinal = ordinal
    }

    /// By its name in a manifest.
    public init?(rawValue: String) {
        guard let kind = Self.byName[rawValue] else { return nil }
        self = kind
    }

    /// As users type it: singular or plural, in any case.
    /// - Parameter takesShort: Whether `rt` is a route table.
    public init?(word: String, takesShort: Bool = false) {
        let word = word.lowercased()
        let found = Self.allCases.first {
            word == $0.rawValue.lowercased() || word == $0.names.plural || takesShort && $0.names.short.contains(word)
        }
        guard let found else { return nil }
        self = found
    }

    public var names: KindNames { Self.types[ordinal].names }
    /// The name in a manifest.
    public var rawValue: String { names.name }

    public static func < (left: ResourceKind, right: ResourceKind) -> Bool { left.ordinal < right.ordinal }
    public static func == (left: ResourceKind, right: ResourceKind) -> Bool { left.ordinal == right.ordinal }
    public func hash(into hasher: inout Hasher) { hasher.combine(ordinal) }
}

/// Names one resource of a manifest set.
public struct ResourceReference: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var kind: ResourceKind
    public var name: String

    public init(_ kind: ResourceKind, _ name: String) {
        self.kind = kind
        self.name = name
    }

    /// `Subnet/blue-web`.
    public var description: String { "\(kind.rawValue)/\(name)" }

    public static func < (left: ResourceReference, right: ResourceReference) -> Bool {
        left.kind == right.kind ? left.name < right.name : left.kind < right.kind
    }
}
