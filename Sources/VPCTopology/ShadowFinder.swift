/// Finds the lines of an ordered list that can never decide, because earlier ones match all that they match.
///
/// Boxes are compared within a space: the far addresses, or the members of one group, whoever these are.
struct ShadowFinder {
    enum Space: Hashable {
        case addresses
        /// A number of `Topology.securityGroups`; the boxes' address is 0.
        case members(Int)
    }

    struct Region {
        var space: Space
        var box: TrafficBox
    }

    /// What a line matches first, as far as the ones before it let it.
    private struct Claim {
        var line: Int
        var box: TrafficBox
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
    mutating func add(_ regions: [Region], everyMember: [TrafficBox] = []) -> [Int] {
        defer {
            for region in regions { claims[region.space, default: []].append(Claim(line: count, box: region.box)) }
            claimsOnEveryMember += everyMember.map { Claim(line: count, box: $0) }
            count += 1
        }
        var overlapping: [[Claim]] = []
        for region in regions {
            let found = self.overlapping(region)
            // Cheap and nearly always decisive: what matches less than the line does, taken together, leaves some of it.
            let volume = found.reduce(UInt128(0)) { $0 + UInt128(region.box.clamped(to: $1.box).volume) }
            guard volume >= UInt128(region.box.volume) else { return [] }
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

    /// By line.
    private mutating func overlapping(_ region: Region) -> [Claim] {
        let own = claims[region.space] ?? []
        budget -= own.count
        guard budget > 0 else { return [] }
        let found = own.filter { $0.box.overlaps(region.box) }
        guard region.space != .addresses else { return found }
        budget -= claimsOnEveryMember.count
        return (found + claimsOnEveryMember.filter { $0.box.overlaps(region.box) }).sorted { $0.line < $1.line }
    }

    /// The lines that cover a box, in order, as far as each takes something; nil where some of the box is left.
    private mutating func cover(_ box: TrafficBox, _ claims: [Claim]) -> [Int]? {
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

extension TrafficBox {
    /// How many packets it holds, up to their other bits: at most 2^56.
    fileprivate var volume: UInt64 { UInt64(addresses.count) * UInt64(protocols.count) * UInt64(selectors.count) }

    /// The part inside `other`, which must overlap this box.
    fileprivate func clamped(to other: TrafficBox) -> TrafficBox {
        TrafficBox(
            addresses: addresses.clamped(to: other.addresses), protocols: protocols.clamped(to: other.protocols),
            selectors: selectors.clamped(to: other.selectors))
    }
}
