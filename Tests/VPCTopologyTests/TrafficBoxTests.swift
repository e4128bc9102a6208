import IPAddressing
import TestSupport
import Testing
import VPCModel

@testable import VPCTopology

/// A packet, as far as rules look at it.
private struct Packet<Bits: AddressBits>: Hashable {
    var address: Bits
    var ipProtocol: UInt8
    /// Destination port, or type and code.
    var selector: UInt16

    var box: TrafficBox<Bits> {
        TrafficBox<Bits>(
            addresses: address...address, protocols: ipProtocol...ipProtocol, selectors: selector...selector)
    }
}

/// A rule as a reader of the manifest understands it: nothing of boxes in here.
private struct Line {
    var traffic: TrafficMatch
    var cidr: IPPrefix { cidrs[0] }
    var cidrs: [IPPrefix]

    init(traffic: TrafficMatch, cidrs: [IPPrefix]) {
        self.traffic = traffic
        self.cidrs = cidrs
    }

    init(traffic: TrafficMatch, cidr: IPPrefix) { self.init(traffic: traffic, cidrs: [cidr]) }

    var line: TrafficLine { TrafficLine(traffic, from: cidrs) }

    func matches<Bits>(_ packet: Packet<Bits>) -> Bool {
        guard cidrs.contains(where: { $0.contains(IPAddress(bits: packet.address)) }) else { return false }
        guard let wanted = traffic.ipProtocol else { return true }
        guard wanted.rawValue == packet.ipProtocol else { return false }
        if wanted == .icmp {
            if let type = traffic.icmpType, type != UInt8(packet.selector >> 8) { return false }
            if let code = traffic.icmpCode, code != UInt8(packet.selector & 0xFF) { return false }
            return true
        }
        return traffic.ports.isEmpty || traffic.ports.contains { $0.contains(packet.selector) }
    }
}

/// Lists that overlap a lot: few addresses, protocols and ports, with the ends of the ranges among them.
private struct Generator<Bits: AddressBits> {
    var random: Dice

    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[number(0...elements.count - 1)] }

    mutating func cidr() -> IPPrefix {
        // The first bits, or all of them.
        func first(_ bits: IPv4Bits) -> Bits { Bits(bits) << (Bits.bitWidth - 32) }
        let width = Bits.bitWidth
        return IPPrefix(
            containing: IPAddress(bits: pick([first(0x0A00_0000), first(0x0A00_0105), first(0x0A01_0000), 0, .max])),
            length: pick([0, 1, 8, 15, 16, 23, width - 8, width - 2, width - 1, width]))
    }

    mutating func port() -> UInt16 { pick([0, 1, 79, 80, 81, 443, 8000, 8999, 65534, 65535]) }

    mutating func traffic() -> TrafficMatch {
        switch number(0...4) {
        case 0: return TrafficMatch()
        case 1: return TrafficMatch(ipProtocol: pick([.gre, .esp, .tcp, .icmp, IPProtocol(0), IPProtocol(255)]))
        case 2:
            return TrafficMatch(
                ipProtocol: .icmp, icmpType: pick([0, 3, 8, 255]), icmpCode: pick([nil, 0, 4, 255]))
        default:
            return TrafficMatch(
                ipProtocol: pick([.tcp, .udp, .sctp]),
                ports: (0..<number(0...3)).map { _ in
                    let (one, two) = (port(), port())
                    return min(one, two)...max(one, two)
                })
        }
    }

    mutating func lines() -> [Line] { (0..<number(1...12)).map { _ in Line(traffic: traffic(), cidr: cidr()) } }

    /// Of several blocks each, as rules of a group are.
    mutating func wideLines() -> [Line] {
        (0..<number(1...12)).map { _ in Line(traffic: traffic(), cidrs: (0..<number(1...4)).map { _ in cidr() }) }
    }

    mutating func packet() -> Packet<Bits> {
        let range = cidr().range(of: Bits.self)
        return Packet(
            address: pick([range.lowerBound, range.upperBound, range.upperBound &+ 1, range.lowerBound &- 1]),
            ipProtocol: pick([0, 1, 6, 17, 47, 50, 255]),
            selector: pick([port(), 0x0000, 0x0304, 0x0305, 0x08FF, 0x0800, 0x0900, 0xFFFF]))
    }
}

extension AddressFamily {
    fileprivate var bits: any AddressBits.Type { self == .ipv4 ? IPv4Bits.self : IPv6Bits.self }
}

