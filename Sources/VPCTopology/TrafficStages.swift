package import IPAddressing

/// An ordered list of lines as lookups one behind the other: what one does not find, the next may.
///
/// Most lists are one lookup. Where lines of many ports meet lines of many addresses, cutting them apart takes a box for
/// each pair; a list can be cut between two lines instead, because a line only ever yields to those before it.
///
/// Of one family: blocks of the other one are nothing to it, and each line has the same position in both.
package struct TrafficStages<Bits: AddressBits>: Sendable {
    package private(set) var stages: [TrafficStage<Bits>] = []
    /// A line for which there is no room, the first or the largest; nil where all have theirs. The stages end before it.
    package private(set) var excess: Int?
    /// Steps that were taken.
    package private(set) var effort = 0

    @specialized(where Bits == IPv4Bits)
    package init(_ lines: [TrafficLine], _ limits: TrafficLimits = TrafficLimits()) {
        if lines.isEmpty { return }
        let sizes = lines.map { $0.size(in: Bits.family) }
        let size = sizes.reduce(0, +)
        var effort = Effort(limit: limits.effort * (size + limits.price))
        if size <= limits.elements,
            let stage = TrafficStage<Bits>(lines[...], limit: size + limits.price, price: limits.price, &effort)
        {
            stages = [stage]
        } else {
            for slack in limits.slacks {
                var cut = TrafficCut<Bits>(lines: lines, sizes: sizes, limits: limits, slack: slack)
                cut.run()
                (stages, excess) = (cut.stages, cut.excess)
                effort.spend(cut.effort)
                if excess == nil { break }
            }
        }
        self.effort = effort.spent
        keep(within: limits.elements, sizes)
    }

    package var elementCount: Int { stages.reduce(0) { $0 + $1.elementCount } }

    /// The line that decides on a packet.
    @specialized(where Bits == IPv4Bits)
    package func line(_ address: IPAddress, _ service: UInt32) -> Int? {
        guard address.family == Bits.family else { return nil }
        let address = Bits(bitsOf: address)
        for stage in stages { if let line = stage.line(address, service) { return line } }
        return nil
    }

    /// Leaves out what is too much.
    private mutating func keep(within limit: Int, _ sizes: [Int]) {
        var room = limit
        for (number, stage) in stages.enumerated() {
            room -= stage.elementCount
            guard room < 0 else { continue }
            excess = stage.lines.max { sizes[$0] < sizes[$1] }
            stages.removeSubrange(number...)
            return
        }
    }
}

/// What lists may come to.
package struct TrafficLimits: Sendable {
    /// The most elements of a list. The kernel takes as many in about a second.
    package var elements = 262_144
    /// The most elements of all lists that one host needs. It takes some seconds to load as many, and some hundred
    /// megabytes to hold them.
    package var elementsOfHost = 1_048_576
    /// The most stages: the first packet of a connection asks one after the other.
    package var stages = 8
    /// What one more lookup is worth, in elements. A packet pays for each of both: a set of boxes is searched through
    /// a bitmap with a bit per element.
    package var price = 1000
    /// Elements by which a stage may be larger than its lines are by themselves: few at first, so that there are few
    /// elements; more where that takes too many stages.
    package var slacks = [1000, 4000, 16_000]
    /// Steps that finding one stage may take for each of its elements. Real lists take a few dozen at most.
    package var effort = 256
    /// Steps that finding the stages of all lists of a manifest may take: some ten seconds. Tens of millions of elements
    /// take fewer.
    package var effortOfAll = 1 << 30

    package init() {}
}

/// Cuts a list into stages, each as long as it can be.
private struct TrafficCut<Bits: AddressBits> {
    let lines: [TrafficLine]
    let sizes: [Int]
    let limits: TrafficLimits
    let slack: Int
    private(set) var stages: [TrafficStage<Bits>] = []
    /// The first line that is in no stage.
    private(set) var excess: Int?
    private(set) var effort = 0

    init(lines: [TrafficLine], sizes: [Int], limits: TrafficLimits, slack: Int) {
        (self.lines, self.sizes, self.limits, self.slack) = (lines, sizes, limits, slack)
    }

    mutating func run() {
        var start = 0
        while start < lines.count {
            guard stages.count < limits.stages, let stage = nextStage(from: start) else {
                excess = start
                return
            }
            stages.append(stage)
            start = stage.lines.upperBound
        }
    }

    /// The longest stage, or one that is nearly as long and has hardly more elements than its lines by themselves.
    private mutating func nextStage(from start: Int) -> TrafficStage<Bits>? {
        guard let longest = longestStage(start..<lines.count, slack) else { return nil }
        if longest.lines.upperBound == lines.count { return longest }
        let tight = longestStage(longest.lines, slack / 16)
        return tight.flatMap { $0.lines.count * 4 >= longest.lines.count * 3 ? $0 : nil } ?? longest
    }

    /// The stage of as many lines at the beginning of a range as fit.
    private mutating func longestStage(_ range: Range<Int>, _ slack: Int) -> TrafficStage<Bits>? {
        let start = range.lowerBound
        var tooMany = range.count
        var best = stage(range, slack)
        if best != nil { return best }
        var count = 1
        while count < tooMany {
            if let longer = stage(start..<start + count, slack) {
                best = longer
            } else {
                tooMany = count
            }
            let fitting = best?.lines.count ?? 0
            // Of thousands of lines, give or take a few.
            guard tooMany - fitting > max(fitting / 1024, 1) else { break }
            count = min(fitting * 2, (fitting + tooMany) / 2)
        }
        return best
    }

    private mutating func stage(_ range: Range<Int>, _ slack: Int) -> TrafficStage<Bits>? {
        let limit = sizes[range].reduce(0, +) + slack
        var effort = Effort(limit: min(limits.effort, 16) * limit + 20_000)
        let stage = TrafficStage<Bits>(lines[range], limit: limit, price: limits.price, &effort)
        self.effort += effort.spent
        return stage
    }
}
