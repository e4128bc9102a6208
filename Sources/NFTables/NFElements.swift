internal import Glibc
public import KernelNames

/// The elements of one set: sorted by key, each key once, one behind the other in memory.
///
/// An element is a record of 4-byte slots that the kernel gets as they are: the key, for a set of intervals the last key
/// of the range, for a map the data. A hundred thousand elements are one allocation, compared as memory is.
public struct NFElements: Sendable, Hashable {
    /// How records look.
    public struct Layout: Sendable, Hashable {
        public var keySlots: Int
        /// Whether the record holds a range's end as well.
        public var hasUpper: Bool
        public var dataSlots: Int

        @inlinable public var keyStride: Int { hasUpper ? keySlots * 2 : keySlots }
        @inlinable public var stride: Int { keyStride + dataSlots }
    }

    public let layout: Layout
    /// The records, `layout.stride` slots each.
    public internal(set) var slots: [UInt32] = []
    /// What each element of a verdict map decides; empty for other sets.
    public internal(set) var verdicts: [NFVerdict] = []
    /// The object that each element of a map of objects bears; empty for other sets.
    public internal(set) var objects: [String] = []
    /// Where each element comes from; empty when none says so.
    public internal(set) var origins: [Origin] = []
    /// By position.
    public internal(set) var comments: [Int: String] = [:]
    public internal(set) var count = 0
    private var isSorted = true

    public init(layout: Layout) { self.layout = layout }

    @inlinable public var isEmpty: Bool { count == 0 }

    public mutating func reserveCapacity(_ count: Int) { slots.reserveCapacity(count * layout.stride) }

    /// Adds one element, in any order; ``normalize()`` puts them in order.
    public mutating func append(
        _ lower: NFKey, through upper: NFKey? = nil, data: NFKey? = nil, verdict: NFVerdict? = nil,
        object: String? = nil, comment: String? = nil, origin: Origin = .none
    ) {
        precondition(lower.slotCount == layout.keySlots, "the key has the fields of the set")
        precondition(data?.slotCount ?? 0 == layout.dataSlots, "the data has the fields of the map")
        for slot in 0..<lower.slotCount { slots.append(lower[slot]) }
        if layout.hasUpper {
            let upper = upper ?? lower
            for slot in 0..<upper.slotCount { slots.append(upper[slot]) }
        }
        if let data {
            for slot in 0..<data.slotCount { slots.append(data[slot]) }
        }
        appended(verdict: verdict, object: object, comment: comment, origin: origin)
    }

    /// Adds one element from a record as it lies in memory.
    public mutating func append(
        record: ArraySlice<UInt32>, verdict: NFVerdict? = nil, object: String? = nil, comment: String? = nil,
        origin: Origin = .none
    ) {
        precondition(record.count == layout.stride, "the record has the layout of the set")
        slots.append(contentsOf: record)
        appended(verdict: verdict, object: object, comment: comment, origin: origin)
    }

    private mutating func appended(verdict: NFVerdict?, object: String?, comment: String?, origin: Origin) {
        if let verdict { verdicts.append(verdict) }
        if let object { objects.append(object) }
        if let comment { comments[count] = storable(comment) }
        if origin != .none || !origins.isEmpty {
            while origins.count < count { origins.append(.none) }
            origins.append(origin)
        }
        count += 1
        if isSorted, count > 1 { isSorted = compareKeys(count - 2, self, count - 1) < 0 }
    }

    /// The elements in `range`, in a collection of their own.
    public subscript(range: Range<Int>) -> NFElements {
        if range == 0..<count { return self }
        var part = NFElements(layout: layout)
        part.append(contentsOf: self, range)
        return part
    }

    /// Adds a run of `other`'s elements behind the present ones.
    public mutating func append(contentsOf other: NFElements, _ range: Range<Int>) {
        if range.isEmpty { return }
        let stride = layout.stride
        if isSorted {
            isSorted = other.isSorted && (count == 0 || compareKeys(count - 1, other, range.lowerBound) < 0)
        }
        slots.append(contentsOf: other.slots[range.lowerBound * stride..<range.upperBound * stride])
        if !other.verdicts.isEmpty { verdicts.append(contentsOf: other.verdicts[range]) }
        if !other.objects.isEmpty { objects.append(contentsOf: other.objects[range]) }
        if !other.origins.isEmpty || !origins.isEmpty {
            while origins.count < count { origins.append(.none) }
            for index in range { origins.append(other.origin(of: index)) }
        }
        if !other.comments.isEmpty {
            for index in range {
                if let comment = other.comments[index] { comments[count + index - range.lowerBound] = comment }
            }
        }
        count += range.count
    }

    public func origin(of index: Int) -> Origin { origins.isEmpty ? .none : origins[index] }

    // MARK: Order

    /// -1, 0 or 1, as memcmp(3) of the keys would say.
    func compareKeys(_ index: Int, _ other: NFElements, _ otherIndex: Int) -> Int {
        let left = index * layout.stride
        let right = otherIndex * other.layout.stride
        for slot in 0..<layout.keyStride {
            let (a, b) = (slots[left + slot], other.slots[right + slot])
            if a != b { return UInt32(bigEndian: a) < UInt32(bigEndian: b) ? -1 : 1 }
        }
        return 0
    }

