import IPAddressing
import Testing

@testable import GatewayPair

/// Two gateways in a time that only this moves: what each says arrives a little later, unless the way is cut.
private struct World {
    typealias Instant = ContinuousClock.Instant

    static let endpoint = IPAddress(v4: 0xAC1F_0064)
    static let interval = Duration.milliseconds(300)

    var machines: [PairMachine]
    var now = Instant.now
    var isCut = false
    var isAlive = [true, true]
    /// Who has the addresses in the kernel: as long as it is said, and a little longer where its process dies.
    var holdsUntil: [Instant]
    /// Whether somebody else answers for the endpoint.
    var hasStranger = false
    /// Whether one hears on the wire that the other one answers.
    var hasWire = true
    private var messages: [(arrival: Instant, to: Int, message: PairMessage)] = []
    private var nextQuestion: [Instant]
    var without = Duration.zero
    var longestWithout = Duration.zero
    var both = Duration.zero

    init() {
        machines = []
        (holdsUntil, nextQuestion) = ([now, now], [now, now])
        machines = [one(0), one(1)]
    }

    func one(_ number: Int) -> PairMachine {
        var machine = PairMachine(
            .init(
                endpoint: Self.endpoint, interval: Self.interval, multiplier: 3, rank: UInt8(number),
                number: UInt32(number + 11)), epoch: .random(in: 1 ... .max), at: now)
        machine.setFit(true, at: now)
        return machine
    }

    var holders: [Int] { machines.indices.filter { holdsUntil[$0] > now } }
    var active: [Int] { machines.indices.filter { isAlive[$0] && machines[$0].role == .active } }

    mutating func run(for duration: Duration) {
        let (end, step) = (now + duration, Duration.milliseconds(5))
        var stretch = Duration.zero
        while now < end {
            now += step
            stretch = holders.isEmpty ? stretch + step : .zero
            longestWithout = max(longestWithout, stretch)
            if holders.count == 2 { both += step }
            while let first = messages.firstIndex(where: { $0.arrival <= now }) {
                let message = messages.remove(at: first)
                guard isAlive[message.to], !isCut else { continue }
                if let answer = machines[message.to].take(message.message, at: now) { send(answer, to: 1 - message.to) }
            }
            for number in machines.indices where isAlive[number] { turn(number) }
        }
    }

    private mutating func turn(_ number: Int) {
        if machines[number].asksOnWire(at: now), nextQuestion[number] <= now {
            nextQuestion[number] = now + .milliseconds(100)
            let mac = MACAddress(rawValue: UInt64(2 - number))
            if hasWire, holdsUntil[1 - number] > now { machines[number].hears(Self.endpoint, from: mac, at: now) }
            if hasStranger { machines[number].hears(Self.endpoint, from: MACAddress(rawValue: 99), at: now) }
        }
        if machines[number].isAsked { machines[number].handOver(at: now) }
        if let message = machines[number].advance(to: now) { send(message, to: 1 - number) }
        if machines[number].holdsAddresses {
            holdsUntil[number] = now + .milliseconds(6)
        } else {
            holdsUntil[number] = now
        }
    }

    private mutating func send(_ message: PairMessage, to: Int) {
        if isCut { return }
        messages.append((now + .milliseconds(2), to, message))
    }

    /// - Parameter loan: How long the kernel leaves it the addresses.
    mutating func kill(_ number: Int, loan: Duration) {
        isAlive[number] = false
        holdsUntil[number] = loan == .zero ? now : max(holdsUntil[number], now + loan)
    }

    mutating func start(_ number: Int) {
        isAlive[number] = true
        machines[number] = one(number)
        holdsUntil[number] = now
    }

    mutating func count() { (longestWithout, both) = (.zero, .zero) }
}

