import Liveness
import TestSupport
import Testing

/// Several that stand for one place, and what they hear of each other, in a time that only this moves.
private struct Poll {
    typealias Instant = ContinuousClock.Instant

    var all: [Election]
    var now: Instant
    /// Who hears whom.
    var isOpen: [[Bool]]
    var delay = Duration.milliseconds(2)
    private var messages: [(arrival: Instant, from: Int, to: Int, message: Election.Advertisement)] = []
    /// Time in which nobody served, and in which several did.
    var without = Duration.zero
    var split = Duration.zero
    /// The longest stretch of each.
    var longest = (without: Duration.zero, split: Duration.zero)
    private var stretch = (without: Duration.zero, split: Duration.zero)

    init(priorities: UInt8...) {
        now = .now
        all = []
        isOpen = priorities.map { _ in priorities.map { _ in true } }
        for (number, priority) in priorities.enumerated() { all.append(one(number, priority)) }
    }

    func one(_ number: Int, _ priority: UInt8) -> Election {
        var election = Election(.init(priority: priority, number: UInt64(number + 1)), at: now)
        election.setFit(true, at: now)
        return election
    }

    var active: [Int] { all.indices.filter { all[$0].role == .active } }

    mutating func run(for duration: Duration) {
        let end = now + duration
        while true {
            let next = min((all.map(\.deadline) + messages.map(\.arrival)).min() ?? end, end)
            pass(to: max(next, now))
            if now >= end { return }
            while let first = messages.firstIndex(where: { $0.arrival <= now }) {
                let message = messages.remove(at: first)
                all[message.to].take(message.message, at: now)
            }
            for from in all.indices {
                guard let message = all[from].advance(to: now) else { continue }
                for to in all.indices where to != from && isOpen[from][to] {
                    messages.append((now + delay, from, to, message))
                }
            }
        }
    }

    private mutating func pass(to instant: Instant) {
        let passed = now.duration(to: instant)
        stretch.without = active.isEmpty ? stretch.without + passed : .zero
        stretch.split = active.count > 1 ? stretch.split + passed : .zero
        if active.isEmpty { without += passed }
        if active.count > 1 { split += passed }
        longest = (max(longest.without, stretch.without), max(longest.split, stretch.split))
        now = instant
    }

    mutating func forget() {
        (without, split, longest, stretch) = (.zero, .zero, (.zero, .zero), (.zero, .zero))
    }
}

@Suite(.timeLimit(minutes: 10))
struct ElectionTests {
    private static func settled() -> Poll {
        var poll = Poll(priorities: 200, 100, 100)
        poll.run(for: .seconds(5))
        #expect(poll.active == [0])
        poll.forget()
        return poll
    }

    @Test func theFirstOfThemServesAndOnlyIt() {
        var poll = Poll(priorities: 100, 200, 150)
        poll.run(for: .seconds(5))
        #expect(poll.active == [1] && poll.split == .zero)
        #expect(poll.longest.without < .milliseconds(1200))
    }

    /// Of the same priority the greater number is first, later by the time on the wire at the most.
    @Test func equalsAreToldApart() {
        var poll = Poll(priorities: 100, 100)
        poll.run(for: .seconds(5))
        #expect(poll.active == [1])
        #expect(poll.longest.split <= .milliseconds(5))
    }

    @Test func deathIsMadeUpForInTime() {
        var poll = Self.settled()
        poll.isOpen[0] = [false, false, false]
        poll.run(for: .seconds(5))
        // The dead one knows nothing of it: those who are left have one.
        #expect(poll.active.count == 2 && poll.active.contains(0))
        poll = Self.settled()
        poll.all[0] = Election(.init(priority: 200, number: 1), at: poll.now)
        poll.run(for: .seconds(5))
        #expect(poll.active.count == 1 && poll.active != [0])
        // Three intervals and what tells the standbys apart.
        #expect(poll.longest.without <= .milliseconds(1100) && poll.longest.without >= .milliseconds(600))
    }