    /// Whether all but the keys is the same.
    func hasSameData(_ index: Int, _ other: NFElements, _ otherIndex: Int) -> Bool {
        let left = index * layout.stride + layout.keyStride
        let right = otherIndex * other.layout.stride + layout.keyStride
        for slot in 0..<layout.dataSlots where slots[left + slot] != other.slots[right + slot] { return false }
        if !verdicts.isEmpty, verdicts[index] != other.verdicts[otherIndex] { return false }
        if !objects.isEmpty, objects[index] != other.objects[otherIndex] { return false }
        return comments[index] == other.comments[otherIndex]
    }

    /// Sorts by key and drops all but the first element of each key; elements that are in order already are only read.
    public mutating func normalize() {
        if isSorted { return }
        let stride = layout.stride
        // The first 8 bytes decide most comparisons; the rest of the key is only looked at when they are the same.
        var order: [(prefix: UInt64, index: Int)] = []
        order.reserveCapacity(count)
        for index in 0..<count {
            let high = UInt32(bigEndian: slots[index * stride])
            let low = layout.keyStride > 1 ? UInt32(bigEndian: slots[index * stride + 1]) : 0
            order.append((UInt64(high) << 32 | UInt64(low), index))
        }
        order.sort { left, right in
            if left.prefix != right.prefix { return left.prefix < right.prefix }
            let comparison = compareKeys(left.index, self, right.index)
            return comparison != 0 ? comparison < 0 : left.index < right.index
        }
        var sorted = NFElements(layout: layout)
        sorted.slots.reserveCapacity(slots.count)
        var previous: Int?
        for (_, index) in order {
            if let previous, compareKeys(previous, self, index) == 0 { continue }
            sorted.append(contentsOf: self, index..<index + 1)
            previous = index
        }
        sorted.isSorted = true
        self = sorted
    }

    // MARK: Difference

    /// What has to be removed from `observed` and added to it to make it these elements. Both sorted; linear.
    ///
    /// An element whose data differs is in both.
    package func difference(from observed: NFElements) -> (removed: NFElements, added: NFElements) {
        var removed = NFElements(layout: layout)
        var added = NFElements(layout: layout)
        if hasSameSlots(as: observed), verdicts == observed.verdicts, objects == observed.objects,
            comments == observed.comments
        {
            return (removed, added)
        }
        var left = 0
        var right = 0
        // Elements are taken over in runs: a whole new set is one copy.
        var addedFrom = 0
        var removedFrom = 0
        let isPlain = verdicts.isEmpty && objects.isEmpty && comments.isEmpty && observed.comments.isEmpty
        while left < count, right < observed.count {
            let run = isPlain ? commonRun(left, observed, right) : 0
            if run > 0 {
                added.append(contentsOf: self, addedFrom..<left)
                removed.append(contentsOf: observed, removedFrom..<right)
                (left, right) = (left + run, right + run)
                (addedFrom, removedFrom) = (left, right)
                continue
            }
            let comparison = compareKeys(left, observed, right)
            if comparison == 0 {
                if hasSameData(left, observed, right) {
                    added.append(contentsOf: self, addedFrom..<left)
                    removed.append(contentsOf: observed, removedFrom..<right)
                    addedFrom = left + 1
                    removedFrom = right + 1
                }
                left += 1
                right += 1
            } else if comparison < 0 {
                removed.append(contentsOf: observed, removedFrom..<right)
                removedFrom = right
                left += 1
            } else {
                added.append(contentsOf: self, addedFrom..<left)
                addedFrom = left
                right += 1
            }
        }
        added.append(contentsOf: self, addedFrom..<count)
        removed.append(contentsOf: observed, removedFrom..<observed.count)
        return (removed, added)
    }

    /// How many elements from two positions on are the same, as far as slots tell. Compared in blocks, at the speed of
    /// memory: of a large set nearly everything is.
    private func commonRun(_ start: Int, _ other: NFElements, _ otherStart: Int) -> Int {
        let stride = layout.stride
        let length = min(slots.count - start * stride, other.slots.count - otherStart * stride)
        return slots.withUnsafeBufferPointer { left in
            other.slots.withUnsafeBufferPointer { right in
                let (left, right) = (left[(start * stride)...], right[(otherStart * stride)...])
                let (leftBase, rightBase) = (left.startIndex, right.startIndex)
                var same = 0
                while same + 64 <= length {
                    var differing: UInt32 = 0
                    for slot in same..<same + 64 {
                        differing |= left[leftBase + slot] ^ right[rightBase + slot]
                    }
                    if differing != 0 { break }
                    same += 64
                }
                while same < length, left[leftBase + same] == right[rightBase + same] { same += 1 }
                return same / stride
            }
        }
    }

    private func hasSameSlots(as other: NFElements) -> Bool {
        guard slots.count == other.slots.count else { return false }
        return slots.withUnsafeBytes { left in
            other.slots.withUnsafeBytes { right in
                guard let left = left.baseAddress, let start = right.baseAddress else { return true }
                return left == start || memcmp(left, start, right.count) == 0
            }
        }
    }

    public static func == (left: NFElements, right: NFElements) -> Bool {
        left.layout == right.layout && left.hasSameSlots(as: right) && left.verdicts == right.verdicts
            && left.objects == right.objects && left.comments == right.comments
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(layout)
        hasher.combine(slots)
        hasher.combine(verdicts)
    }
}
