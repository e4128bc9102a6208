import NFTables
import Netlink

/// Changes of one set's elements that were told of, in their order.
struct FirewallElementEdits {
    private typealias Bound = FirewallElementReader.Bound

    /// Takes notifications for a listing: elements, or the bounds of intervals, in the order in which they came.
    private var reader: FirewallElementReader
    /// For each of them whether it was removed.
    private var isRemoval: [Bool] = []

    init(shape: NFSetShape) { reader = FirewallElementReader(shape: shape) }

    /// Takes `NFT_MSG_NEWSETELEM` or `NFT_MSG_DELSETELEM`.
    mutating func read(_ message: borrowing Message, isRemoval removed: Bool) throws(CodecError) {
        try reader.read(message)
        let count = reader.isSplit ? reader.bounds.count : reader.elements.count
        while isRemoval.count < count { isRemoval.append(removed) }
    }

    /// The set after the changes; nil when there is something among them that elements of ours never are.
    func applied(to set: NFObservedSet) -> NFObservedSet? {
        if reader.isIrregular || set.isIrregular { return nil }
        var set = set
        guard reader.isSplit else {
            set.elements = set.elements.applying(reader.elements, isRemoval: isRemoval)
            return set
        }
        let result = appliedToIntervals(set.elements)
        (set.elements, set.isIrregular) = (result.elements, result.isIrregular)
        return set
    }

    // MARK: Intervals

    /// To the kernel an interval is two elements, its first key and the key behind its last one. They come and go each by
    /// itself, and only all of them together say which intervals there are.
    private func appliedToIntervals(_ held: NFElements) -> FirewallElementReader.Result {
        var result = FirewallElementReader(shape: reader.shape)
        let (starts, ends) = (lastChanges(isEnd: false), lastChanges(isEnd: true))
        var (start, end) = (0, 0)
        for index in 0..<held.count {
            let lower = key(held, index, at: 0)
            if passed(starts, &start, until: lower, into: &result) {
                result.bounds.append(Bound(key: lower, isEnd: false, element: result.elements.count))
                result.elements.append(contentsOf: held, index..<index + 1)
            }
            guard let behind = keyBehind(held, index) else { continue }
            if passed(ends, &end, until: behind, into: &result) {
                result.bounds.append(Bound(key: behind, isEnd: true, element: result.elements.count))
            }
        }
        while start < starts.count { take(starts, &start, into: &result) }
        while end < ends.count { take(ends, &end, into: &result) }
        return result.finished()
    }

    /// The last change of each bound, by key.
    private func lastChanges(isEnd: Bool) -> [Int] {
        let sorted = reader.bounds.indices.filter { reader.bounds[$0].isEnd == isEnd }.sorted { left, right in
            let comparison = compare(reader.bounds[left].key, reader.bounds[right].key)
            return comparison != 0 ? comparison < 0 : left < right
        }
        var last: [Int] = []
        for change in sorted {
            if let previous = last.last, compare(reader.bounds[previous].key, reader.bounds[change].key) == 0 {
                last.removeLast()
            }
            last.append(change)
        }
        return last
    }

    /// Makes the changes up to this key.
    ///
    /// - Returns: Whether what is held at the key stays as it is.
    private func passed(
        _ changes: [Int], _ position: inout Int, until key: InlineArray<16, UInt32>,
        into result: inout FirewallElementReader
    ) -> Bool {
        while position < changes.count {
            let comparison = compare(reader.bounds[changes[position]].key, key)
            if comparison > 0 { return true }
            take(changes, &position, into: &result)
            if comparison == 0 { return false }
        }
        return true
    }

    private func take(_ changes: [Int], _ position: inout Int, into result: inout FirewallElementReader) {
        let change = changes[position]
        position += 1
        if isRemoval[change] { return }
        var bound = reader.bounds[change]
        let element = bound.element
        bound.element = result.elements.count
        result.bounds.append(bound)
        if !bound.isEnd { result.elements.append(contentsOf: reader.elements, element..<element + 1) }
    }

    private func compare(_ left: InlineArray<16, UInt32>, _ right: InlineArray<16, UInt32>) -> Int {
        for slot in 0..<reader.layout.keySlots where left[slot] != right[slot] {
            return left[slot] < right[slot] ? -1 : 1
        }
        return 0
    }

    private func key(_ elements: NFElements, _ index: Int, at offset: Int) -> InlineArray<16, UInt32> {
        var key = InlineArray<16, UInt32>(repeating: 0)
        let first = index * elements.layout.stride + offset
        for slot in 0..<reader.layout.keySlots { key[slot] = UInt32(bigEndian: elements.slots[first + slot]) }
        return key
    }

    /// The key behind an interval's last one; nil when there is none.
    private func keyBehind(_ elements: NFElements, _ index: Int) -> InlineArray<16, UInt32>? {
        let slots = reader.layout.keySlots
        var key = key(elements, index, at: slots)
        var carry = reader.keyStep
        for slot in (0..<slots).reversed() {
            let (sum, overflow) = key[slot].addingReportingOverflow(carry)
            key[slot] = sum
            carry = overflow ? 1 : 0
        }
        return carry == 0 ? key : nil
    }
}
