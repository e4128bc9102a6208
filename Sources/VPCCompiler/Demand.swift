/// How many ask for something, and what has come to be asked for, or is so no longer, since somebody looked.
struct Demand<Key: Hashable & Sendable>: Sendable {
    private(set) var counts: [Key: Int] = [:]
    /// Of what was touched: whether anybody asked for it before.
    private var former: [Key: Bool] = [:]

    var isEmpty: Bool { counts.isEmpty }
    var keys: some Collection<Key> { counts.keys }

    func contains(_ key: Key) -> Bool { counts[key] != nil }

    mutating func add(_ key: Key) { count(key, 1) }
    mutating func drop(_ key: Key) { count(key, -1) }

    /// So many more ask for it; there are never fewer than none.
    mutating func count(_ key: Key, _ number: Int) {
        if former[key] == nil { former[key] = counts[key] != nil }
        let sum = counts[key, default: 0] + number
        counts[key] = sum > 0 ? sum : nil
    }

    /// What came and what went, in no order.
    mutating func take() -> (added: [Key], removed: [Key]) {
        var (added, removed): ([Key], [Key]) = ([], [])
        for (key, was) in former {
            let isThere = counts[key] != nil
            if isThere, !was { added.append(key) }
            if was, !isThere { removed.append(key) }
        }
        former = [:]
        return (added, removed)
    }
}
