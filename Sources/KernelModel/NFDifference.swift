public import KernelNames
public import NFTables

extension NFTableIntent {
    /// The work that turns `observed` into this table; nil when it does not exist. Both normalized.
    ///
    /// - Parameter departing: Devices that will be gone soon: what the table says about them stays until its removal.
    public func changes(from observed: NFObservedTable?, departing: Set<InterfaceName> = []) -> NFChangeSet {
        if isPassed(observed) { return changes(from: observed, renewing: .none) }
        var changes = changes(from: observed, departing, inPlace: true)
        if changes.isTorn { changes = self.changes(from: observed, departing, inPlace: false) }
        // In the transaction with which they come.
        changes.turn += newcomers(since: observed ?? NFObservedTable(table))
        return changes
    }

    /// The new elements of sets, for the sets that hold such elements for a while.
    private func newcomers(since observed: NFObservedTable) -> [NFOperation] {
        let present = NFPresentSets(self, observed)
        return sets.compactMap { set in
            guard let followed = sets.first(where: { $0.name == set.newcomersTo }) else { return nil }
            let seen = present.current(followed.name).flatMap { $0.shape.isLike(followed.shape) ? $0.elements : nil }
            let known = seen ?? NFElements(layout: followed.shape.layout)
            let (_, added) = followed.elements.difference(from: known)
            // What cannot be changed is made under another name, and what is in use has the name that it has.
            let name = present.base(of: set, inPlace: true)?.name ?? set.name
            return added.isEmpty ? nil : .renewElements(set: name, set.shape, added)
        }
    }

    private func changes(
        from observed: NFObservedTable?, _ departing: Set<InterfaceName>, inPlace: Bool
    ) -> NFChangeSet {
        let seen = observed ?? NFObservedTable(table)
        let departure = DepartingDevices(self, seen, departing)
        let settled = NFSetNames(departure.transition, seen, inPlace: inPlace)
        var planner = NFPlanner(intent: settled.table, observed: seen)
        var changes = planner.planned(isNew: observed == nil)
        if departure.elements.isEmpty { return changes }
        // The chains that the departing devices' elements lead to must go at once.
        if planner.remakesChains { return self.changes(from: observed, [], inPlace: inPlace) }
        changes.removal.insert(contentsOf: departure.farewell(settled.names), at: 0)
        return changes
    }
}

extension NFTableIntent {
    /// Whether connections pass by flowtables of this table: rules can lead by none of another.
    public var leadsByFlowtables: Bool { !flowtables.isEmpty }

    /// Whether they do, or have done so.
    func isPassed(_ observed: NFObservedTable?) -> Bool {
        leadsByFlowtables || observed?.flowtables.isEmpty == false
    }

    func isPassed(asSeenIn snapshot: NFSnapshot) -> Bool { isPassed(snapshot.table(table)) }

    /// The work that turns `observed` into this table, which has flowtables: what leads connections past the rules is taken
    /// away with what the rules forbid (``NFChangeSet/turn``), and comes back when the devices are there
    /// (``NFChangeSet/completion``). Until then the connections pass by the rules.
    ///
    /// - Parameters:
    ///   - renewing: Flowtables whose connections are to be judged anew.
    ///   - absent: Devices that are there, but leave the flowtables by themselves before the completion.
    func changes(
        from observed: NFObservedTable?, renewing: ChangedKeys<String>, absent: Set<InterfaceName> = []
    ) -> NFChangeSet {
        var changes = NFChangeSet(table)
        var rest = observed ?? NFObservedTable(table)
        for index in rest.flowtables.indices { rest.flowtables[index].devices.removeAll(where: absent.contains) }
        var deletions: [NFOperation] = []
        var concerned: Set<String> = []
        for (index, seen) in rest.flowtables.enumerated().reversed() {
            guard let wanted = flowtables.first(where: { $0.name == seen.name }), seen.hasForm(of: wanted) else {
                deletions.append(.deleteFlowtable(observed?.flowtables[index] ?? seen))
                concerned.insert(seen.name)
                rest.flowtables.remove(at: index)
                continue
            }
            let leaving = Set(seen.devices).subtracting(wanted.devices).sorted()
            if !leaving.isEmpty {
                deletions.append(.removeDevices(leaving, from: wanted))
                rest.flowtables[index].devices.removeAll(where: leaving.contains)
            }
            if !leaving.isEmpty || renewing.contains(seen.name) { concerned.insert(seen.name) }
        }
        for index in rest.chains.indices where rest.chains[index].leads(into: concerned) {
            changes.turn.append(.flushChain(name: rest.chains[index].name))
            rest.chains[index].rules = []
        }
        changes.turn += deletions.reversed()
        var planner = NFPlanner(intent: NFSetNames(self, rest, inPlace: true).table, observed: rest)
        changes.completion = planner.planned(isNew: observed == nil).operations
        return changes
    }
}

