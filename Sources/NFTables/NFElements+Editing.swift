extension NFElements {
    /// These elements after changes that were noted one behind the other. Linear in the size of the set.
    ///
    /// - Parameters:
    ///   - changes: Elements of the same layout, in the order of the changes; of each key the last one counts.
    ///   - isRemoval: For each of them whether it went; else it came, or took the place of the one with its key.
    public func applying(_ changes: NFElements, isRemoval: [Bool]) -> NFElements {
        precondition(changes.layout == layout && changes.count == isRemoval.count, "the changes are of this set")
        let order = (0..<changes.count).sorted { left, right in
            let comparison = changes.compareKeys(left, changes, right)
            return comparison != 0 ? comparison < 0 : left < right
        }
        var result = NFElements(layout: layout)
        result.reserveCapacity(count + changes.count)
        var position = 0
        for (rank, change) in order.enumerated() {
            if rank + 1 < order.count, changes.compareKeys(change, changes, order[rank + 1]) == 0 { continue }
            let end = lowerBound(of: changes, change, from: position)
            result.append(contentsOf: self, position..<end)
            position = end < count && compareKeys(end, changes, change) == 0 ? end + 1 : end
            if !isRemoval[change] { result.append(contentsOf: changes, change..<change + 1) }
        }
        result.append(contentsOf: self, position..<count)
        return result
    }

    /// The position of the first element whose key is not less than that of `other`'s element.
    func lowerBound(of other: NFElements, _ index: Int, from start: Int) -> Int {
        var (low, high) = (start, count)
        while low < high {
            let middle = (low + high) / 2
            if compareKeys(middle, other, index) < 0 { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