    @Test func whoGivesUpIsFollowedSoon() {
        var poll = Self.settled()
        poll.all[0].setFit(false, at: poll.now)
        poll.run(for: .seconds(2))
        #expect(poll.active == [2] && poll.split <= .milliseconds(5))
        #expect(poll.longest.without < .milliseconds(200))
    }

    @Test func whoIsBackDoesNotTakeThePlace() {
        var poll = Self.settled()
        poll.all[0].setFit(false, at: poll.now)
        poll.run(for: .seconds(2))
        poll.forget()
        poll.all[0].setFit(true, at: poll.now)
        poll.run(for: .seconds(10))
        #expect(poll.active == [2] && poll.split == .zero && poll.without == .zero)
        // Unless somebody wants it.
        poll.all[0].preempt(at: poll.now)
        poll.run(for: .seconds(2))
        #expect(poll.active == [0] && poll.longest.split <= .milliseconds(5) && poll.without == .zero)
        poll.all[0].resign(at: poll.now)
        poll.run(for: .seconds(2))
        #expect(poll.active == [2] && poll.longest.without < .milliseconds(200))
    }

    @Test func twoThatMeetAreOneAtOnce() {
        var poll = Self.settled()
        poll.isOpen[0] = [true, false, false]
        poll.run(for: .seconds(3))
        #expect(poll.active.count == 2)
        poll.forget()
        poll.isOpen[0] = [true, true, true]
        poll.run(for: .seconds(3))
        #expect(poll.active == [0] && poll.longest.split <= .milliseconds(310))
    }

    @Test func nobodyIsWaitedForAsLongAsHeLikes() {
        var poll = Self.settled()
        for number in 1...2 {
            poll.all[number].take(.init(priority: 200, number: 1, interval: .seconds(1000)), at: poll.now)
        }
        poll.all[0] = Election(.init(priority: 200, number: 1), at: poll.now)
        poll.run(for: .seconds(6))
        #expect(poll.active.count == 1)
    }

    @Test func whoIsNotFitNeverServes() {
        var poll = Poll(priorities: 100, 100)
        for number in 0...1 { poll.all[number].setFit(false, at: poll.now) }
        poll.run(for: .seconds(10))
        #expect(poll.active.isEmpty)
        poll.all[0].preempt(at: poll.now)
        poll.run(for: .seconds(10))
        #expect(poll.active.isEmpty)
    }

    /// Whatever happens to them and between them: in peace there is one, and never two for longer than an advertisement takes.
    @Test(arguments: Seeds.fresh(with: 1, 2)) func inPeaceThereIsOne(_ seed: UInt64) {
        var dice = Dice(seed: seed)
        for _ in 0..<40 {
            var poll = Poll(priorities: dice.pick([100, 150, 200]), dice.pick([100, 150]), dice.pick([100, 254]))
            for _ in 0..<40 {
                let one = Int.random(in: 0..<3, using: &dice)
                switch Int.random(in: 0..<6, using: &dice) {
                case 0: poll.all[one].setFit(dice.happens(70), at: poll.now)
                case 1: poll.all[one] = poll.one(one, poll.all[one].parameters.priority)
                case 2: poll.all[one].preempt(at: poll.now)
                case 3: poll.all[one].resign(at: poll.now)
                default: poll.isOpen[one][Int.random(in: 0..<3, using: &dice)] = dice.happens(60)
                }
                poll.run(for: .milliseconds(Int64.random(in: 0...800, using: &dice)))
            }
            poll.isOpen = Array(repeating: [true, true, true], count: 3)
            poll.all[Int.random(in: 0..<3, using: &dice)].setFit(true, at: poll.now)
            poll.forget()
            poll.run(for: .seconds(10))
            #expect(poll.active.count == 1, "seed \(seed)")
            #expect(poll.longest.split <= .milliseconds(310), "seed \(seed)")
            #expect(poll.longest.without <= .milliseconds(1200), "seed \(seed)")
        }
    }
}
