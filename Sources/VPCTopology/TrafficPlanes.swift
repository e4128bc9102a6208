internal import IPAddressing

/// Planes: which line decides on each service, for addresses that are treated alike.
///
/// A plane is a step function over services. Equal planes have the same number, and what two of them come to together is
/// computed once: a list of thousands of blocks with the same ports has one plane.
struct TrafficPlanes: Sendable {
    typealias Plane = Int

    /// What holds from a service on, up to the next step.
    struct Step: Hashable, Sendable {
        var lower: UInt32
        /// ``none`` where no line matches.
        var line: Int32
    }

    /// A part of a plane that is a box, with the line that decides there.
    struct Piece: Hashable, Sendable {
        var services: ServiceRange
        var line: Int32
    }

    /// The plane on which no line matches.
    static let empty: Plane = 0
    static let none = Int32.max
    private static let end: UInt32 = 1 << 24

    /// Of all planes, one behind the other.
    private var steps = [Step(lower: 0, line: Self.none)]
    private var starts = [0, 1]
    /// By the hash of its steps, the last plane with that; and for each plane the one before.
    private var lastWithHash: [Int: Plane] = [:]
    private var beforeWithHash: [Plane?] = [nil]
    private var combinations: [UInt64: Plane] = [:]
    private var unions: [[Plane]: Plane] = [:]
    /// Steps that were written so far.
    private(set) var work = 0

    var count: Int { starts.count - 1 }

    // MARK: Making

    /// The plane of several lines, of which the first that matches decides.
    ///
    /// Each line takes what no line before it has: that is found by skipping what is taken, so a line costs as many steps
    /// as it has, whatever the number of lines.
    mutating func plane(of lines: [Plane]) -> Plane {
        if lines.count < 3 {
            guard let line = lines.first else { return Self.empty }
            return first(of: line, lines[lines.count - 1])
        }
        if let known = unions[lines] { return known }
        let bounds = bounds(of: lines)
        var deciding = [Int32](repeating: Self.none, count: bounds.count)
        var free = FreeParts(count: bounds.count)
        for line in lines {
            let end = starts[line + 1]
            for index in starts[line]..<end where steps[index].line != Self.none {
                let upper = index + 1 < end ? steps[index + 1].lower : Self.end
                var part = free.first(from: bounds.partitionPoint { $0 < steps[index].lower })
                while part < bounds.count, bounds[part] < upper {
                    deciding[part] = steps[index].line
                    free.take(part)
                    part = free.first(from: part)
                }
            }
        }
        let start = steps.count
        for (lower, line) in zip(bounds, deciding) { add(Step(lower: lower, line: line), from: start) }
        let plane = settle(from: start)
        unions[lines] = plane
        return plane
    }

    /// Where any of several planes has a step, in order.
    private mutating func bounds(of planes: [Plane]) -> [UInt32] {
        var bounds: [UInt32] = []
        for plane in planes {
            for index in starts[plane]..<starts[plane + 1] { bounds.append(steps[index].lower) }
        }
        work += bounds.count
        bounds.sort()
        var distinct = 0
        for bound in bounds where distinct == 0 || bounds[distinct - 1] != bound {
            bounds[distinct] = bound
            distinct += 1
        }
        bounds.removeSubrange(distinct...)
        return bounds
    }

    /// The plane of one line.
    mutating func plane(of services: [ServiceRange], line: Int) -> Plane {
        let start = steps.count
        var next: UInt32 = 0
        for range in services.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if range.lowerBound > next || steps.count == start, range.lowerBound > 0 {
                add(Step(lower: next, line: Self.none), from: start)
            }
            add(Step(lower: max(range.lowerBound, next), line: Int32(line)), from: start)
            next = max(next, range.upperBound + 1)
        }
        if next < Self.end { add(Step(lower: next, line: Self.none), from: start) }
        return settle(from: start)
    }

    /// The plane on which the lower line of both decides.
    mutating func first(of left: Plane, _ right: Plane) -> Plane {
        if left == right || right == Self.empty { return left }
        if left == Self.empty { return right }
        let pair = UInt64(left) << 32 | UInt64(right)
        if let known = combinations[pair] { return known }
        let start = steps.count
        var (a, b) = (starts[left], starts[right])
        let (endOfA, endOfB) = (starts[left + 1], starts[right + 1])
        var lower: UInt32 = 0
        while lower < Self.end {
            add(Step(lower: lower, line: min(steps[a].line, steps[b].line)), from: start)
            let nextA = a + 1 < endOfA ? steps[a + 1].lower : Self.end
            let nextB = b + 1 < endOfB ? steps[b + 1].lower : Self.end
            lower = min(nextA, nextB)
            if nextA == lower { a += 1 }
            if nextB == lower { b += 1 }
        }
        let plane = settle(from: start)
        combinations[pair] = plane
        return plane
    }

    private mutating func add(_ step: Step, from start: Int) {
        work += 1
        if steps.count > start, steps[steps.count - 1].line == step.line { return }
        steps.append(step)
    }

    /// Makes the steps behind `start` a plane, unless there is one like it.
    private mutating func settle(from start: Int) -> Plane {
        let new = steps[start...]
        if new.count == 1, new[start].line == Self.none {
            steps.removeLast()
            return Self.empty
        }
        var hasher = Hasher()
        for step in new {
            hasher.combine(step.lower)
            hasher.combine(step.line)
        }
        let hash = hasher.finalize()
        var candidate = lastWithHash[hash]
        while let plane = candidate {
            if steps[starts[plane]..<starts[plane + 1]].elementsEqual(new) {
                steps.removeSubrange(start...)
                return plane
            }
            candidate = beforeWithHash[plane]
        }
        beforeWithHash.append(lastWithHash[hash])
        lastWithHash[hash] = count
        starts.append(steps.count)
        return count - 1
    }

    // MARK: Reading

    /// The line that decides on a service.
    func line(on plane: Plane, _ service: UInt32) -> Int? {
        var (low, high) = (starts[plane], starts[plane + 1])
        while high - low > 1 {
            let middle = (low + high) / 2
            if steps[middle].lower <= service { low = middle } else { high = middle }
        }
        return steps[low].line == Self.none ? nil : Int(steps[low].line)
    }

    /// The boxes of a plane, by service.
    func forEachPiece(of plane: Plane, _ body: (Piece) -> Void) {
        let end = starts[plane + 1]
        for index in starts[plane]..<end where steps[index].line != Self.none {
            let upper = (index + 1 < end ? steps[index + 1].lower : Self.end) - 1
            forEachBox(of: steps[index].lower...upper) { body(Piece(services: $0, line: steps[index].line)) }
        }
    }
}

/// Which of some parts in a row are not taken yet.
private struct FreeParts {
    /// The part itself where it is free; where not, one behind it that no free one comes before.
    private var next: [Int]

    init(count: Int) { next = Array(0...count) }

    mutating func take(_ part: Int) { next[part] = part + 1 }

    /// - Returns: The number of parts where none is free.
    mutating func first(from part: Int) -> Int {
        var part = part
        while next[part] != part {
            next[part] = next[next[part]]
            part = next[part]
        }
        return part
    }
}