extension NFChain {
    fileprivate var leadsByFlowtables: Bool {
        rules.contains { rule in rule.expressions.contains { $0.flowtable != nil } }
    }
}

extension NFObservedChain {
    fileprivate func leads(into flowtables: Set<String>) -> Bool {
        rules.contains { seen in seen.rule.expressions.contains { $0.flowtable.map(flowtables.contains) ?? false } }
    }
}

extension NFChangeSet {
    /// Whether a packet might in one moment find neither what goes nor what comes: the kernel exchanges sets of intervals
    /// a moment after the rest. Where things only come, or only go, it finds what was or what shall be.
    fileprivate var isTorn: Bool {
        var goes = false
        var comes = false
        var isLate = false
        for operation in turn {
            switch operation {
            case .addElements(_, let shape, _):
                comes = true
                isLate = isLate || shape.isInterval
            case .removeElements(_, let shape, _):
                goes = true
                isLate = isLate || shape.isInterval
            case .addRule: comes = true
            case .createTable: return false
            default: goes = true
            }
        }
        return goes && comes && isLate
    }
}

extension NFObservedTable {
    /// The work that removes the table.
    public var removal: NFChangeSet { NFChangeSet(table, [.deleteTable]) }
}

/// Computes the operations of one table, whose sets have the names that they shall have.
private struct NFPlanner {
    let intent: NFTableIntent
    let observed: NFObservedTable

    // Of what is there, in the order of the transaction.
    private var ruleDeletions: [NFOperation] = []
    private var elementDeletions: [NFOperation] = []
    /// Of objects that nothing bears for the moment.
    private var objectChanges: [NFOperation] = []
    private var remadeObjects: Set<String> = []
    private var chainDeletions: [NFOperation] = []
    private var chainChanges: [NFOperation] = []
    private var ruleCreations: [NFOperation] = []
    private var elementCreations: [NFOperation] = []

    /// What is new and not led to before the rest is done, in the order in which one thing refers to another.
    private struct Additions {
        var objects: [NFOperation] = []
        var sets: [NFOperation] = []
        var flowtables: [NFOperation] = []
        var chains: [NFOperation] = []
        /// Of constant sets: they cannot be changed any more once a rule refers to them.
        var constantElements: [NFOperation] = []
        var rules: [NFOperation] = []
        var elements: [NFOperation] = []

        var all: [NFOperation] { objects + sets + flowtables + chains + constantElements + rules + elements }
    }
    private var additions = Additions()

    /// What is not wanted.
    private struct Leftovers {
        var rules: [NFOperation] = []
        var sets: [NFOperation] = []
        var chains: [NFOperation] = []
        var objects: [NFOperation] = []

        var all: [NFOperation] { rules + sets + chains + objects }
    }
    private var leftovers = Leftovers()

    /// Whether a chain has to go before one of its name can be made: then what leads to it goes in the same transaction.
    private(set) var remakesChains = false

    init(intent: NFTableIntent, observed: NFObservedTable) {
        self.intent = intent
        self.observed = observed
    }

