import KernelModel
import NFTables

/// nf_tables: transactions that take effect as a whole, one generation after the other.
extension NFSnapshot {
    /// - Returns: nil where an operation names something that is not there, or is already; then nothing took effect.
    func committing(_ transaction: [NFChangeSet]) -> NFSnapshot? {
        var next = self
        for changes in transaction {
            for operation in changes.operations where !next.perform(operation, on: changes.table) { return nil }
        }
        next.generation = Self.generation(after: generation)
        return next
    }

    private mutating func perform(_ operation: NFOperation, on name: NFTable) -> Bool {
        let position = tables.firstIndex { $0.table == name }
        if case .createTable(let comment) = operation {
            // Without NLM_F_EXCL: one that is there stays.
            if position != nil { return true }
            var table = NFObservedTable(name)
            table.comment = comment
            tables.insert(table, at: tables.firstIndex { name < $0.table } ?? tables.count)
            return true
        }
        guard let position else { return false }
        if case .deleteTable = operation {
            tables.remove(at: position)
            return true
        }
        return tables[position].perform(operation)
    }
}

extension NFObservedTable {
    fileprivate mutating func perform(_ operation: NFOperation) -> Bool {
        switch operation {
        case .createTable, .deleteTable: return false  // Of the snapshot.
        case .wakeTable:
            isDormant = false
            return true
        case .createCounter(let counter):
            if objects.contains(where: { $0.name == counter.name }) { return true }
            objects.append(NFObservedObject(name: counter.name, type: 1))
            objects.sort { $0.name < $1.name }
            return true
        case .createObject(let object):
            objects.removeAll { $0.name == object.name }
            objects.append(NFObservedObject(name: object.name, type: object.body.type, body: object.body))
            objects.sort { $0.name < $1.name }
            return true
        case .deleteObject(let name, let type): return objects.removeOne { ($0.name, $0.type) == (name, type) }
        case .createSet(let set):
            if sets.contains(where: { $0.name == set.name }) { return false }
            let elements = NFElements(layout: set.shape.layout)
            sets.append(NFObservedSet(name: set.name, shape: set.shape, elements: elements))
            sets.sort { $0.name < $1.name }
            return true
        case .deleteSet(let name): return sets.removeOne { $0.name == name }
        case .addElements(let name, _, let elements): return edit(name, elements, isRemoval: false)
        case .removeElements(let name, _, let elements): return edit(name, elements, isRemoval: true)
        // What goes by itself is nobody's to compare.
        case .renewElements(let name, _, _): return sets.contains { $0.name == name }
        case .flushSet(let name):
            guard let position = sets.firstIndex(where: { $0.name == name }) else { return false }
            sets[position].elements = NFElements(layout: sets[position].shape.layout)
            sets[position].isIrregular = false
            return true
        case .createFlowtable(let flowtable):
            if flowtables.contains(where: { $0.name == flowtable.name }) { return false }
            flowtables.append(
                NFObservedFlowtable(
                    name: flowtable.name, priority: flowtable.priority, devices: flowtable.devices,
                    flags: flowtable.flags))
            flowtables.sort { $0.name < $1.name }
            return true
        case .addDevices(let devices, let wanted):
            guard let position = flowtables.firstIndex(where: { $0.name == wanted.name }) else { return false }
            flowtables[position].devices = Set(flowtables[position].devices).union(devices).sorted()
            return true
        case .removeDevices(let devices, let wanted):
            guard let position = flowtables.firstIndex(where: { $0.name == wanted.name }) else { return false }
            guard Set(devices).isSubset(of: flowtables[position].devices) else { return false }
            flowtables[position].devices.removeAll(where: devices.contains)
            return true
        case .deleteFlowtable(let seen): return flowtables.removeOne { $0.name == seen.name }
        case .createChain(let chain):
            if chains.contains(where: { $0.name == chain.name }) { return false }
            chains.append(NFObservedChain(name: chain.name, base: chain.base))
            chains.sort { $0.name < $1.name }
            return true
        case .changePolicy(let chain): return edit(chain.name) { $0.base = chain.base }
        case .deleteChain(let name): return chains.removeOne { $0.name == name }
        case .flushChain(let name): return edit(name) { $0.rules = [] }
        case .addRule(let name, let rule, let place):
            let handle = (chains.flatMap(\.rules).map(\.handle).max() ?? 0) + 1
            let seen = NFObservedRule(rule: rule, handle: handle, digest: rule.digest)
            return edit(name) { chain in
                guard case .before(let other) = place else { return chain.rules.append(seen) }
                let position = chain.rules.firstIndex { $0.handle == other }
                chain.rules.insert(seen, at: position ?? chain.rules.count)
            }
        case .deleteRule(let name, let handle, _):
            guard let position = chains.firstIndex(where: { $0.name == name }) else { return false }
            return chains[position].rules.removeOne { $0.handle == handle }
        }
    }

    private mutating func edit(_ set: String, _ elements: NFElements, isRemoval: Bool) -> Bool {
        guard let position = sets.firstIndex(where: { $0.name == set }) else { return false }
        let former = sets[position].elements
        let expected = isRemoval ? former.count - elements.count : former.count + elements.count
        let removals = [Bool](repeating: isRemoval, count: elements.count)
        sets[position].elements = former.applying(elements, isRemoval: removals)
        // Neither is one added that is there with other data, nor one removed that is not.
        return isRemoval ? sets[position].elements.count == expected : true
    }

    private mutating func edit(_ chain: String, _ change: (inout NFObservedChain) -> Void) -> Bool {
        guard let position = chains.firstIndex(where: { $0.name == chain }) else { return false }
        change(&chains[position])
        return true
    }
}

extension Array {
    /// - Returns: false where there is none.
    fileprivate mutating func removeOne(where isIt: (Element) -> Bool) -> Bool {
        guard let position = firstIndex(where: isIt) else { return false }
        remove(at: position)
        return true
    }
}
