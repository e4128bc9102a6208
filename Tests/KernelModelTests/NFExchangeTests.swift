import IPAddressing
import KernelNames
import TestSupport
import Testing

@testable import KernelModel
@testable import NFTables

/// What cannot change in one instant for every packet is made beside what is there.
@Suite(.timeLimit(minutes: 10)) struct NFExchangeTests {
    private let table = NFTable(.inet, "t")

    private func rule(_ number: Int) -> NFRule { NFRule(in: .inet, .match(.mark, UInt32(number)), .drop) }

    private func addresses(_ name: String, _ numbers: Range<UInt32>, admits: Bool = false) -> NFSet {
        var set = NFSet(name, of: .ipv4Address, admits: admits)
        for number in numbers { set.add(IPAddress(v4: number)) }
        return set
    }

    private func intent(_ sets: [NFSet], _ chains: [NFChain] = []) -> NFTableIntent {
        var intent = NFTableIntent(table)
        intent.sets = sets
        intent.chains = chains
        intent.normalize()
        return intent
    }

    /// What the kernel holds when it holds that.
    private func observed(_ intent: NFTableIntent) -> NFObservedTable {
        var seen = NFObservedTable(table)
        seen.objects = intent.counters.map { NFObservedObject(name: $0.name, type: 1) }
        seen.sets = intent.sets.map { NFObservedSet(name: $0.name, shape: $0.shape, elements: $0.elements) }
        var handle: UInt64 = 0
        seen.chains = intent.chains.map { chain in
            NFObservedChain(
                name: chain.name, base: chain.base,
                rules: chain.rules.map { rule in
                    handle += 1
                    return NFObservedRule(rule: rule, handle: handle)
                })
        }
        return seen
    }

    private func words(_ operations: [NFOperation]) -> [String] {
        operations.map { operation in
            switch operation {
            case .addElements(let set, _, let elements): "+\(elements.count) \(set)"
            case .removeElements(let set, _, let elements): "-\(elements.count) \(set)"
            case .addRule(let chain, let rule, _): "+\(chain): \(rule.expressions.compactMap(\.set).joined())"
            case .deleteRule(let chain, _, let rule): "-\(chain): \(rule.expressions.compactMap(\.set).joined())"
            default: "\(operation.action.rawValue) \(operation.text(in: table).split(separator: " ").last ?? "")"
            }
        }
    }

    private func firstLoad() -> NFChangeSet {
        var constant = NFSet("constant", of: .ipv4Address, isConstant: true)
        constant.add(IPAddress(v4: 1))
        return intent(
            [addresses("policy", 0..<25), addresses("door", 0..<7, admits: true), addresses("z", 0..<1), constant],
            [NFChain("c", rules: [rule(1)])]
        ).changes(from: nil)
    }

    @Test func aLargeLoadAdmitsLast() {
        let load = firstLoad()
        #expect(load.transactions(limit: 33).map(\.operations) == [load.operations])
        let parts = load.transactions(limit: 10)
        let sizes = parts.map { words($0.operations).filter { $0.hasPrefix("+") } }
        #expect(
            sizes == [
                ["+1 constant", "+c: "], ["+10 policy"], ["+10 policy"], ["+5 policy", "+1 z"], ["+7 door"],
            ])
        // All else is in the first one, constant elements in front of the rules.
        #expect(parts[0].operations.count == load.operations.count - 3)
        #expect(NFChangeSet(table).transactions() == [])
        // Nothing is lost or told twice.
        #expect(Set(parts.flatMap(\.items)) == Set(load.items))
        #expect(parts.flatMap(\.items).count == load.items.count)
    }

    // MARK: Exchange

    private func boxes(_ name: String, _ numbers: [UInt32], constant: Bool = false) -> NFSet {
        var set = NFSet(name, of: .ipv4Address, isInterval: !constant, isConstant: constant)
        for number in numbers { set.add(IPAddress(v4: number * 16)...IPAddress(v4: number * 16)) }
        return set
    }

    /// Sets that the rules of a chain look things up in, beside a rule that does not.
    private func judging(_ sets: NFSet...) -> NFTableIntent {
        let rules = sets.map { looking(in: $0.name) } + [rule(1)]
        return intent(sets, [NFChain("c", NFBaseChain(.filter, .input, priority: 0), rules: rules)])
    }

    private func looking(in set: String) -> NFRule { NFRule(in: .inet, .match(.ipSource, in: set), .drop) }

    /// A set of intervals is made beside the old one, under a name of its own; the rules are turned to it.
    @Test func setsOfIntervalsAreExchanged() {
        let before = observed(judging(boxes("s", [1, 2, 3])))
        let changes = judging(boxes("s", [1, 3, 4])).changes(from: before)
        #expect(words(changes.preparation) == ["create s.1", "+3 s.1"])
        #expect(words(changes.turn) == ["-c: s", "+c: s.1"])
        #expect(words(changes.removal) == ["delete s"])
        #expect(
            changes.transactions().map { words($0.operations) } == [
                ["create s.1", "+3 s.1"], ["-c: s", "+c: s.1"], ["delete s"],
            ])
        // A large one in pieces; what takes effect never.
        #expect(
            changes.transactions(limit: 2).map { words($0.operations) } == [
                ["create s.1"], ["+2 s.1"], ["+1 s.1"], ["-c: s", "+c: s.1"], ["delete s"],
            ])
    }

    /// The names that the kernel's sets have do not matter to who wants them.
    @Test func exchangedSetsKeepTheirNames() {
        let wanted = judging(boxes("s", [1, 3, 4]))
        let after = observed(judging(boxes("s.1", [1, 3, 4])))
        #expect(wanted.changes(from: after).isEmpty)
        let next = judging(boxes("s", [1, 4, 5])).changes(from: after)
        #expect(words(next.operations) == ["create s", "+3 s", "-c: s.1", "+c: s", "delete s.1"])
    }

    /// Somebody was interrupted when the new set was filled, or when the rules had been turned: go on from there.
    @Test func aHalfDoneExchangeIsFinished() {
        let wanted = judging(boxes("s", [1, 3, 4]))
        var prepared = observed(judging(boxes("s", [1, 2, 3])))
        prepared.sets.append(observed(judging(boxes("s.1", [1, 3, 4]))).sets[0])
        #expect(words(wanted.changes(from: prepared).operations) == ["-c: s", "+c: s.1", "delete s"])
        var turned = observed(judging(boxes("s.1", [1, 3, 4])))
        turned.sets.insert(observed(judging(boxes("s", [1, 2, 3]))).sets[0], at: 0)
        #expect(words(wanted.changes(from: turned).operations) == ["delete s"])
        // And when something else is wanted by now.
        let other = judging(boxes("s", [7]))
        #expect(
            words(other.changes(from: prepared).operations)
                == ["create s.2", "+1 s.2", "-c: s", "+c: s.2", "delete s", "delete s.1"])
        #expect(words(judging(boxes("s", [1, 3])).changes(from: turned).operations) == ["-1 s.1", "delete s"])
    }

    /// Where boxes only come, or only go, one message each is enough.
    @Test func setsOfIntervalsGrowAndShrinkInPlace() {
        let before = observed(judging(boxes("s", [1, 2, 3]), boxes("t", [1])))
        #expect(
            words(judging(boxes("s", [0, 1, 2, 3]), boxes("t", [1, 5])).changes(from: before).operations)
                == ["+1 s", "+1 t"])
        #expect(
            words(judging(boxes("s", [1, 3]), boxes("t", [])).changes(from: before).operations) == ["-1 s", "-1 t"])
        // What the one set no longer has, the other one may have: not a moment in which neither has it.
        let moved = judging(boxes("s", [1, 2]), boxes("t", [1, 3])).changes(from: before)
        #expect(
            moved.transactions().map { words($0.operations) } == [
                ["create s.1", "create t.1", "+2 s.1", "+2 t.1"], ["-c: s", "-c: t", "+c: s.1", "+c: t.1"],
                ["delete s", "delete t"],
            ])
    }

    /// A full set is made anew with more room, and keeps it.
    @Test func setsGrowInSteps() {
        func growing(_ name: String, _ count: UInt32) -> NFTableIntent {
            var set = NFSet(name, of: .ipv4Address, grows: true)
            for number in 0..<count { set.add(IPAddress(v4: number)) }
            return judging(set)
        }
        func created(_ count: UInt32) -> [UInt32?] {
            growing("s", count).changes(from: nil).operations.compactMap { operation in
                if case .createSet(let set) = operation { set.shape.size } else { nil }
            }
        }
        #expect([0, 64, 65, 1024, 1025, 16385].map(created) == [[64], [64], [1024], [1024], [16384], [262_144]])

        func seen(_ name: String, _ count: UInt32, size: UInt32?) -> NFObservedTable {
            var table = observed(growing(name, count))
            table.sets[0].shape.size = size
            return table
        }
        #expect(words(growing("s", 64).changes(from: seen("s", 63, size: 64)).operations) == ["+1 s"])
        #expect(
            words(growing("s", 65).changes(from: seen("s", 64, size: 64)).operations)
                == ["create s.1", "+65 s.1", "-c: s", "+c: s.1", "delete s"])
        #expect(words(growing("s", 1).changes(from: seen("s.1", 65, size: 1024)).operations) == ["-64 s.1"])
        // One that grows by itself cannot be trusted to be listed whole.
        #expect(
            words(growing("s", 1).changes(from: seen("s", 1, size: nil)).operations)
                == ["create s.1", "+1 s.1", "-c: s", "+c: s.1", "delete s"])
    }

    /// Elements that stay a little longer need their room as well.
    @Test func departingDevicesNeedRoom() throws {
        func table(_ numbers: Range<Int>, size: UInt32?) throws -> NFTableIntent {
            var set = NFSet("s", of: .interfaceName, size: size, grows: size == nil)
            for number in numbers { set.add(try #require(InterfaceName("e\(number)"))) }
            return intent([set])
        }
        let leaving = try #require(InterfaceName("e0"))
        let before = observed(try table(0..<64, size: 64))
        let changes = try table(1..<65, size: nil).changes(from: before, departing: [leaving])
        #expect(words(changes.operations) == ["create s.1", "+65 s.1", "-1 s.1", "delete s"])
        #expect(
            words(try table(1..<64, size: nil).changes(from: before, departing: [leaving]).operations) == ["-1 s"])
    }

    /// A constant set cannot be changed in place, nor can a set's kind.
    @Test func whatIsFixedIsExchanged() {
        let before = observed(judging(boxes("s", [1], constant: true), addresses("h", 0..<2)))
        let changes = judging(boxes("s", [2], constant: true), boxes("h", [1])).changes(from: before)
        #expect(
            words(changes.operations) == [
                "create h.1", "create s.1", "+1 s.1", "+1 h.1", "-c: s", "-c: h", "+c: s.1", "+c: h.1", "delete h",
                "delete s",
            ])
    }

    /// A chain that packets are led to has its rules before it is led to.
    @Test func newChainsComeFirstAndOldOnesGoLast() {
        func table(_ chain: String, _ counter: String) -> NFTableIntent {
            var map = NFSet("m", of: .ipv4Address, to: .verdict)
            map.add(IPAddress(v4: 1), verdict: .jump(chain))
            var table = intent([map], [NFChain(chain, rules: [NFRule(in: .inet, .counter(counter))])])
            table.counters = [NFCounter(counter)]
            table.chain("base", NFBaseChain(.filter, .input, priority: 0)) { $0.rule(.vmap(.ipSource, map: "m")) }
            table.normalize()
            return table
        }
        let changes = table("new", "new").changes(from: observed(table("old", "old")))
        #expect(
            changes.transactions().map { words($0.operations) } == [
                ["create new", "create new", "+new: "], ["-1 m", "+1 m"], ["delete old", "delete old", "delete old"],
            ])
    }

    /// A device that leaves is judged as it was until it is gone.
    @Test func departingDevicesKeepTheirChains() throws {
        let device = try #require(InterfaceName("e1"))
        var map = NFSet("m", of: .interfaceName, to: .verdict)
        map.add(device, verdict: .jump("old"))
        let before = intent([map], [NFChain("old", rules: [rule(1)])])
        let after = intent([NFSet("m", of: .interfaceName, to: .verdict)])
        let changes = after.changes(from: observed(before), departing: [device])
        #expect(words(changes.turn) == [])
        #expect(words(changes.removal) == ["-1 m", "delete old", "delete old"])
        #expect(words(after.changes(from: observed(before)).turn) == ["-1 m"])
    }

    /// Also where it is led to its chain by a number, and nobody else is.
    @Test func departingDevicesKeepTheNumbersOfTheirChains() throws {
        let (device, other) = (try #require(InterfaceName("e1")), try #require(InterfaceName("e2")))
        let chains = [1: "old_in", 2: "new_in"]
        func table(_ ports: [(InterfaceName, UInt32)]) -> NFTableIntent {
            var map = NFSet("m", of: .interfaceName, to: .values(.mark))
            for (port, number) in ports { map.add(port, data: NFMark(number)) }
            var led = NFSet("c", of: .mark, to: .verdict)
            let numbers = Set(ports.map(\.1)).sorted()
            let names = numbers.map { chains[Int($0)] ?? "" }
            for (number, name) in zip(numbers, names) { led.add(NFMark(number), verdict: .goto(name)) }
            var table = intent([map, led], names.map { NFChain($0, rules: [rule(1)]) })
            table.normalize()
            return table
        }
        let before = observed(table([(device, 1), (other, 2)]))
        let alone = table([(other, 2)]).changes(from: before, departing: [device])
        #expect(words(alone.turn) == [])
        #expect(words(alone.removal) == ["-1 m", "-1 c", "delete old_in", "delete old_in"])
        // What another one is led to stays by itself.
        let shared = table([(other, 1)]).changes(from: before, departing: [device])
        #expect(words(shared.removal).contains("-1 m") && !words(shared.removal).contains("-1 c"))
        #expect(words(table([(other, 2)]).changes(from: before).turn).sorted() == ["-1 c", "-1 m"])
    }

    /// Objects of two types can have one name; only one of them is ours.
    @Test func anothersObjectOfOurName() {
        var wanted = NFTableIntent(table)
        wanted.counters = [NFCounter("n")]
        var seen = NFObservedTable(table)
        for types in [[1, 2], [2, 1]] as [[UInt32]] {
            seen.objects = types.map { NFObservedObject(name: "n", type: $0) }
            #expect(wanted.changes(from: seen).operations == [.deleteObject(name: "n", type: 2)])
        }
    }

    // MARK: Limits and timeouts

    private func limited(_ rate: UInt64, named name: String = "fast") -> NFTableIntent {
        var map = NFSet("m", of: .ipv4Address, to: .limit)
        map.add(IPAddress(v4: 1), object: name)
        var wanted = intent([map])
        wanted.objects = [NFObject(name, .limit(NFLimit(rate, burst: 0, unit: .bytes, isOver: true)))]
        return wanted
    }

    private func seen(_ intent: NFTableIntent) -> NFObservedTable {
        var seen = observed(intent)
        seen.objects += intent.objects.map { NFObservedObject(name: $0.name, type: $0.body.type, body: $0.body) }
        return seen
    }

    /// Another rate is another object, which is there before anything bears it and gone when nothing does.
    @Test func limitsAreExchanged() {
        #expect(limited(10).changes(from: seen(limited(10))).operations == [])
        let changes = limited(20, named: "faster").changes(from: seen(limited(10)))
        guard case .createObject(let new) = changes.preparation.first,
            case .deleteObject(let old, 4) = changes.removal.last
        else {
            Issue.record("\(changes.operations)")
            return
        }
        #expect((new.name, old) == ("faster", "fast"))
    }

    /// What somebody has put there under our name goes, with what bears it, and comes again, all in one transaction.
    @Test func anothersLimitOfOurNameIsReplaced() throws {
        let turn = limited(10).changes(from: seen(limited(99))).turn
        let words = turn.map { operation in
            switch operation {
            case .flushSet: "flush"
            case .deleteObject: "delete"
            case .createObject: "create"
            case .addElements: "add"
            default: "\(operation)"
            }
        }
        #expect(words == ["flush", "delete", "create", "add"])
    }

    /// The kernel says the times of all states.
    @Test func ofTimeoutsOnlyWhatWasAskedForCounts() {
        var wanted = NFTableIntent(table)
        wanted.objects = [NFObject("idle", .timeout(.idle(.tcp, seconds: 350)))]
        var there = NFObservedTable(table)
        there.objects = [
            NFObservedObject(
                name: "idle", type: 7, body: .timeout(NFTimeout(.tcp, seconds: [1: 120, 3: 350, 4: 120])))
        ]
        #expect(wanted.changes(from: there).operations == [])
        there.objects[0].body = .timeout(NFTimeout(.tcp, seconds: [3: 432_000]))
        #expect(wanted.changes(from: there).operations.count == 2)
    }
}
