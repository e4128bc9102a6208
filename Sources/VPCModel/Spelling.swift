/// Guesses what a misspelt word was meant to be.
public enum Spelling {
    /// The candidate nearest to `word` where one is near enough to be a slip of the fingers; the first of equals.
    ///
    /// Distance counts insertions, deletions, substitutions and swaps of neighbours; letter case does not count:
    /// `routetable` is `routeTable`. Costs O(candidates of similar length × length²).
    public static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
        let typed = folded(word)
        // One slip in a short word, up to three in a long one: more would suggest unrelated names.
        let tolerance = min(3, max(1, typed.count / 3))
        var best: (name: String, distance: Int)?
        for candidate in candidates {
            guard abs(candidate.utf8.count - typed.count) <= tolerance else { continue }
            let distance = distance(typed, folded(candidate))
            if distance <= tolerance, distance < best?.distance ?? .max { best = (candidate, distance) }
            if distance == 0 { break }
        }
        return best?.name
    }

    /// ASCII letters in lower case.
    private static func folded(_ word: String) -> [UInt8] {
        word.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
    }

    /// Optimal string alignment distance.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var beforePrevious = [Int](repeating: 0, count: right.count + 1)
        var previous = Array(0...right.count)
        var current = previous
        for row in 0..<left.count {
            current[0] = row + 1
            for column in 0..<right.count {
                let substitution = previous[column] + (left[row] == right[column] ? 0 : 1)
                var value = min(substitution, previous[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    value = min(value, beforePrevious[column - 1] + 1)
                }
                current[column + 1] = value
            }
            (beforePrevious, previous, current) = (previous, current, beforePrevious)
        }
        return previous[right.count]
    }
}