@Suite(.timeLimit(minutes: 10)) struct TrafficBoxTests {
    static let seed = Seeds.fresh()[0]

    @Test(arguments: AddressFamily.allCases) func boxesDecideAsTheFirstMatchingLineDoes(family: AddressFamily) {
        func check<Bits: AddressBits>(_: Bits.Type) {
            var generator = Generator<Bits>(random: Dice(seed: Self.seed))
            for round in 0..<150 {
                let lines = generator.lines()
                var boxes = DisjointBoxes<Bits>()
                var decides: [Bool] = []
                for (number, line) in lines.enumerated() {
                    decides.append(boxes.add(line.traffic.boxes(line.cidr.range(of: Bits.self)), line: number))
                }
                for _ in 0..<100 {
                    let packet = generator.packet()
                    #expect(
                        boxes.line(for: packet.box) == lines.firstIndex { $0.matches(packet) },
                        "seed \(Self.seed), round \(round): \(packet) of \(lines)")
                }
                let entries = boxes.entries
                for (index, entry) in entries.enumerated() {
                    let overlapping = entries[(index + 1)...].first { $0.box.overlaps(entry.box) }
                    #expect(overlapping == nil, "seed \(Self.seed), round \(round): \(entry)")
                }
                for (number, decides) in decides.enumerated() {
                    #expect(decides == entries.contains { $0.line == number }, "seed \(Self.seed), round \(round)")
                }
            }
        }
        check(family.bits)
    }

    /// The finder says the same of every line as the boxes do, and the lines that it names are enough.
    @Test(arguments: AddressFamily.allCases) func shadowsAreExact(family: AddressFamily) {
        func check<Bits: AddressBits>(_: Bits.Type) {
            var generator = Generator<Bits>(random: Dice(seed: Self.seed ^ 1))
            var found = 0
            for round in 0..<400 {
                let lines = generator.lines()
                var boxes = DisjointBoxes<Bits>()
                var finder = ShadowFinder<Bits>()
                for (number, line) in lines.enumerated() {
                    let own = line.traffic.boxes(line.cidr.range(of: Bits.self))
                    let decides = boxes.add(own, line: number)
                    let shadows = finder.add(own.map { ShadowFinder<Bits>.Region(space: .addresses, box: $0) })
                    #expect(shadows.isEmpty == decides, "seed \(Self.seed), round \(round), line \(number) of \(lines)")
                    guard !shadows.isEmpty else { continue }
                    found += 1
                    #expect(shadows == shadows.sorted() && shadows.allSatisfy { $0 < number })
                    var enough = DisjointBoxes<Bits>()
                    for shadow in shadows {
                        enough.add(lines[shadow].traffic.boxes(lines[shadow].cidr.range(of: Bits.self)), line: shadow)
                    }
                    let isLeft = enough.add(own, line: number)
                    #expect(!isLeft, "seed \(Self.seed), round \(round), line \(number) of \(lines)")
                }
            }
            #expect(found > 100)
        }
        check(family.bits)
    }

    @Test(arguments: AddressFamily.allCases) func subtractingLeavesTheRest(family: AddressFamily) {
        func check<Bits: AddressBits>(_: Bits.Type) {
            var generator = Generator<Bits>(random: Dice(seed: Self.seed ^ 2))
            for round in 0..<2000 {
                let (one, two) = (generator.traffic(), generator.traffic())
                let (left, right) = (generator.cidr().range(of: Bits.self), generator.cidr().range(of: Bits.self))
                for box in one.boxes(left) {
                    for other in two.boxes(right) {
                        let rest = box.subtracting(other)
                        #expect(rest.count <= 6)
                        #expect(rest.isEmpty == other.contains(box))
                        #expect(rest.allSatisfy { box.contains($0) && !$0.overlaps(other) })
                        for _ in 0..<2 {
                            let packet = generator.packet().box
                            #expect(
                                rest.count { $0.contains(packet) }
                                    == (box.contains(packet) && !other.contains(packet) ? 1 : 0),
                                "seed \(Self.seed), round \(round): \(box) without \(other)")
                        }
                    }
                }
            }
        }
        check(family.bits)
    }

    @Test(arguments: AddressFamily.allCases) func edges(family: AddressFamily) {
        func check<Bits: AddressBits>(_: Bits.Type) {
            let none: ClosedRange<Bits> = 0...0
            let everything = TrafficBox<Bits>(addresses: 0 ... .max)
            #expect(everything.subtracting(everything) == [])
            let last = TrafficBox<Bits>(addresses: .max ... .max, protocols: 255...255, selectors: 65535...65535)
            #expect(everything.subtracting(last).count == 3)
            #expect(last.subtracting(everything) == [])
            #expect(
                TrafficMatch(ipProtocol: .icmp, icmpType: 255, icmpCode: 255).boxes(none).map(\.selectors)
                    == [65535...65535])
            #expect(TrafficMatch(ipProtocol: .icmp, icmpType: 3).boxes(none).map(\.selectors) == [0x0300...0x03FF])
            #expect(TrafficMatch(ipProtocol: .tcp, ports: [1...2, 1...2]).boxes(none).count == 2)
            #expect(IPPrefix(containing: IPAddress(bits: Bits(0)), length: 0).range() == Bits(0) ... .max)
        }
        check(family.bits)
    }

    /// A list that is hard to decide costs no more than the budget, and gives no warning.
    @Test func hardListsAreGivenUp() {
        var finder = ShadowFinder<IPv4Bits>(budget: 1000)
        var warnings = 0
        func region(_ address: IPv4Bits) -> ShadowFinder<IPv4Bits>.Region {
            ShadowFinder.Region(space: .addresses, box: TrafficBox(addresses: address...address))
        }
        for number: IPv4Bits in 0..<200 { warnings += finder.add([region(number)]).count }
        let shadows = finder.add([region(0)])
        #expect(shadows == [])
        #expect(warnings == 0)
        #expect(finder.budget <= 0)
    }
}

