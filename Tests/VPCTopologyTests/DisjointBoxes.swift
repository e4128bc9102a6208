import IPAddressing

@testable import VPCTopology

/// Boxes of which no two overlap, each with the line that decides for it.
///
/// The plain way, to compare with: every box against every other. Lines are added in the order in which they decide: what an earlier line covers is cut out of the later ones. So a
/// lookup that finds the one box of a packet finds what reading the lines from the top would have found.
struct DisjointBoxes<Bits: AddressBits>: Sendable {
    struct Entry: Hashable, Sendable {
        var box: TrafficBox<Bits>
        /// The position of the line.
        var line: Int
    }

    private(set) var entries: [Entry] = []

    init() {}

    /// Adds what of `boxes` no earlier line covers.
    /// - Returns: whether anything was left of them: false means that the line can never decide.
    @discardableResult
    mutating func add(_ boxes: [TrafficBox<Bits>], line: Int) -> Bool {
        var left = boxes
        for entry in entries where !left.isEmpty {
            left = left.flatMap { $0.subtracting(entry.box) }
        }
        // Boxes of one line may overlap each other, too.
        var added = false
        while let box = left.popLast() {
            left = left.flatMap { $0.subtracting(box) }
            entries.append(Entry(box: box, line: line))
            added = true
        }
        return added
    }

    /// The line that decides for a packet.
    func line(for packet: TrafficBox<Bits>) -> Int? { entries.first { $0.box.contains(packet) }?.line }
}
