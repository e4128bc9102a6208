/// What one of our tables was seen to hold.
public struct NFObservedTable: Hashable, Sendable {
    public let table: NFTable
    /// Whether somebody switched all its chains off (`NFT_TABLE_F_DORMANT`).
    public var isDormant = false
    /// What was stored with it: whether a table of that name is really ours. See ``NFTableIntent/comment``.
    public var comment: String?
    /// By name.
    public var objects: [NFObservedObject] = []
    /// By name.
    public var sets: [NFObservedSet] = []
    /// By name.
    public var chains: [NFObservedChain] = []
    /// By name.
    public var flowtables: [NFObservedFlowtable] = []

    public init(_ table: NFTable) { self.table = table }
}

/// A named object.
public struct NFObservedObject: Hashable, Sendable {
    public var name: String
    /// `NFT_OBJECT_*`.
    public var type: UInt32
    /// What it has counted, if it is a counter.
    public var counts: NFCounts
    /// Nil of a counter, and of what ours never are.
    public var body: NFObject.Body?

    public init(name: String, type: UInt32, counts: NFCounts = NFCounts(), body: NFObject.Body? = nil) {
        self.name = name
        self.type = type
        self.counts = counts
        self.body = body
    }

    /// NFT_OBJECT_COUNTER
    package var isCounter: Bool { type == 1 }
}

public struct NFObservedSet: Hashable, Sendable {
    public var name: String
    public var shape: NFSetShape
    public var elements: NFElements
    /// Whether there is something that elements of ours never are: with a timeout, an expression, a default for
    /// everything (`*`), an interval without its end. Only emptying the set removes it for sure.
    public var isIrregular: Bool

    public init(name: String, shape: NFSetShape, elements: NFElements, isIrregular: Bool = false) {
        self.name = name
        self.shape = shape
        self.elements = elements
        self.isIrregular = isIrregular
    }
}

public struct NFObservedChain: Hashable, Sendable {
    public var name: String
    public var base: NFBaseChain?
    public var rules: [NFObservedRule]

    public init(name: String, base: NFBaseChain?, rules: [NFObservedRule] = []) {
        self.name = name
        self.base = base
        self.rules = rules
    }
}

public struct NFObservedRule: Hashable, Sendable {
    public var rule: NFRule
    /// The kernel's number of the rule, never given twice in one table (`NFTA_RULE_HANDLE`).
    public var handle: UInt64
    /// The digest that was stored when the rule was made; nil when it is not ours. See ``NFRule/digest``.
    public var digest: UInt64?
    /// What the rule's own counters have counted, all of them added up.
    public var counts: NFCounts?

    public init(rule: NFRule, handle: UInt64, digest: UInt64? = nil, counts: NFCounts? = nil) {
        self.rule = rule
        self.handle = handle
        self.digest = digest
        self.counts = counts
    }
}

/// What all of our tables in one namespace were seen to hold, at one moment.
public struct NFSnapshot: Hashable, Sendable {
    /// The number of the moment: every committed transaction of anybody raises it (`NFTA_GEN_ID`).
    public var generation: UInt32
    /// Those that exist, sorted.
    public var tables: [NFObservedTable]

    public init(generation: UInt32, tables: [NFObservedTable] = []) {
        self.generation = generation
        self.tables = tables
    }

    public func table(_ table: NFTable) -> NFObservedTable? { tables.first { $0.table == table } }

    /// The generation that one more transaction leads to. The kernel never uses 0.
    public static func generation(after generation: UInt32) -> UInt32 { generation == .max ? 1 : generation + 1 }
}
