internal import IPAddressing

/// Finds the lines of an ordered list that can never decide, because earlier ones match all that they match.
///
/// Boxes are compared within a space: the far addresses, or the members of one group, whoever these are.
struct ShadowFinder<Bits: AddressBits> {
    enum Space: Hashable {
        case addresses
        /// A number of `Topology.securityGroups`; the boxes' address is 0.
        case members(Int)
    }

    struct Region {
        var space: Space
        var box: TrafficBox<Bits>
    }

    /// What a line matches first, as far as the ones before it let it.
    private struct Claim {
        var line: Int
        var box: TrafficBox<Bits>
    }

    private var claims: [Space: [Claim]] = [:]
    /// Holds in the spaces of all groups.
    private var claimsOnEveryMember: [Claim] = []
    private var count = 0
    /// Comparisons that are left. Real lists take thousands; one that is made to be hard must not hold up the reading
    /// of a manifest, and a warning that is not given does no harm.
    private(set) var budget: Int

    init(budget: Int = 5_000_000) { self.budget = budget }

    /// Adds the next line.
    /// - Parameters:
    ///   - regions: what it matches; empty where that is not known.
    ///   - everyMember: boxes that, beside `regions`, it matches of the members of any group; their address is 0.
    /// - Returns: the earlier lines that match all of it: one where one is enough. Empty where it decides for something.
    mutating func add(_ regions: [Region], everyMember: [TrafficBox<Bits>] = []) -> [Int] {
        defer {
            for region in regions { claims[region.space, default: []].append(Claim(line: count, box: region.box)) }
            claimsOnEveryMember += everyMember.map { Claim(line: count, box: $0) }
            count += 1
        }
        var overlapping: [[Claim]] = []
        for region in regions {
            let found = self.overlapping(region)
            // Cheap and nearly always decisive: what matches less than the line does, taken together, leaves some of it.
            guard Self.volume(of: found, in: region.box, reaches: region.box.volume) else { return [] }
            overlapping.append(found)
        }
        guard !regions.isEmpty else { return [] }
        var deciding: Set<Int> = []
        for (region, claims) in zip(regions, overlapping) {
            guard let lines = cover(region.box, claims) else { return [] }
            deciding.formUnion(lines)
        }
        // Where one line is enough, the others explain nothing.
        for line in Set(overlapping[0].map(\.line)).sorted() where deciding.count > 1 {
            let isEnough = zip(regions, overlapping).allSatisfy { region, claims in
                cover(region.box, claims.filter { $0.line == line }) != nil
            }
            if isEnough { return [line] }
        }
        return deciding.sorted()
    }

    /// Whether what claims have of a box is as much as `enough`, where some has been claimed more than once.
    private static func volume(of claims: [Claim], in box: TrafficBox<Bits>, reaches enough: TrafficVolume<Bits>)
        -> Bool
    {
        var volume = TrafficVolume<Bits>()
        // Neither is more than the box: what is added to less than that never overflows.
        return claims.contains {
            volume += box.clamped(to: $0.box).volume
            return volume >= enough
        }
    }

    /// By line.
    private mutating func overlapping(_ region: Region) -> [Claim] {
        let own = claims[region.space] ?? []
        budget -= own.count
        guard budget > 0 else { return [] }
        let box = region.box
        var found: [Claim] = []
        // Most are about other addresses.
        for index in own.indices where own[index].box.addresses.overlaps(box.addresses) {
            if own[index].box.overlaps(box) { found.append(own[index]) }
        }
        guard region.space != .addresses else { return found }
        budget -= claimsOnEveryMember.count
        return (found + claimsOnEveryMember.filter { $0.box.overlaps(region.box) }).sorted { $0.line < $1.line }
    }

    /// The lines that cover a box, in order, as far as each takes something; nil where some of the box is left.
    private mutating func cover(_ box: TrafficBox<Bits>, _ claims: [Claim]) -> [Int]? {
        var left = [box]
        var lines: [Int] = []
        for claim in claims {
            budget -= left.count
            guard budget > 0 else { return nil }
            guard left.contains(where: { $0.overlaps(claim.box) }) else { continue }
            left = left.flatMap { $0.subtracting(claim.box) }
            lines.append(claim.line)
            if left.isEmpty { return lines }
        }
        return nil
    }
}

/// How many packets there are, up to their other bits: at most 24 bits more than an address has.
private struct TrafficVolume<Bits: AddressBits>: Comparable {
    var high: Bits = 0
    var low: Bits = 0

    static func < (left: Self, right: Self) -> Bool {
        left.high == right.high ? left.low < right.low : left.high < right.high
    }

    static func += (left: inout Self, right: Self) {
        let (low, carry) = left.low.addingReportingOverflow(right.low)
        left = TrafficVolume(high: left.high + right.high + (carry ? 1 : 0), low: low)
    }
}

extension TrafficBox {
    fileprivate var volume: TrafficVolume<Bits> {
        let services = Bits(protocols.count * selectors.count)
        // All addresses are one more than a number holds.
        let others = services.multipliedFullWidth(by: addresses.upperBound - addresses.lowerBound)
        var volume = TrafficVolume<Bits>(high: others.high, low: others.low)
        volume += TrafficVolume(low: services)
        return volume
    }

    /// The part inside `other`, which must overlap this box.
    fileprivate func clamped(to other: TrafficBox) -> TrafficBox {
        TrafficBox(
            addresses: addresses.clamped(to: other.addresses), protocols: protocols.clamped(to: other.protocols),
            selectors: selectors.clamped(to: other.selectors))
    }
}
