public import KernelNames

// Single elements of sorted collections.
extension NFElements {
    /// Puts elements in order in the place of a run, which leaves the whole in order.
    public mutating func replace(_ range: Range<Int>, with other: NFElements) {
        precondition(other.layout == layout, "the elements are of this set")
        if !comments.isEmpty || !other.comments.isEmpty {
            var result = NFElements(layout: layout)
            result.append(contentsOf: self, 0..<range.lowerBound)
            result.append(contentsOf: other, 0..<other.count)
            result.append(contentsOf: self, range.upperBound..<count)
            self = result
            return
        }
        let stride = layout.stride
        slots.replaceSubrange(range.lowerBound * stride..<range.upperBound * stride, with: other.slots)
        if !verdicts.isEmpty || !other.verdicts.isEmpty { verdicts.replaceSubrange(range, with: other.verdicts) }
        if !objects.isEmpty || !other.objects.isEmpty { objects.replaceSubrange(range, with: other.objects) }
        if !origins.isEmpty || !other.origins.isEmpty {
            while origins.count < count { origins.append(.none) }
            origins.replaceSubrange(range, with: (0..<other.count).lazy.map(other.origin))
        }
        count += other.count - range.count
    }

    /// Puts the element at a position of another collection where it belongs, in the place of the one with its key.
    public mutating func put(_ other: NFElements, at index: Int) {
        let place = lowerBound(of: other, index, from: 0)
        let isHeld = place < count && compareKeys(place, other, index) == 0
        replace(place..<(isHeld ? place + 1 : place), with: other[index..<index + 1])
    }

    /// Takes the elements that come from `origins` away and puts others in their place.
    /// - Parameter others: In order; from these origins.
    /// - Returns: whether anything is another than before.
    @discardableResult
    public mutating func replace(from origins: Set<Origin>, with others: NFElements) -> Bool {
        let held = positions(from: origins)
        if held.count == others.count,
            held.enumerated().allSatisfy({ rank, position in
                compareKeys(position, others, rank) == 0 && hasSameData(position, others, rank)
                    && origin(of: position) == others.origin(of: rank)
            })
        {
            return false
        }
        if held.isEmpty, isEmpty {
            self = others
            return true
        }
        if let place = place(of: held, for: others) {
            replace(place, with: others)
            return true
        }
        if held.count + others.count > 64 {
            var rest = NFElements(layout: layout)
            rest.reserveCapacity(count + others.count)
            var next = 0
            for position in held {
                rest.append(contentsOf: self, next..<position)
                next = position + 1
            }
            rest.append(contentsOf: self, next..<count)
            rest.append(contentsOf: others, 0..<others.count)
            rest.normalize()
            self = rest
            return true
        }
        let nothing = NFElements(layout: layout)
        for position in held.reversed() { replace(position..<position + 1, with: nothing) }
        for index in 0..<others.count { put(others, at: index) }
        return true
    }

    /// Takes the element with a key away, if it comes from there.
    /// - Returns: whether there was one.
    @discardableResult
    public mutating func remove(_ key: NFKey, from origin: Origin) -> Bool {
        var probe = NFElements(layout: Layout(keySlots: layout.keySlots, hasUpper: layout.hasUpper, dataSlots: 0))
        probe.append(key)
        let place = lowerBound(of: probe, 0, from: 0)
        guard place < count, compareKeys(place, probe, 0) == 0, self.origin(of: place) == origin else { return false }
        replace(place..<place + 1, with: NFElements(layout: layout))
        return true
    }

    /// Where elements can be put as they are, in the place of those at these positions; nil where others lie between.
    private func place(of held: [Int], for others: NFElements) -> Range<Int>? {
        guard others.count > 0 else { return nil }
        let start = held.first ?? lowerBound(of: others, 0, from: 0)
        let range = start..<(start + held.count)
        if let last = held.last, last + 1 != range.upperBound { return nil }
        if range.lowerBound > 0, compareKeys(range.lowerBound - 1, others, 0) >= 0 { return nil }
        if range.upperBound < count, others.compareKeys(others.count - 1, self, range.upperBound) >= 0 { return nil }
        return range
    }

    private func positions(from wanted: Set<Origin>) -> [Int] {
        if wanted.count == 1, let only = wanted.first {
            return origins.withUnsafeBufferPointer { all in all.indices.filter { all[$0] == only } }
        }
        return origins.indices.filter { wanted.contains(origins[$0]) }
    }
}
