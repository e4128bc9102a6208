import Testing

@testable import VPCCompiler

/// Who has which places.
@Suite(.timeLimit(minutes: 5)) struct MaglevTests {
    private static func members(_ numbers: some Sequence<Int>, weight: (Int) -> Int = { _ in 1 }) -> [MaglevTable
        .Member]
    {
        numbers.map { .init(name: "web-\($0)", weight: weight($0)) }
    }

    /// By name.
    private static func owners(_ members: [MaglevTable.Member], _ size: UInt32) -> [String] {
        MaglevTable.places(size, among: members).map { members[Int($0)].name }
    }

    @Test func sizesArePrimeAndHoldForRanges() {
        for size in MaglevTable.sizes {
            #expect((2..<size).prefix { $0 * $0 <= size }.allSatisfy { !size.isMultiple(of: $0) }, "\(size)")
        }
        #expect(MaglevTable.size(for: 1) == 251 && MaglevTable.size(for: 2) == 251)
        #expect(MaglevTable.size(for: 3) == 509 && MaglevTable.size(for: 10) == 1021)
        #expect(MaglevTable.size(for: 11) == 4093 && MaglevTable.size(for: 40) == 4093)
        #expect(MaglevTable.size(for: 163) == 16381 && MaglevTable.size(for: 1000) == 65521)
    }

    @Test(arguments: [1, 2, 3, 10, 100, 1000]) func sharesAreEven(_ count: Int) {
        let size = MaglevTable.size(for: count)
        let places = MaglevTable.places(size, among: Self.members(0..<count))
        var counts = [Int](repeating: 0, count: count)
        for place in places { counts[Int(place)] += 1 }
        let fair = Int(size) / count
        #expect(counts.allSatisfy { abs($0 - fair) <= 1 }, "\(counts.min() ?? 0) to \(counts.max() ?? 0)")
    }

    @Test func weightsAreShares() {
        let members = Self.members(0..<4) { [1, 1, 2, 256][$0] }
        var counts = [Int](repeating: 0, count: 4)
        for place in MaglevTable.places(65521, among: members) { counts[Int(place)] += 1 }
        for (count, weight) in zip(counts, [1, 1, 2, 256]) {
            #expect(abs(Double(count) / 65521 - Double(weight) / 260) < 0.002, "\(counts)")
        }
    }

    /// One of a thousand that goes takes hardly any places of others with it, wherever it stood; so it is with one that comes.
    @Test(arguments: [0, 1, 500, 999]) func fewPlacesChangeHands(_ gone: Int) {
        let all = Self.owners(Self.members(0..<1000), 65521)
        let rest = Self.owners(Self.members((0..<1000).filter { $0 != gone }), 65521)
        let moved = zip(all, rest).count { $0 != $1 }
        #expect(moved < 655, "\(moved)")
        #expect(moved >= 65)
        #expect(!rest.contains("web-\(gone)"))
    }

    /// Written down: hosts of different versions share alike.
    @Test func placesStayWhatTheyAre() {
        let owners = Self.owners(Self.members(0..<3), 509)
        #expect(
            owners.prefix(12).joined(separator: " ")
                == "web-0 web-0 web-0 web-1 web-2 web-2 web-1 web-0 web-2 web-0 web-0 web-1")
    }
}