@Suite(.timeLimit(minutes: 10)) struct PairMachineTests {
    @Test func thePreferredOneBeginsAndTheOtherOneStandsBy() {
        var world = World()
        world.run(for: .seconds(3))
        #expect(world.active == [0] && world.holders == [0])
        #expect(world.both == .zero)
    }

    @Test func whoDiesIsReplacedAndTakesNothingBack() {
        var world = World()
        world.run(for: .seconds(3))
        world.count()
        world.kill(0, loan: .zero)
        world.run(for: .seconds(3))
        #expect(world.active == [1] && world.longestWithout <= .milliseconds(1150))
        world.count()
        world.start(0)
        world.run(for: .seconds(5))
        #expect(world.active == [1] && world.holders == [1])
        #expect(world.longestWithout == .zero && world.both == .zero)
    }

    /// The kernel goes on forwarding there as long as the loan lasts: nobody takes the addresses meanwhile.
    @Test func whoseProcessDiesServesUntilTheLoanEnds() {
        var world = World()
        world.run(for: .seconds(3))
        world.count()
        world.kill(0, loan: .milliseconds(2500))
        world.run(for: .seconds(6))
        #expect(world.active == [1])
        #expect(world.both == .zero && world.longestWithout <= .milliseconds(400))
    }

    @Test func whoIsStartedAnewAtOnceIsReplacedAtOnce() {
        var world = World()
        world.run(for: .seconds(3))
        world.count()
        world.kill(0, loan: .milliseconds(20))
        world.run(for: .milliseconds(20))
        world.start(0)
        world.run(for: .seconds(2))
        #expect(world.active == [1])
        #expect(world.both == .zero && world.longestWithout <= .milliseconds(100))
    }

    @Test(arguments: [0, 1]) func handingOverLeavesNoMomentWithout(_ asking: Int) {
        var world = World()
        world.run(for: .seconds(3))
        world.count()
        if asking == 0 {
            let isOnTheWay = world.machines[0].handOver(at: world.now)
            #expect(isOnTheWay)
        } else {
            world.machines[1].ask(at: world.now)
        }
        world.run(for: .seconds(3))
        #expect(world.active == [1] && world.holders == [1])
        #expect(world.longestWithout == .zero)
        #expect(world.both <= .milliseconds(400))
        world.count()
        world.machines[0].ask(at: world.now)
        world.run(for: .seconds(3))
        #expect(world.active == [0] && world.holders == [0] && world.longestWithout == .zero)
    }

    /// Who asked for the place once, and got it, gives it away for good.
    @Test func whoHasAskedOnceDoesNotAskAgain() {
        var world = World()
        world.run(for: .seconds(3))
        world.machines[1].ask(at: world.now)
        world.run(for: .seconds(3))
        #expect(world.active == [1])
        world.machines[0].ask(at: world.now)
        for _ in 0..<40 {
            // It has something to say before it hears that the other one has taken over.
            world.machines[1].speakUp(at: world.now)
            world.run(for: .milliseconds(5))
        }
        world.run(for: .seconds(2))
        #expect(world.active == [0] && world.holders == [0])
    }

    @Test func whoEndsHandsOver() {
        var world = World()
        world.run(for: .seconds(3))
        world.count()
        world.machines[0].leave(at: world.now)
        world.run(for: .seconds(2))
        #expect(world.machines[0].hasLeft && world.active == [1] && world.longestWithout == .zero)
    }

    @Test func whoEndsAloneLeavesNothing() {
        var world = World()
        world.run(for: .seconds(3))
        world.kill(1, loan: .zero)
        world.run(for: .seconds(3))
        world.machines[0].leave(at: world.now)
        world.run(for: .milliseconds(50))
        #expect(world.machines[0].hasLeft && world.holders == [])
    }

    /// Both serve in a partition, each to those who reach it; afterwards one does, and both know that it was so.
    @Test func aPartitionEndsWithOne() {
        var world = World()
        world.run(for: .seconds(3))
        (world.isCut, world.hasWire) = (true, false)
        world.run(for: .seconds(3))
        #expect(world.active == [0, 1])
        (world.isCut, world.hasWire) = (false, true)
        world.run(for: .seconds(2))
        #expect(world.active == [0] && world.holders == [0])
        #expect(world.machines.allSatisfy { $0.conflicts > 0 })
    }

    /// Only the way between the two processes is cut: who hears on the wire that the other one serves leaves it to him.
    @Test func whoCannotBeHeardButAnswersStaysActive() {
        var world = World()
        world.run(for: .seconds(3))
        world.count()
        world.isCut = true
        world.run(for: .seconds(10))
        #expect(world.active == [0] && world.both == .zero && world.longestWithout == .zero)
        #expect(world.machines[1].stranger != nil)
    }

    @Test func anAddressThatSomebodyHasIsNotTaken() {
        var world = World()
        world.hasStranger = true
        world.run(for: .seconds(10))
        #expect(world.active == [])
        #expect(world.machines[0].stranger?.hardware == MACAddress(rawValue: 99))
        world.hasStranger = false
        world.run(for: .seconds(2))
        #expect(world.active == [0])
    }

    @Test func whoCannotServeDoesNot() {
        var world = World()
        world.run(for: .seconds(3))
        world.count()
        world.machines[0].setFit(false, at: world.now)
        world.run(for: .seconds(2))
        #expect(world.active == [1] && world.longestWithout <= .milliseconds(50))
        world.machines[1].setFit(false, at: world.now)
        world.run(for: .seconds(2))
        #expect(world.active == [] && world.holders == [])
    }

    /// What was recorded before, and is said again by somebody else, changes nothing.
    @Test func recordedMessagesAreNotBelieved() {
        var world = World()
        world.run(for: .seconds(3))
        var recorded = world.machines[0].own
        recorded.role = .unfit
        recorded.flags = [.leaves]
        recorded.echo = world.machines[1].own.epoch
        // Its counter is no new one.
        _ = world.machines[1].take(recorded, at: world.now)
        recorded.counter = .max
        recorded.echo = 7
        // It is of another life of the reader's.
        let answer = world.machines[1].take(recorded, at: world.now)
        #expect(answer?.echo == recorded.epoch)
        world.run(for: .seconds(1))
        #expect(world.active == [0])
    }
}
