public import KernelNames

/// What one table shall hold.
///
/// ```swift
/// var filter = NFTableIntent(NFTable(.inet, "filter"))
/// filter.sets.append(NFSet("blocked", of: .ipv4Address))
/// filter.chain("input", NFBaseChain(.filter, .input, priority: 0)) { chain in
///     chain.rule(.match(.ipSource, in: "blocked"), .counter("blocked"), .drop)
/// }
/// ```
public struct NFTableIntent: Hashable, Sendable {
    public let table: NFTable
    /// Stored with the table when it is made, and shown by nft(8); it cannot be changed later. At most 127 bytes are
    /// kept.
    public let comment: String?
    public var counters: [NFCounter] = []
    /// Limits and timeouts; no counter has the name of one.
    public var objects: [NFObject] = []
    public var sets: [NFSet] = []
    public var chains: [NFChain] = []
    public var flowtables: [NFFlowtable] = []

    public init(_ table: NFTable, comment: String? = nil) {
        self.table = table
        self.comment = storable(comment)
    }

    /// Adds a chain with the rules that `body` gives it.
    public mutating func chain(
        _ name: String, _ base: NFBaseChain? = nil, origin: Origin = .none, _ body: (inout NFChainBuilder) -> Void
    ) {
        var builder = NFChainBuilder(family: table.family, chain: NFChain(name, base, origin: origin))
        body(&builder)
        chains.append(builder.chain)
    }

    /// Sorts everything but rules by name or key.
    public mutating func normalize() {
        counters.sort { $0.name < $1.name }
        objects.sort { $0.name < $1.name }
        sets.sort { $0.name < $1.name }
        chains.sort { $0.name < $1.name }
        flowtables.sort { $0.name < $1.name }
        for index in sets.indices { sets[index].elements.normalize() }
        for index in chains.indices { chains[index].base?.devices.sort() }
    }
}

/// Adds rules to a chain.
public struct NFChainBuilder {
    let family: NFFamily
    public internal(set) var chain: NFChain

    /// - Parameter family: That of the chain's table.
    public init(family: NFFamily, chain: NFChain) {
        self.family = family
        self.chain = chain
    }

    /// Adds a rule behind those that are there. It comes from where its chain comes from, unless `origin` says otherwise.
    public mutating func rule(_ statements: NFStatement..., comment: String? = nil, origin: Origin? = nil) {
        rule(statements, comment: comment, origin: origin)
    }

    public mutating func rule(_ statements: [NFStatement], comment: String? = nil, origin: Origin? = nil) {
        chain.rules.append(
            NFRule(in: family, statements, comment: comment, origin: origin ?? chain.origin))
    }
}
