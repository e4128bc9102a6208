extension NFTableIntent {
    /// The work that turns `observed` into this table; nil when it does not exist. Both normalized.
    ///
    /// In one transaction everything changes at once, so the order only has to satisfy the kernel's bookkeeping: what
    /// refers goes before what it refers to, and room is made before it is taken.
    public func changes(from observed: NFObservedTable?) -> NFChangeSet {
        var planner = NFPlanner(intent: self, observed: observed ?? NFObservedTable(table))
        return NFChangeSet(table, planner.planned(isNew: observed == nil))
    }
}

extension NFObservedTable {
    /// The work that removes the table.
    public var removal: NFChangeSet { NFChangeSet(table, [.deleteTable]) }
}

/// Computes the operations of one table.
private struct NFPlanner {
    let intent: NFTableIntent
    let observed: NFObservedTable

    // In the order of the transaction.
    private var ruleDeletions: [NFOperation] = []
    private var elementDeletions: [NFOperation] = []
    private var setDeletions: [NFOperation] = []
    private var chainDeletions: [NFOperation] = []
    private var objectDeletions: [NFOperation] = []
    private var objectCreations: [NFOperation] = []
    private var setCreations: [NFOperation] = []
    private var chainCreations: [NFOperation] = []
    /// Of constant sets: they cannot be changed any more once a rule refers to them.
    private var constantElements: [NFOperation] = []
    private var ruleCreations: [NFOperation] = []
    private var elementCreations: [NFOperation] = []

    /// Sets that are made anew: the rules that refer to the old ones have to go with them.
    private var remadeSets: Set<String> = []

    init(intent: NFTableIntent, observed: NFObservedTable) {
        self.intent = intent
        self.observed = observed
    }

    mutating func planned(isNew: Bool) -> [NFOperation] {
        var table: [NFOperation] = []
        if isNew {
            table.append(.createTable(comment: intent.comment))
        } else if observed.isDormant {
            table.append(.wakeTable)
        }
        planObjects()
        planSets()
        planChains()
        return ruleDeletions + elementDeletions + setDeletions + chainDeletions + objectDeletions + table
            + objectCreations + setCreations + chainCreations + constantElements + ruleCreations + elementCreations
    }

    // MARK: Objects

    private mutating func planObjects() {
        Self.merge(intent.counters, observed.objects, \.name, \.name) { wanted, seen in
            // NFT_OBJECT_COUNTER
            if let seen, seen.type != 1 || wanted == nil {
                objectDeletions.append(.deleteObject(name: seen.name, type: seen.type))
            }
            if let wanted, seen?.type != 1 { objectCreations.append(.createCounter(wanted)) }
        }
    }

    // MARK: Sets

    private mutating func planSets() {
        Self.merge(intent.sets, observed.sets, \.name, \.name) { wanted, seen in
            guard let wanted else {
                if let seen { setDeletions.append(.deleteSet(name: seen.name)) }
                return
            }
            guard let seen else { return create(wanted) }
            let isChanged = wanted.shape != seen.shape
            let elementsChanged = seen.isIrregular || wanted.elements != seen.elements
            if isChanged || wanted.shape.isConstant && elementsChanged {
                remadeSets.insert(wanted.name)
                setDeletions.append(.deleteSet(name: seen.name))
                create(wanted)
            } else if elementsChanged {
                change(wanted, seen)
            }
        }
    }

    private mutating func create(_ set: NFSet) {
        var empty = set
        empty.elements = NFElements(layout: set.shape.layout)
        setCreations.append(.createSet(empty))
        if set.elements.isEmpty { return }
        let addition = NFOperation.addElements(set: set.name, set.shape, set.elements)
        if set.shape.isConstant { constantElements.append(addition) } else { elementCreations.append(addition) }
    }

    private mutating func change(_ wanted: NFSet, _ seen: NFObservedSet) {
        if seen.isIrregular {
            elementDeletions.append(.flushSet(name: seen.name))
            if !wanted.elements.isEmpty {
                elementCreations.append(.addElements(set: wanted.name, wanted.shape, wanted.elements))
            }
            return
        }
        let (removed, added) = wanted.elements.difference(from: seen.elements)
        if !removed.isEmpty { elementDeletions.append(.removeElements(set: seen.name, seen.shape, removed)) }
        if !added.isEmpty { elementCreations.append(.addElements(set: wanted.name, wanted.shape, added)) }
    }

    // MARK: Chains

    private mutating func planChains() {
        Self.merge(intent.chains, observed.chains, \.name, \.name) { wanted, seen in
            guard let wanted else {
                if let seen { delete(seen) }
                return
            }
            guard let seen else { return create(wanted) }
            switch (wanted.base, seen.base) {
            case (nil, nil): break
            case (.some(let new), .some(let old)) where new == old: break
            case (.some(let new), .some(let old)) where new.differsOnlyInPolicy(from: old):
                chainCreations.append(.changePolicy(wanted.withoutRules))
            default:
                delete(seen)
                return create(wanted)
            }
            planRules(of: wanted, seen)
        }
    }

