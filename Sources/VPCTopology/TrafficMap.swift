internal import IPAddressing

/// Steps that may be taken. Real lists take few; one that is made to be hard must not hold up what waits for it.
struct Effort {
    let limit: Int
    private(set) var spent = 0

    init(limit: Int) { self.limit = limit }

    var isLeft: Bool { spent <= limit }
    mutating func spend(_ steps: Int) { spent += steps }
}

/// Which line decides on what comes from each address: spans of addresses, each with its plane.
///
/// Blocks are inside one another or disjoint, so the lines that match an address are those of the blocks around it: one
/// pass over the blocks, in the order of their addresses, finds all planes.
struct TrafficMap<Bits: AddressBits>: Sendable {
    typealias Plane = TrafficPlanes.Plane

    /// From its lowest address up to the next span.
    struct Span: Hashable, Sendable {
        var lower: Bits
        var plane: Plane
    }

    /// A block with a line.
    private struct Claim {
        var addresses: ClosedRange<Bits>
        var line: Int
    }

    /// A block around what is read.
    private struct Frame {
        var upper: Bits
        var plane: Plane
    }

    /// Neighbours differ.
    private(set) var spans = [Span(lower: 0, plane: TrafficPlanes.empty)]
    private(set) var planes = TrafficPlanes()

    /// - Parameters:
    ///   - lines: In the order in which they decide; their positions are what the map gives.
    ///   - effort: A step for each block, and for each of those of planes that are written.
    /// - Returns: nil where that is not enough.
    init?(_ lines: ArraySlice<TrafficLine>, _ effort: inout Effort) {
        var own: [Plane] = []
        var claims: [Claim] = []
        for (position, line) in zip(lines.indices, lines) {
            own.append(planes.plane(of: line.services, line: position))
            for block in line.blocks where block.family == Bits.family {
                claims.append(Claim(addresses: block.range(), line: position))
            }
        }
        effort.spend(claims.count)
        // What is around comes before what is inside.
        claims.sort { left, right in
            let (a, b) = (left.addresses, right.addresses)
            if a.lowerBound != b.lowerBound { return a.lowerBound < b.lowerBound }
            return a.upperBound != b.upperBound ? a.upperBound > b.upperBound : left.line < right.line
        }
        var frames: [Frame] = []
        var index = 0
        while index < claims.count {
            let block = claims[index].addresses
            var matching: [Plane] = []
            while index < claims.count, claims[index].addresses == block {
                matching.append(own[claims[index].line - lines.startIndex])
                index += 1
            }
            leave(&frames, before: block.lowerBound)
            let around = frames.last?.plane ?? TrafficPlanes.empty
            let before = planes.work
            let plane = planes.first(of: around, planes.plane(of: matching))
            effort.spend(planes.work - before)
            guard effort.isLeft else { return nil }
            begin(plane, at: block.lowerBound)
            frames.append(Frame(upper: block.upperBound, plane: plane))
        }
        leave(&frames, before: nil)
    }

    /// Ends the blocks that are all below an address.
    private mutating func leave(_ frames: inout [Frame], before address: Bits?) {
        while let frame = frames.last, address.map({ frame.upper < $0 }) ?? true {
            frames.removeLast()
            if frame.upper < .max { begin(frames.last?.plane ?? TrafficPlanes.empty, at: frame.upper + 1) }
        }
    }

    private mutating func begin(_ plane: Plane, at lower: Bits) {
        if spans[spans.count - 1].lower == lower { spans.removeLast() }
        if spans.last?.plane != plane { spans.append(Span(lower: lower, plane: plane)) }
    }

    /// The line that decides on a packet.
    func line(_ address: Bits, _ service: UInt32) -> Int? {
        let next = spans.partitionPoint { $0.lower <= address }
        return planes.line(on: spans[next - 1].plane, service)
    }

    /// The spans with a line, up to their highest address.
    var areas: [TrafficSweep<Bits>.Area] {
        var areas: [TrafficSweep<Bits>.Area] = []
        for (index, span) in spans.enumerated() where span.plane != TrafficPlanes.empty {
            let upper = index + 1 < spans.count ? spans[index + 1].lower - 1 : .max
            areas.append(TrafficSweep<Bits>.Area(addresses: span.lower...upper, plane: span.plane))
        }
        return areas
    }
}

/// Turns planes side by side into boxes: what goes on from one to the next stays one box.
struct TrafficSweep<Bits: AddressBits> {
    struct Area {
        var addresses: ClosedRange<Bits>
        var plane: TrafficPlanes.Plane
    }

    /// Of all planes, one behind the other.
    private var pieces: [TrafficPlanes.Piece] = []
    private var starts = [0]

    init(_ planes: TrafficPlanes) {
        for plane in 0..<planes.count {
            planes.forEachPiece(of: plane) { pieces.append($0) }
            starts.append(pieces.count)
        }
    }

    /// - Parameters:
    ///   - areas: In the order of their addresses. Where there is a gap, boxes may reach across it if `spansGaps`.
    ///   - limit: The most boxes.
    ///   - effort: A step for each piece of a plane that is looked at.
    /// - Returns: nil where that is not enough.
    func boxes(
        _ areas: [Area], spansGaps: Bool, limit: Int, _ effort: inout Effort
    ) -> [TrafficStage<Bits>.Entry]? {
        var entries: [TrafficStage<Bits>.Entry] = []
        var open = 0..<0
        var begun: [Bits] = []
        var last: Bits = 0
        func close(_ index: Int) {
            entries.append(
                TrafficStage<Bits>.Entry(
                    box: TrafficBox(
                        addresses: begun[index - open.lowerBound]...last, services: pieces[index].services),
                    line: Int(pieces[index].line)))
        }
        for area in areas {
            if !spansGaps, !open.isEmpty, last + 1 != area.addresses.lowerBound {
                for index in open { close(index) }
                open = 0..<0
            }
            let new = starts[area.plane]..<starts[area.plane + 1]
            var beginnings: [Bits] = []
            beginnings.reserveCapacity(new.count)
            var old = open.lowerBound
            for piece in new {
                while old < open.upperBound, pieces[old].services.lowerBound < pieces[piece].services.lowerBound {
                    close(old)
                    old += 1
                }
                if old < open.upperBound, pieces[old] == pieces[piece] {
                    beginnings.append(begun[old - open.lowerBound])
                    old += 1
                } else {
                    beginnings.append(area.addresses.lowerBound)
                }
            }
            while old < open.upperBound {
                close(old)
                old += 1
            }
            effort.spend(new.count)
            guard entries.count <= limit, effort.isLeft else { return nil }
            (open, begun, last) = (new, beginnings, area.addresses.upperBound)
        }
        for index in open { close(index) }
        return entries.count <= limit ? entries : nil
    }
}
