extension RandomAccessCollection where Index == Int {
    /// The position of the first element that `isBelow` is not true of, where it is true of all before; the end where it is
    /// true of all. Takes a logarithmic number of calls.
    /// - Parameter start: Where to begin; the collection's own start when nil.
    @inlinable package func partitionPoint(from start: Int? = nil, _ isBelow: (Element) -> Bool) -> Int {
        var (low, high) = (start ?? startIndex, endIndex)
        while low < high {
            let middle = low + (high - low) / 2
            if isBelow(self[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
