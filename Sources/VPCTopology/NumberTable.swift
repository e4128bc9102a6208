/// Finds numbers by something that the things under them have: a hash table without the keys, which are read where they are.
///
/// Eight bytes for a place, of which at most three in four are taken.
struct NumberTable: Sendable {
    /// The hash in the upper half, the number and one in the lower; nothing is 0.
    private var places: [UInt64] = []
    private(set) var count = 0

    /// The number under a hash that `isRight` is true of.
    @inline(__always)
    func first(_ hash: Int, where isRight: (Int) -> Bool) -> Int? {
        if places.isEmpty { return nil }
        let short = Self.short(hash)
        var place = home(short)
        while places[place] != 0 {
            if places[place] >> 32 == short {
                let number = Self.number(places[place])
                if isRight(number) { return number }
            }
            place = next(place)
        }
        return nil
    }

    mutating func insert(_ number: Int, _ hash: Int) {
        if (count + 1) * 4 > places.count * 3 { grow(to: max(places.count * 2, 8)) }
        put(Self.short(hash) << 32 | UInt64(number + 1))
        count += 1
    }

    /// Does nothing where the number is not there under that hash.
    mutating func remove(_ number: Int, _ hash: Int) {
        if places.isEmpty { return }
        let entry = Self.short(hash) << 32 | UInt64(number + 1)
        var hole = home(entry >> 32)
        while places[hole] != entry {
            if places[hole] == 0 { return }
            hole = next(hole)
        }
        count -= 1
        // Those behind that would be in the hole's place if it had been free move up.
        var place = next(hole)
        while places[place] != 0 {
            let wanted = home(places[place] >> 32)
            if (place &- wanted) & (places.count - 1) >= (place &- hole) & (places.count - 1) {
                places[hole] = places[place]
                hole = place
            }
            place = next(place)
        }
        places[hole] = 0
    }

    mutating func reserveCapacity(_ capacity: Int) {
        var size = max(places.count, 8)
        while capacity * 4 > size * 3 { size *= 2 }
        if size > places.count { grow(to: size) }
    }

    private mutating func grow(to size: Int) {
        let former = places
        places = Array(repeating: 0, count: size)
        for entry in former where entry != 0 { put(entry) }
    }

    private mutating func put(_ entry: UInt64) {
        var place = home(entry >> 32)
        while places[place] != 0 { place = next(place) }
        places[place] = entry
    }

    private static func short(_ hash: Int) -> UInt64 { UInt64(UInt(bitPattern: hash) & 0xFFFF_FFFF) }
    private static func number(_ entry: UInt64) -> Int { Int(entry & 0xFFFF_FFFF) - 1 }
    private func home(_ short: UInt64) -> Int { Int(short) & (places.count - 1) }
    private func next(_ place: Int) -> Int { (place + 1) & (places.count - 1) }
}