    /// In one transaction everything changes at once, so the order only has to satisfy the kernel's bookkeeping: what
    /// refers goes before what it refers to, and room is made before it is taken.
    mutating func planned(isNew: Bool) -> NFChangeSet {
        planObjects()
        planSets()
        planFlowtables()
        planChains()
        var changes = NFChangeSet(intent.table)
        changes.admissions = Set(intent.sets.filter(\.admits).map(\.name))
        if isNew {
            changes.turn =
                [.createTable(comment: intent.comment)] + additions.objects + additions.sets + additions.flowtables
                + additions.chains
                + chainChanges + additions.constantElements + additions.rules + ruleCreations + additions.elements
            return changes
        }
        let deletions = ruleDeletions + leftovers.rules + elementDeletions + objectChanges
        let wakening: [NFOperation] = observed.isDormant ? [.wakeTable] : []
        if remakesChains {
            changes.turn =
                deletions + leftovers.sets + chainDeletions + leftovers.chains + leftovers.objects + wakening
                + additions.objects + additions.sets + additions.flowtables + additions.chains + chainChanges
                + additions.constantElements
                + additions.rules + ruleCreations + additions.elements + elementCreations
        } else {
            changes.preparation = additions.all
            changes.turn =
                ruleDeletions + elementDeletions + objectChanges + chainDeletions + wakening + chainChanges
                + ruleCreations
                + elementCreations
            changes.removal = leftovers.all
        }
        return changes
    }

    // MARK: Objects

    private mutating func planObjects() {
        // Objects of several types can have one name.
        let counters = observed.objects.filter(\.isCounter)
        planLimitsAndTimeouts()
        Self.merge(intent.counters, counters, { $0.name }, { $0.name }) { wanted, seen in
            switch (wanted, seen) {
            case (let wanted?, nil): additions.objects.append(.createCounter(wanted))
            case (nil, let seen?): leftovers.objects.append(.deleteObject(name: seen.name, type: seen.type))
            default: break
            }
        }
    }

