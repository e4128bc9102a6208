package import IPAddressing

/// Lines of an ordered list as one lookup: no two boxes overlap, each bears the line that decides.
package struct TrafficStage<Bits: AddressBits>: Sendable {
    package struct Entry: Hashable, Sendable {
        package var box: TrafficBox<Bits>
        /// The position of the line.
        package var line: Int
    }

    /// Addresses that are treated alike, and the lowest of all that are treated like these.
    package struct Class: Hashable, Sendable {
        package var addresses: ClosedRange<Bits>
        package var representative: Bits
    }

    /// Not empty: an address is looked up in here first, and the boxes know its representative.
    package let classes: [Class]
    package let entries: [Entry]
    /// Positions.
    let lines: Range<Int>
    private let map: TrafficMap<Bits>

    package var elementCount: Int { classes.count + entries.count }

    /// - Parameters:
    ///   - limit: The most elements.
    ///   - price: What a lookup of classes is worth, in elements.
    /// - Returns: nil where `limit` or `effort` is not enough.
    init?(_ lines: ArraySlice<TrafficLine>, limit: Int, price: Int, _ effort: inout Effort) {
        guard let map = TrafficMap<Bits>(lines, &effort) else { return nil }
        self.map = map
        self.lines = lines.indices
        let sweep = TrafficSweep<Bits>(map.planes)
        let areas = map.areas
        if let few = sweep.boxes(areas, spansGaps: false, limit: min(limit, price), &effort) {
            (classes, entries) = ([], few)
            return
        }
        let (classes, representatives) = Self.classes(areas, map.planes.count)
        let common = sweep.boxes(representatives, spansGaps: true, limit: limit - classes.count, &effort)
        let most = common.map { min(limit, classes.count + $0.count + price) } ?? limit
        if let entries = sweep.boxes(areas, spansGaps: false, limit: most, &effort) {
            (self.classes, self.entries) = ([], entries)
        } else if let common {
            (self.classes, self.entries) = (classes, common)
        } else {
            return nil
        }
    }

    private static func classes(
        _ areas: [TrafficSweep<Bits>.Area], _ planes: Int
    ) -> (classes: [Class], representatives: [TrafficSweep<Bits>.Area]) {
        var lowest = [Bits?](repeating: nil, count: planes)
        var representatives: [TrafficSweep<Bits>.Area] = []
        var classes: [Class] = []
        for area in areas {
            let representative = lowest[area.plane] ?? area.addresses.lowerBound
            if lowest[area.plane] == nil {
                lowest[area.plane] = representative
                representatives.append(
                    TrafficSweep<Bits>.Area(addresses: representative...representative, plane: area.plane))
            }
            classes.append(Class(addresses: area.addresses, representative: representative))
        }
        return (classes, representatives)
    }

    /// The line that decides on a packet.
    func line(_ address: Bits, _ service: UInt32) -> Int? { map.line(address, service) }
}
