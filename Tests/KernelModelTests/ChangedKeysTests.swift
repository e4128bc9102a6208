import IPAddressing
import KernelNames
import TestSupport
import Testing

@testable import KernelModel

@Suite(.timeLimit(minutes: 10)) struct ChangedKeysTests {
    private func drawnRoutes(_ dice: inout Dice) -> [Route] {
        (0..<60).compactMap { number in
            if dice.happens(40) { return nil }
            let destination = IPPrefix(IPAddress(v4: 0x0A00_0000 + UInt32(number)))
            return .via(NexthopID(dice.pick([1, 2])), Route.Key(table: TableID(7), destination: destination))
        }
    }

    /// Where it is known what may differ, looking at that gives what looking at all gives.
    @Test func lookingThereIsEnough() {
        var dice = Dice(seed: 1)
        for _ in 0..<300 {
            let (wanted, seen) = (drawnRoutes(&dice), drawnRoutes(&dice))
            let desired = wanted.map { Attributed($0, from: .none) }
            let all = difference(desired: desired, observed: seen)
            let different = Set(wanted).symmetricDifference(seen).map(\.key)
            // And at some that do not differ.
            let others = wanted.map(\.key).filter { _ in dice.happens(20) }
            #expect(difference(desired: desired, observed: seen, at: .some(Set(different + others))) == all)
            let none = difference(desired: desired, observed: seen, at: .none)
            #expect(none.isEmpty)
        }
    }

    /// Somebody has put a second route beside ours.
    @Test func aSecondObjectOfAKeyIsFound() {
        let key = Route.Key(table: TableID(7), destination: IPPrefix(IPAddress(v4: 1)))
        let (ours, theirs) = (Route.via(NexthopID(1), key), Route.blackhole(key))
        let desired = [Attributed(ours, from: .none)]
        let changes = difference(desired: desired, observed: [ours, theirs], at: .some([key]))
        #expect(changes.deletions == [theirs] && changes.counts.total == 1)
    }

    @Test func ofManyNothingIsKnown() {
        var keys = ChangedKeys<Int>.none
        keys.insert([1, 2])
        keys.formUnion(.some([2, 3]))
        #expect(keys == .some([1, 2, 3]))
        keys.insert(Array(0..<1000))
        #expect(keys == .some(Set(0..<1000)))
        keys.insert([1000])
        #expect(keys == .any)
        keys.insert([1])
        #expect(keys == .any)
    }
}