    /// One that is another under the name of a wanted one takes the place of that, with all elements that bear it.
    private mutating func planLimitsAndTimeouts() {
        let seen = observed.objects.filter { !$0.isCounter }
        let wanted = Dictionary(intent.objects.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var there: Set<String> = []
        for object in seen {
            let deletion = NFOperation.deleteObject(name: object.name, type: object.type)
            guard let own = wanted[object.name], own.body.type == object.type else {
                leftovers.objects.append(deletion)
                continue
            }
            there.insert(object.name)
            if object.body?.fulfils(own.body) ?? false { continue }
            objectChanges += [deletion, .createObject(own)]
            remadeObjects.insert(object.name)
        }
        for object in intent.objects where !there.contains(object.name) {
            additions.objects.append(.createObject(object))
        }
    }

    // MARK: Sets

    private mutating func planSets() {
        Self.merge(intent.sets, observed.sets, { $0.name }, { $0.name }) { wanted, seen in
            guard let wanted else {
                if let seen { leftovers.sets.append(.deleteSet(name: seen.name)) }
                return
            }
            guard let seen else { return create(wanted) }
            if !remadeObjects.isDisjoint(with: seen.elements.objects) {
                elementDeletions.append(.flushSet(name: seen.name))
                if wanted.elements.isEmpty { return }
                elementCreations.append(.addElements(set: wanted.name, wanted.shape, wanted.elements))
            } else if seen.isIrregular || wanted.elements != seen.elements {
                change(wanted, seen)
            }
        }
    }

    private mutating func create(_ set: NFSet) {
        var empty = set
        empty.elements = NFElements(layout: set.shape.layout)
        additions.sets.append(.createSet(empty))
        if set.elements.isEmpty { return }
        let addition = NFOperation.addElements(set: set.name, set.shape, set.elements)
        if set.shape.isConstant {
            additions.constantElements.append(addition)
        } else {
            additions.elements.append(addition)
        }
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

    // MARK: Flowtables

    private mutating func planFlowtables() {
        Self.merge(intent.flowtables, observed.flowtables, { $0.name }, { $0.name }) { wanted, seen in
            guard let wanted else { return }
            guard let seen else { return additions.flowtables.append(.createFlowtable(wanted)) }
            let missing = Set(wanted.devices).subtracting(seen.devices).sorted()
            if !missing.isEmpty { additions.flowtables.append(.addDevices(missing, to: wanted)) }
        }
    }

    // MARK: Chains

    private mutating func planChains() {
        Self.merge(intent.chains, observed.chains, { $0.name }, { $0.name }) { wanted, seen in
            guard let wanted else {
                if let seen { delete(seen) }
                return
            }
            guard let seen else { return create(wanted) }
            switch (wanted.base, seen.base) {
            case (nil, nil): break
            case (.some(let new), .some(let old)) where new == old: break
            case (.some(let new), .some(let old)) where new.differsOnlyInPolicy(from: old):
                chainChanges.append(.changePolicy(wanted.withoutRules))
            default:
                remakesChains = true
                if !seen.rules.isEmpty { ruleDeletions.append(.flushChain(name: seen.name)) }
                chainDeletions.append(.deleteChain(name: seen.name))
                return create(wanted)
            }
            planRules(of: wanted, seen)
        }
    }

    private mutating func create(_ chain: NFChain) {
        let rules = chain.rules.map { NFOperation.addRule(chain: chain.name, $0, .last) }
        // The kernel leads packets into a base chain as soon as it is there.
        if chain.base != nil {
            chainChanges.append(.createChain(chain.withoutRules))
            ruleCreations += rules
        } else {
            additions.chains.append(.createChain(chain.withoutRules))
            additions.rules += rules
        }
    }

    private mutating func delete(_ chain: NFObservedChain) {
        // Its rules first, all chains' rules before any chain: they may refer to each other.
        let flush: [NFOperation] = chain.rules.isEmpty ? [] : [.flushChain(name: chain.name)]
        if chain.base != nil {
            ruleDeletions += flush
            chainDeletions.append(.deleteChain(name: chain.name))
        } else {
            leftovers.rules += flush
            leftovers.chains.append(.deleteChain(name: chain.name))
        }
    }

    /// Deletes and inserts as few rules as it takes: those that stay keep their counters.
    private mutating func planRules(of wanted: NFChain, _ seen: NFObservedChain) {
        if wanted.rules.count == seen.rules.count,
            zip(wanted.rules, seen.rules).allSatisfy({ $0.isSame(as: $1.rule) })
        {
            return
        }
        let kept = keptRules(wanted.rules, seen.rules)
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

    /// Pairs of equal rules in the same order on both sides, ascending. What both begin and end with is paired without
    /// being looked for.
    private func keptRules(_ wanted: [NFRule], _ seen: [NFObservedRule]) -> [(wanted: Int, seen: Int)] {
        let shorter = min(wanted.count, seen.count)
        let head = (0..<shorter).prefix { wanted[$0].isSame(as: seen[$0].rule) }.count
        let tail = (0..<shorter - head).prefix {
            wanted[wanted.count - 1 - $0].isSame(as: seen[seen.count - 1 - $0].rule)
        }.count
        let middle = commonRules(wanted[head..<wanted.count - tail], seen[head..<seen.count - tail])
        return (0..<head).map { ($0, $0) } + middle
            + (0..<tail).reversed().map { (wanted.count - 1 - $0, seen.count - 1 - $0) }
    }

    /// The longest list of pairs of equal rules in the same order on both sides, except that the n-th of several equal
    /// rules only ever goes with the n-th of the other side.
    private func commonRules(
        _ wanted: ArraySlice<NFRule>, _ seen: ArraySlice<NFObservedRule>
    ) -> [(wanted: Int, seen: Int)] {
        struct Content: Hashable {
            var expressions: [NFExpression]
            var comment: String?
        }
        var positions: [Content: [Int]] = [:]
        for (index, rule) in zip(seen.indices, seen) {
            positions[Content(expressions: rule.rule.expressions, comment: rule.rule.comment), default: []]
                .append(index)
        }
        var used: [Content: Int] = [:]
        var pairs: [(wanted: Int, seen: Int)] = []
        for (index, rule) in zip(wanted.indices, wanted) {
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
        _ wanted: [Wanted], _ seen: [Seen], _ wantedName: (Wanted) -> String, _ seenName: (Seen) -> String,
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
                let (a, b) = (wantedName(wanted[left]), seenName(seen[right]))
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
