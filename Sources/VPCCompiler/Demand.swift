/// How many ask for something, and what has come to be asked for, or is so no longer, since somebody looked.
struct Demand<Key: Hashable & Sendable>: Sendable {
    private(set) var counts: [Key: Int] = [:]
    /// Of what was touched: whether anybody asked for it before.
    private var former: [Key: Bool] = [:]

    var isEmpty: Bool { counts.isEmpty }
    var keys: some Collection<Key> { counts.keys }

    func contains(_ key: Key) -> Bool { counts[key] != nil }

    mutating func add(_ key: Key) {
        if former[key] == nil { former[key] = counts[key] != nil }
        counts[key, default: 0] += 1
    }

    mutating func drop(_ key: Key) {
        if former[key] == nil { former[key] = counts[key] != nil }
        guard let count = counts[key] else { return }
        counts[key] = count > 1 ? count - 1 : nil
    }

    /// What came and what went, in no order.
    mutating func take() -> (added: [Key], removed: [Key]) {
        let touched = former
        former = [:]
        return (
            touched.filter { !$0.value && counts[$0.key] != nil }.map(\.key),
            touched.filter { $0.value && counts[$0.key] == nil }.map(\.key)
        )
    }
}