/// As the kernel reads the sets: stage after stage, in each the class of the address if there are classes, then the box.
extension TrafficStages {
    fileprivate func lookUp(_ packet: Packet<Bits>) -> [Int] {
        for stage in stages {
            var address = packet.address
            if !stage.classes.isEmpty {
                guard let alike = stage.classes.first(where: { $0.addresses.contains(address) }) else { continue }
                address = alike.representative
            }
            var box = packet.box
            box.addresses = address...address
            let found = stage.entries.filter { $0.box.contains(box) }.map(\.line)
            if !found.isEmpty { return found }
        }
        return []
    }
}

extension TrafficBoxTests {
    /// A list that names blocks of both families is two lookups, in which its lines have the same positions.
    @Test func eachFamilyHasItsOwnLookup() {
        var generator = Generator<IPv4Bits>(random: Dice(seed: Self.seed ^ 4))
        var other = Generator<IPv6Bits>(random: Dice(seed: Self.seed ^ 5))
        for round in 0..<100 {
            let lines = (0..<8).map { number in
                Line(
                    traffic: generator.traffic(),
                    cidrs: (number % 3 < 2 ? [generator.cidr()] : []) + (number % 3 > 0 ? [other.cidr()] : []))
            }
            let stages = TrafficStages<IPv4Bits>(lines.map(\.line))
            let others = TrafficStages<IPv6Bits>(lines.map(\.line))
            for _ in 0..<50 {
                let (one, two) = (generator.packet(), other.packet())
                let (address, service) = (IPAddress(bits: one.address), one.box.services.lowerBound)
                let context: Comment = "seed \(Self.seed), round \(round): \(one), \(two) of \(lines)"
                #expect(stages.line(address, service) == lines.firstIndex { $0.matches(one) }, context)
                #expect(others.line(address, service) == nil, context)
                #expect(
                    others.line(IPAddress(bits: two.address), two.box.services.lowerBound)
                        == lines.firstIndex { $0.matches(two) }, context)
            }
        }
    }

    /// However a list is cut into stages and classes, a packet finds the line that reading the list finds.
    @Test(arguments: [1000, 12, 3, 0], AddressFamily.allCases)
    func stagesDecideAsTheFirstMatchingLineDoes(price: Int, family: AddressFamily) {
        func check<Bits: AddressBits>(_: Bits.Type) {
            var limits = TrafficLimits()
            limits.price = price
            limits.slacks = [price, 4 * price, .max / 64]
            limits.stages = 100
            var generator = Generator<Bits>(random: Dice(seed: Self.seed ^ UInt64(price)))
            var (stages, classes) = (0, 0)
            for round in 0..<60 {
                let lines = generator.wideLines()
                let found = TrafficStages<Bits>(lines.map(\.line), limits)
                #expect(found.excess == nil, "seed \(Self.seed), round \(round)")
                stages = max(stages, found.stages.count)
                classes = max(classes, found.stages.map(\.classes.count).max() ?? 0)
                for _ in 0..<50 {
                    let packet = generator.packet()
                    let expected = lines.firstIndex { $0.matches(packet) }
                    let context: Comment = "seed \(Self.seed), price \(price), round \(round): \(packet) of \(lines)"
                    #expect(found.lookUp(packet) == (expected.map { [$0] } ?? []), context)
                    #expect(
                        found.line(IPAddress(bits: packet.address), packet.box.services.lowerBound) == expected, context
                    )
                }
                for stage in found.stages {
                    for (index, entry) in stage.entries.enumerated() {
                        let overlapping = stage.entries[(index + 1)...].first { $0.box.overlaps(entry.box) }
                        #expect(overlapping == nil, "seed \(Self.seed), price \(price), round \(round): \(entry)")
                    }
                    for (one, next) in zip(stage.classes, stage.classes.dropFirst()) {
                        #expect(one.addresses.upperBound < next.addresses.lowerBound)
                    }
                }
            }
            // Each way of doing it was tried.
            #expect(price > 3 || stages > 1)
            #expect(price > 0 || classes > 1)
        }
        check(family.bits)
    }

    /// One lookup has no more boxes than cutting each line by those before it gives, all lists taken together.
    @Test(arguments: AddressFamily.allCases) func mergingIsNoWorseThanCutting(family: AddressFamily) {
        func check<Bits: AddressBits>(_: Bits.Type) {
            var generator = Generator<Bits>(random: Dice(seed: Self.seed ^ 3))
            var (merged, cut) = (0, 0)
            for _ in 0..<150 {
                let lines = generator.wideLines()
                var boxes = DisjointBoxes<Bits>()
                for (number, line) in lines.enumerated() {
                    boxes.add(line.cidrs.flatMap { line.traffic.boxes($0.range(of: Bits.self)) }, line: number)
                }
                merged += TrafficStages<Bits>(lines.map(\.line)).elementCount
                cut += boxes.entries.count
            }
            #expect(merged <= cut, "seed \(Self.seed)")
        }
        check(family.bits)
    }
}
