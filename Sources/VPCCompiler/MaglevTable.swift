import IPAddressing

/// Which of several gets what, by hashing (Maglev, NSDI 2016, section 3.4): a table of places, of which each of them has its
/// share, and of which few change hands when one comes or goes.
///
/// A function of names and weights alone: hosts that compile on their own come to the same.
enum MaglevTable {
    /// Prime numbers of places, one above a hundred for each that there is room for. One holds for a range of numbers, within
    /// which hardly anything changes hands.
    static let sizes: [UInt32] = [251, 509, 1021, 4093, 16381, 65521]

    /// The places for so many.
    static func size(for count: Int) -> UInt32 { sizes.first { Int($0) > 100 * count } ?? 65521 }

    struct Member: Hashable, Sendable {
        var name: String
        /// At least 1.
        var weight: Int
    }

    /// By place, the position of who has it.
    /// - Parameter members: At least one; in an order that depends on their names alone.
    static func places(_ size: UInt32, among members: [Member]) -> [UInt16] {
        let none = UInt16.max
        var places = [UInt16](repeating: none, count: Int(size))
        var (next, steps): ([UInt32], [UInt32]) = ([], [])
        for member in members {
            let hash = hash(of: member.name)
            next.append(UInt32(truncatingIfNeeded: hash) % size)
            steps.append(UInt32(truncatingIfNeeded: hash >> 32) % (size - 1) + 1)
        }
        let most = members.map(\.weight).max() ?? 1
        var turns = [Int](repeating: 0, count: members.count)
        var taken = 0
        while taken < places.count {
            for index in members.indices {
                turns[index] += members[index].weight
                while turns[index] >= most, taken < places.count {
                    turns[index] -= most
                    while places[Int(next[index])] != none { next[index] = (next[index] + steps[index]) % size }
                    places[Int(next[index])] = UInt16(index)
                    taken += 1
                }
            }
        }
        return places
    }

    /// Names that differ in one letter have nothing in common: the last step is that of SplitMix64.
    private static func hash(of name: String) -> UInt64 {
        var sum = FNV1a()
        sum.add(name.utf8)
        var hash = sum.value
        hash = (hash ^ hash >> 30) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ hash >> 27) &* 0x94D0_49BB_1331_11EB
        return hash ^ hash >> 31
    }
}
