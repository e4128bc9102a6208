internal import IPAddressing
import KernelModel

/// Changes of a list that is sorted by key and has each key once, gathered so that many of them cost one pass. Of each
/// key the last change counts.
struct SortedEdits<Object: KernelObject> {
    private enum Edit {
        case put(Object)
        case remove
    }

    private var edits: [Object.Key: Edit] = [:]

    var isEmpty: Bool { edits.isEmpty }

    mutating func put(_ object: Object) { edits[object.key] = .put(object) }

    mutating func remove(_ key: Object.Key) { edits[key] = .remove }

    mutating func removeAll() { edits.removeAll() }

    /// What `list` will hold of this key when the changes are made.
    func find(_ key: Object.Key, in list: [Object]) -> Object? {
        switch edits[key] {
        case .put(let object): return object
        case .remove: return nil
        case nil:
            let index = list.lowerBound(of: key)
            return index < list.count && list[index].key == key ? list[index] : nil
        }
    }

    /// Makes the changes and forgets them.
    ///
    /// - Returns: What they were about; nil where the list is what it was.
    mutating func applied(to list: inout [Object]) -> ChangedKeys<Object.Key>? {
        if edits.isEmpty { return nil }
        let keys = ChangedKeys(edits.keys)
        return apply(to: &list) ? keys : nil
    }

    /// Makes the changes and forgets them.
    ///
    /// - Returns: Whether the list is another now.
    mutating func apply(to list: inout [Object]) -> Bool {
        if edits.isEmpty { return false }
        defer { edits.removeAll(keepingCapacity: edits.count < 1024) }
        // Each single change moves half of the list; a pass over all of it costs as much as a few of them.
        if edits.count <= 4 { return applySingly(to: &list) }
        return merge(into: &list)
    }

    private func applySingly(to list: inout [Object]) -> Bool {
        var hasChanged = false
        for (key, edit) in edits {
            let index = list.lowerBound(of: key)
            let isHeld = index < list.count && list[index].key == key
            switch edit {
            case .put(let object):
                if isHeld, list[index] == object { continue }
                if isHeld { list[index] = object } else { list.insert(object, at: index) }
                hasChanged = true
            case .remove where isHeld:
                list.remove(at: index)
                hasChanged = true
            case .remove: break
            }
        }
        return hasChanged
    }

    private func merge(into list: inout [Object]) -> Bool {
        let sorted = edits.sorted { $0.key < $1.key }
        // Many notifications say what is known: a nexthop that is replaced announces all its routes.
        if sorted.allSatisfy({ isKnown($0.key, $0.value, in: list) }) { return false }
        var merged: [Object] = []
        merged.reserveCapacity(list.count + sorted.count)
        var position = 0
        for (key, edit) in sorted {
            let end = list.lowerBound(of: key, from: position)
            merged.append(contentsOf: list[position..<end])
            position = end < list.count && list[end].key == key ? end + 1 : end
            if case .put(let object) = edit { merged.append(object) }
        }
        merged.append(contentsOf: list[position...])
        list = merged
        return true
    }

    private func isKnown(_ key: Object.Key, _ edit: Edit, in list: [Object]) -> Bool {
        let index = list.lowerBound(of: key)
        let held = index < list.count && list[index].key == key ? list[index] : nil
        switch edit {
        case .put(let object): return held == object
        case .remove: return held == nil
        }
    }
}

extension Array {
    /// The elements with this value of what they are sorted by in the first place.
    func slice<Part: Comparable>(of value: Part, _ part: (Element) -> Part) -> ArraySlice<Element> {
        let start = partitionPoint { part($0) < value }
        return self[start..<partitionPoint(from: start) { part($0) == value }]
    }
}

extension Array where Element: KernelObject {
    /// The position of the first object whose key is not less, at or behind `start`.
    func lowerBound(of key: Element.Key, from start: Int = 0) -> Int {
        partitionPoint(from: start) { $0.key < key }
    }
}