    private mutating func create(_ chain: NFChain) {
        chainCreations.append(.createChain(chain.withoutRules))
        for rule in chain.rules { ruleCreations.append(.addRule(chain: chain.name, rule, .last)) }
    }

    private mutating func delete(_ chain: NFObservedChain) {
        // Its rules first, all chains' rules before any chain: they may refer to each other.
        if !chain.rules.isEmpty { ruleDeletions.append(.flushChain(name: chain.name)) }
        chainDeletions.append(.deleteChain(name: chain.name))
    }

    /// Deletes and inserts as few rules as it takes: those that stay keep their counters.
    private mutating func planRules(of wanted: NFChain, _ seen: NFObservedChain) {
        let survivors = seen.rules.map { observed in
            !observed.rule.expressions.contains { expression in expression.set.map(remadeSets.contains) ?? false }
        }
        if wanted.rules.count == seen.rules.count, survivors.allSatisfy({ $0 }),
            zip(wanted.rules, seen.rules).allSatisfy({ $0.isSame(as: $1.rule) })
        {
            return
        }
        let kept = commonRules(wanted.rules, seen.rules, survivors)
        if kept.isEmpty, !seen.rules.isEmpty {
            ruleDeletions.append(.flushChain(name: seen.name))
        } else {
            var next = kept.makeIterator()
            var stays = next.next()
            for (index, rule) in seen.rules.enumerated() {
                if stays?.seen == index {
                    stays = next.next()
                } else {
                    ruleDeletions.append(.deleteRule(chain: seen.name, handle: rule.handle, rule.rule))
                }
            }
        }
        var next = kept.makeIterator()
        var stays = next.next()
        for (index, rule) in wanted.rules.enumerated() {
            if stays?.wanted == index {
                stays = next.next()
            } else {
                let position = stays.map { NFOperation.NFPosition.before(seen.rules[$0.seen].handle) } ?? .last
                ruleCreations.append(.addRule(chain: wanted.name, rule, position))
            }
        }
    }

    /// Pairs of equal rules in the same order on both sides, ascending: the longest such list, except that the n-th of
    /// several equal rules only ever goes with the n-th of the other side.
    private func commonRules(
        _ wanted: [NFRule], _ seen: [NFObservedRule], _ survivors: [Bool]
    ) -> [(wanted: Int, seen: Int)] {
        struct Content: Hashable {
            var expressions: [NFExpression]
            var comment: String?
        }
        var positions: [Content: [Int]] = [:]
        for (index, rule) in seen.enumerated() where survivors[index] {
            positions[Content(expressions: rule.rule.expressions, comment: rule.rule.comment), default: []]
                .append(index)
        }
        var used: [Content: Int] = [:]
        var pairs: [(wanted: Int, seen: Int)] = []
        for (index, rule) in wanted.enumerated() {
            let content = Content(expressions: rule.expressions, comment: rule.comment)
            guard let list = positions[content] else { continue }
            let nth = used[content, default: 0]
            used[content] = nth + 1
            if nth < list.count { pairs.append((index, list[nth])) }
        }
        // The longest ascending subsequence of the seen positions.
        var tails: [Int] = []
        var previous = [Int?](repeating: nil, count: pairs.count)
        for index in pairs.indices {
            var low = 0
            var high = tails.count
            while low < high {
                let middle = (low + high) / 2
                if pairs[tails[middle]].seen < pairs[index].seen { low = middle + 1 } else { high = middle }
            }
            previous[index] = low > 0 ? tails[low - 1] : nil
            if low == tails.count { tails.append(index) } else { tails[low] = index }
        }
        var common: [(wanted: Int, seen: Int)] = []
        var index = tails.last
        while let current = index {
            common.append(pairs[current])
            index = previous[current]
        }
        return common.reversed()
    }

    // MARK: Merging

    /// Walks two lists that are sorted by name side by side.
    private static func merge<Wanted, Seen>(
        _ wanted: [Wanted], _ seen: [Seen], _ wantedName: KeyPath<Wanted, String>, _ seenName: KeyPath<Seen, String>,
        _ body: (Wanted?, Seen?) -> Void
    ) {
        var left = 0
        var right = 0
        while left < wanted.count || right < seen.count {
            if right == seen.count {
                body(wanted[left], nil)
                left += 1
            } else if left == wanted.count {
                body(nil, seen[right])
                right += 1
            } else {
                let (a, b) = (wanted[left][keyPath: wantedName], seen[right][keyPath: seenName])
                if a == b {
                    body(wanted[left], seen[right])
                    left += 1
                    right += 1
                } else if a < b {
                    body(wanted[left], nil)
                    left += 1
                } else {
                    body(nil, seen[right])
                    right += 1
                }
            }
        }
    }
}

extension NFChain {
    fileprivate var withoutRules: NFChain {
        var chain = self
        chain.rules = []
        return chain
    }
}
