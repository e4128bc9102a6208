import KernelNames
public import NFTables

/// Which sets of the kernel are the wanted ones, and under which names the others are made.
///
/// What cannot be changed in place is made beside what is there, under a name of its own (`web`, `web.1`, `web.2`, …,
/// the first that is free), the rules are turned to it, and the old set goes. So the names that sets bear are the
/// kernel's to know: it is asked each time, and nobody has to remember.
struct NFSetNames {
    /// The wanted table with the names and sizes that its sets have, or shall have, in the kernel.
    private(set) var table: NFTableIntent
    /// The names of those sets that bear another one than wanted.
    private(set) var names: [String: String] = [:]

    /// - Parameter inPlace: Whether sets of intervals may be changed in place, where that is possible.
    init(_ wanted: NFTableIntent, _ observed: NFObservedTable, inPlace: Bool) {
        table = wanted
        let present = NFPresentSets(wanted, observed)
        var taken = Set(observed.sets.map(\.name))
        for index in wanted.sets.indices {
            let set = wanted.sets[index]
            if let seen = present.base(of: set, inPlace: inPlace) {
                table.sets[index].settle(name: seen.name, size: seen.shape.size)
            } else {
                let name = Self.free(set.name, taken)
                taken.insert(name)
                table.sets[index].settle(name: name, size: set.wantedSize)
            }
            if table.sets[index].name != set.name { names[set.name] = table.sets[index].name }
        }
        if names.isEmpty { return }
        table.sets.sort { $0.name < $1.name }
        for chain in table.chains.indices {
            for rule in table.chains[chain].rules.indices { table.chains[chain].rules[rule].rename(names) }
        }
    }

    private static func free(_ name: String, _ taken: Set<String>) -> String {
        if !taken.contains(name) { return name }
        var number = 1
        while taken.contains("\(name).\(number)") { number += 1 }
        return "\(name).\(number)"
    }
}

/// The sets of a kernel's table by what they were made for.
struct NFPresentSets {
    private let observed: NFObservedTable
    /// Positions in `observed.sets` by the wanted name; those that rules look things up in come first.
    private var candidates: [String: [Int]] = [:]

    init(_ wanted: NFTableIntent, _ observed: NFObservedTable) {
        self.observed = observed
        let names = Set(wanted.sets.map(\.name))
        var isAmbiguous = false
        for (index, seen) in observed.sets.enumerated() {
            let name = names.contains(seen.name) ? seen.name : NFSet.wantedName(ofSetNamed: seen.name)
            guard names.contains(name) else { continue }
            candidates[name, default: []].append(index)
            if candidates[name]?.count ?? 0 > 1 { isAmbiguous = true }
        }
        if isAmbiguous { sortByUse(wanted) }
    }

    private mutating func sortByUse(_ wanted: NFTableIntent) {
        let chains = Set(wanted.chains.map(\.name))
        var used: Set<String> = []
        for chain in observed.chains where chains.contains(chain.name) {
            for rule in chain.rules { used.formUnion(rule.rule.expressions.compactMap(\.set)) }
        }
        for (name, list) in candidates where list.count > 1 {
            candidates[name] =
                list.filter { used.contains(observed.sets[$0].name) }
                + list.filter { !used.contains(observed.sets[$0].name) }
        }
    }

    /// The one that is in use now.
    func current(_ name: String) -> NFObservedSet? { candidates[name]?.first.map { observed.sets[$0] } }

    /// The one that is `set` already, or can become it in place.
    func base(of set: NFSet, inPlace: Bool) -> NFObservedSet? {
        guard let list = candidates[set.name] else { return nil }
        // What an earlier run has prepared is as good as what is in use.
        let equal = list.count > 1 ? list.first { set.isSame(as: observed.sets[$0]) } : nil
        let base = equal ?? list.first { set.canReplace(observed.sets[$0], inPlace: inPlace) }
        return base.map { observed.sets[$0] }
    }
}

extension NFSet {
    /// What a set of the kernel's was made for, read from its name: `web` of `web.1`. A name that has no such end is itself.
    public static func wantedName(ofSetNamed name: String) -> String {
        guard let dot = name.lastIndex(of: ".") else { return name }
        let number = name[name.index(after: dot)...]
        return !number.isEmpty && number.allSatisfy { $0.isASCII && $0.isNumber } ? String(name[..<dot]) : name
    }

    /// Whether `seen` can become this set by changing its elements.
    ///
    /// A packet finds the elements of a hash set as they were before a transaction or as they are after it. Of a set of
    /// intervals it may for a moment find neither what goes nor what comes; so only one of both may happen.
    fileprivate func canReplace(_ seen: NFObservedSet, inPlace: Bool) -> Bool {
        guard hasRoom(in: seen) else { return false }
        if !shape.isConstant, !shape.isInterval { return true }
        if seen.isIrregular { return false }
        if elements == seen.elements { return true }
        if shape.isConstant || !inPlace { return false }
        let (removed, added) = elements.difference(from: seen.elements)
        return removed.isEmpty || added.isEmpty
    }

    fileprivate func isSame(as seen: NFObservedSet) -> Bool {
        hasRoom(in: seen) && !seen.isIrregular && elements == seen.elements
    }

    private func hasRoom(in seen: NFObservedSet) -> Bool { shape.isLike(seen.shape) && fits(seen.shape.size) }

    private func fits(_ size: UInt32?) -> Bool {
        if !grows { return size == shape.size }
        return size.map { $0 >= elements.count } ?? false
    }

    /// The size that the set is made with.
    fileprivate var wantedSize: UInt32? {
        if !grows { return shape.size }
        var size: UInt32 = 64
        while size < elements.count, size < UInt32.max / 16 { size *= 16 }
        return size
    }

    fileprivate mutating func settle(name: String, size: UInt32?) {
        self.name = name
        shape.size = size
    }
}

extension NFSetShape {
    /// Whether all but the size is the same.
    func isLike(_ other: NFSetShape) -> Bool {
        var other = other
        other.size = size
        return self == other
    }
}

extension NFRule {
    /// Looks things up in sets of other names.
    fileprivate mutating func rename(_ names: [String: String]) {
        for index in expressions.indices {
            guard let set = expressions[index].set, let name = names[set] else { continue }
            expressions[index].set = name
        }
    }
}
