import TestSupport
import Testing
import VPCManifest
import VPCModel

/// Of a list in JSON that is written anew only what differs is read.
@Suite(.timeLimit(minutes: 10)) struct ListChangeTests {
    private typealias Item = (name: Int, address: Int)

    private static func text(_ items: [Item], _ dice: inout Dice) -> [UInt8] {
        let texts = items.map { name, address in
            #"{"apiVersion": "vpcctl.dev/v1", "kind": "Host", "metadata": {"name": "h\#(name)"}, "#
                + #""spec": {"underlay": {"address": "172.31.\#(address / 250).\#(1 + address % 250)"}}}"#
        }
        // Mostly written in the same way.
        let comma = dice.happens(90) ? ", " : dice.pick([",", ",\n"])
        let end = dice.happens(90) ? "" : dice.pick(["\n", " "])
        return Array(
            (#"{"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": ["# + end + texts.joined(separator: comma)
                + end + "]}\n").utf8)
    }

    private static func hosts(_ text: [UInt8]) -> [ResourceReference: Resource] {
        let set = ManifestSet([ManifestSource(name: "hosts.json", bytes: text)])
        return Dictionary(uniqueKeysWithValues: set.model.resources.map { ($0.reference, $0) })
    }

    /// - Returns: how many items are others, and what only stands elsewhere not among them.
    private static func edit(_ items: inout [Item], _ next: inout Int, _ dice: inout Dice) -> Int {
        let place = Int.random(in: 0..<items.count, using: &dice)
        switch Int.random(in: 0..<6, using: &dice) {
        case 0:
            items.insert((next, next), at: place)
            next += 1
            return 1
        case 1 where items.count > 1:
            items.remove(at: place)
            return 1
        case 2:
            items.shuffle(using: &dice)
            return 0
        case 3:
            items.append(items.remove(at: place))
            return 0
        default:
            items[place].address = next
            next += 1
            return 1
        }
    }

    @Test(arguments: Seeds.fresh(with: 1, 2, 3, 4)) func onlyWhatDiffersIsRead(_ seed: UInt64) throws {
        var dice = Dice(seed: seed)
        var next = 300
        var items: [Item] = (0..<Int.random(in: 1..<200, using: &dice)).map { ($0, $0) }
        var text = Self.text(items, &dice)
        var marks = ListMarks()
        for step in 0..<40 {
            var others = 0
            for _ in 0..<Int.random(in: 1...3, using: &dice) { others += Self.edit(&items, &next, &dice) }
            let new = Self.text(items, &dice)
            var changes = ResourceChanges()
            var budget = Int.max
            try #require(changes.add(from: text, to: new, budget: &budget, marks: &marks), "step \(step)")
            #expect(changes.added.count <= others && changes.removed.count <= others, "step \(step)")
            var expected = Self.hosts(text)
            for (reference, resource) in changes.removed {
                #expect(expected.removeValue(forKey: reference) == resource)
            }
            expected.merge(changes.added) { former, _ in former }
            #expect(expected == Self.hosts(new), "step \(step)")
            text = new
        }
    }

    /// What is there twice is said by who reads everything: one of both is left, and is not there before.
    @Test func whatComesTwiceIsNoChangeOfAnother() {
        var dice = Dice(seed: 1)
        let items: [Item] = (0..<5).map { ($0, $0) }
        let old = Self.text(items, &dice)
        let new = Self.text(items + [items[2]], &dice)
        var changes = ResourceChanges()
        var budget = Int.max
        #expect(changes.add(from: old, to: new, budget: &budget))
        #expect(changes.removed.isEmpty && changes.added.keys.map(\.name) == ["h2"])
    }
}
