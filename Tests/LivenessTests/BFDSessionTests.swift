import Liveness
import TestSupport
import Testing

/// Two ends and a link between them, in a time that only this moves.
private struct Link {
    typealias Instant = ContinuousClock.Instant

    var ends: [BFDSession]
    var now: Instant
    let begin: Instant
    var luck: Dice
    var delay = Duration.milliseconds(2)
    /// By end, whether what it sends arrives.
    var isOpen = [true, true]
    /// On their way, in the order of sending.
    private var packets: [(arrival: Instant, to: Int, bytes: [UInt8])] = []
    /// By end, when what was sent.
    var sent: [[(at: Duration, packet: BFDPacket)]] = [[], []]
    /// By end, when it became what.
    var changes: [[(at: Duration, state: BFDState)]] = [[], []]

    init(_ first: BFDSession.Parameters = .init(), _ second: BFDSession.Parameters = .init(), seed: UInt64 = 1) {
        begin = .now
        now = begin
        ends = [
            BFDSession(discriminator: 11, first, at: begin), BFDSession(discriminator: 22, second, at: begin),
        ]
        luck = Dice(seed: seed)
    }

    mutating func run(for duration: Duration) {
        let end = now + duration
        while true {
            let next = (ends.map(\.deadline) + packets.map(\.arrival)).min() ?? end
            guard next < end else { break }
            now = max(now, next)
            while let first = packets.firstIndex(where: { $0.arrival <= now }) {
                let (_, to, bytes) = packets.remove(at: first)
                // What one end says has to be a packet to the other.
                guard let packet = try? BFDPacket(bytes) else {
                    Issue.record("\(bytes) is no packet")
                    continue
                }
                let now = now
                observe(to) { $0.take(packet, at: now) }
            }
            for end in ends.indices {
                var packets: [BFDPacket] = []
                var dice = luck
                let now = now
                observe(end) { packets = $0.advance(to: now, using: &dice) }
                luck = dice
                for packet in packets { send(packet, from: end) }
            }
        }
        now = end
    }

    mutating func send(_ packet: BFDPacket, from end: Int) {
        sent[end].append((now - begin, packet))
        if isOpen[end] { packets.append((now + delay, 1 - end, packet.bytes)) }
    }

    private mutating func observe(_ end: Int, _ body: (inout BFDSession) -> Void) {
        let former = ends[end].state
        body(&ends[end])
        if ends[end].state != former { changes[end].append((now - begin, ends[end].state)) }
    }

    func gaps(of end: Int, from: Duration) -> [Duration] {
        let times = sent[end].map(\.at).filter { $0 >= from }
        return zip(times.dropFirst(), times).map { $0 - $1 }
    }
}

@Suite(.timeLimit(minutes: 10))
struct BFDSessionTests {
    private static func up(
        _ first: BFDSession.Parameters = .init(), _ second: BFDSession.Parameters = .init()
    ) -> Link {
        var link = Link(first, second)
        link.run(for: .seconds(5))
        #expect(link.ends.map(\.state) == [.up, .up])
        return link
    }

    @Test func bothEndsComeUpWithinTwoSlowIntervals() {
        let link = Self.up()
        for changes in link.changes {
            #expect(changes.map(\.state) == [.initializing, .up] || changes.map(\.state) == [.up])
            #expect(changes.allSatisfy { $0.at < .seconds(2) })
        }
        #expect(link.ends.map(\.detectionTime) == [.milliseconds(600), .milliseconds(600)])
    }

    /// RFC 5880, section 6.8.3: not more than once a second as long as it is not up, changes of state aside.
    @Test func nobodyHearingItIsSentAPacketASecond() {
        var link = Link()
        link.isOpen = [false, false]
        link.run(for: .seconds(60))
        #expect((60...81).contains(link.sent[0].count))
        #expect(link.gaps(of: 0, from: .zero).allSatisfy { $0 >= .milliseconds(750) && $0 <= .seconds(1) })
        #expect(link.sent[0].allSatisfy { $0.packet.desiredMinimumTransmit == 1_000_000 })
    }

    @Test func whatIsSentWhenUpIsJittered() {
        var link = Self.up()
        link.run(for: .seconds(60))
        let gaps = link.gaps(of: 0, from: .seconds(5))
        #expect(gaps.allSatisfy { $0 >= .milliseconds(150) && $0 <= .milliseconds(200) })
        #expect(Set(gaps).count > 10)
        #expect(link.changes.map(\.last?.state) == [.up, .up])
    }

    @Test func theSlowerEndDecides() {
        var slow = BFDSession.Parameters()
        (slow.receiveInterval, slow.detectMultiplier) = (.milliseconds(500), 5)
        var link = Self.up(.init(), slow)
        link.run(for: .seconds(20))
        #expect(link.gaps(of: 0, from: .seconds(6)).allSatisfy { $0 >= .milliseconds(375) && $0 <= .milliseconds(500) })
        #expect(link.ends[0].detectionTime == .milliseconds(1000))
        #expect(link.ends[1].detectionTime == .milliseconds(1500))
    }

    @Test func silenceIsFoundOutWithinTheDetectionTime() {
        var link = Self.up()
        link.isOpen = [true, false]
        let cut = link.now - link.begin
        link.run(for: .seconds(1))
        // The end that hears nothing, and the one that it tells.
        #expect(link.changes[0].last?.state == .down)
        #expect(link.ends[0].diagnostic == .detectionTimeExpired)
        let found = (link.changes[0].last?.at ?? .zero) - cut
        #expect(found <= .milliseconds(602) && found >= .milliseconds(400))
        #expect(link.ends[1].diagnostic == .neighborSignaledDown)
        let told = (link.changes[1].first { $0.at > cut }?.at ?? .zero) - cut
        #expect(told <= found + .milliseconds(20))
        link.isOpen = [true, true]
        link.run(for: .seconds(3))
        #expect(link.ends.map(\.state) == [.up, .up])
    }

    @Test func whoIsSwitchedOffIsNoFailure() {
        var link = Self.up()
        link.send(link.ends[1].end(), from: 1)
        link.run(for: .milliseconds(50))
        #expect(link.ends[0].state == .down && link.ends[0].diagnostic == .neighborSignaledDown)
        #expect(link.ends[0].remoteState == .adminDown)
        link.run(for: .seconds(10))
        // It goes on saying so, and the other one does not come up against it.
        #expect(link.ends.map(\.state) == [.down, .adminDown])
    }

    @Test func anEndThatWasStartedAnewComesUpAgain() {
        var link = Self.up()
        link.ends[1] = BFDSession(discriminator: 33, at: link.now)
        link.run(for: .seconds(4))
        #expect(link.ends.map(\.state) == [.up, .up])
        #expect(link.changes[0].map(\.state).suffix(3).contains(.down))
    }

    /// RFC 5880, section 6.5: what is asked for anew is asked for with P until it is answered with F.
    @Test func goingUpIsPolledForUntilItIsAnswered() {
        let link = Self.up()
        for end in 0...1 {
            let polls = link.sent[end].filter(\.packet.isPoll)
            #expect(!polls.isEmpty && polls.allSatisfy { $0.packet.state == .up && !$0.packet.isFinal })
            #expect(link.sent[1 - end].contains { $0.packet.isFinal && !$0.packet.isPoll })
            #expect((polls.last?.at ?? .zero) < .seconds(3))
        }
    }

    @Test func anotherSessionsPacketsAreNotTaken() {
        var link = Self.up()
        let stray = BFDPacket(
            .down, detectMultiplier: 3, from: 99, to: 12, desiredMinimumTransmit: 1, requiredMinimumReceive: 1)
        let (state, now) = (link.ends[0].state, link.now)
        let isTaken = link.ends[0].take(stray, at: now)
        #expect(!isTaken)
        #expect(link.ends[0].state == state)
    }

    /// A guest that is about to die must not be able to say that it lives for the next hour.
    @Test func theOtherEndDoesNotDecideHowLongItIsWaitedFor() {
        let patient = BFDSession.Parameters(
            transmitInterval: .seconds(1000), receiveInterval: .milliseconds(200), detectMultiplier: 255)
        var session = BFDSession(discriminator: 1, at: .now)
        let begin = ContinuousClock.now
        var other = BFDSession(discriminator: 2, patient, at: begin)
        var luck = Dice(seed: 1)
        var now = begin
        for _ in 0..<3 {
            for packet in other.advance(to: now, using: &luck) { session.take(packet, at: now) }
            for packet in session.advance(to: now, using: &luck) { other.take(packet, at: now) }
            now += .milliseconds(20)
        }
        #expect(session.state == .up)
        #expect(session.detectionTime == .seconds(3))
        _ = session.advance(to: now + .seconds(3), using: &luck)
        #expect(session.state == .down)
    }

    /// Polls cost an answer each, but no more than a hundred a second.
    @Test func aFloodOfPollsIsAnsweredNowAndThen() {
        var link = Self.up()
        let former = link.sent[0].count
        for _ in 0..<1000 {
            var poll = BFDPacket(
                .up, detectMultiplier: 3, from: 22, to: 11, desiredMinimumTransmit: 1, requiredMinimumReceive: 1)
            poll.isPoll = true
            link.ends[0].take(poll, at: link.now)
            link.run(for: .milliseconds(1))
        }
        #expect(link.sent[0].count - former <= 110)
    }

    @Test func anEndThatWantsNoPacketsGetsNone() {
        var link = Self.up()
        link.isOpen = [true, false]
        var quiet = BFDPacket(
            .up, detectMultiplier: 255, from: 22, to: 11, desiredMinimumTransmit: 1_000_000, requiredMinimumReceive: 0)
        link.ends[0].take(quiet, at: link.now)
        let former = link.sent[0].count
        link.run(for: .seconds(2))
        #expect(link.sent[0].count == former)
        quiet.requiredMinimumReceive = 1
        link.ends[0].take(quiet, at: link.now)
        link.run(for: .seconds(2))
        #expect(link.sent[0].count > former)
    }

    /// Whatever is lost: nobody stays in a state that the other one does not know of once the link is good.
    @Test(arguments: Seeds.fresh()) func badLinksLeaveNothingBehind(_ seed: UInt64) {
        var dice = Dice(seed: seed)
        var link = Link(seed: seed)
        for _ in 0..<200 {
            link.isOpen = [dice.happens(60), dice.happens(60)]
            link.delay = .milliseconds(Int64.random(in: 1...300, using: &dice))
            if dice.happens(10) {
                let end = Int.random(in: 0...1, using: &dice)
                link.ends[end] = BFDSession(discriminator: .random(in: 1 ... .max, using: &dice), at: link.now)
            }
            link.run(for: .milliseconds(Int64.random(in: 1...2000, using: &dice)))
        }
        (link.isOpen, link.delay) = ([true, true], .milliseconds(1))
        link.run(for: .seconds(10))
        #expect(link.ends.map(\.state) == [.up, .up], "seed \(seed)")
    }
}

@Suite(.timeLimit(minutes: 10))
struct EchoSessionTests {
    @Test func silenceAndAnswersAreFoundOut() {
        let begin = ContinuousClock.now
        var session = EchoSession(identifier: 7, at: begin)
        var (now, wentDown) = (begin, nil as ContinuousClock.Instant?)
        var isAnswering = true
        var stopped = begin
        for step in 0..<400 {
            now = begin + .milliseconds(Int64(step) * 10)
            if step == 200 { (isAnswering, stopped) = (false, now) }
            if let request = session.advance(to: now), isAnswering { session.take(request, at: now) }
            if step == 30 { #expect(session.isUp) }
            if !isAnswering, !session.isUp, wentDown == nil { wentDown = now }
        }
        let took = (wentDown ?? .now) - stopped
        #expect(took <= .milliseconds(610) && took >= .milliseconds(400))
    }

    @Test func oneAnswerIsNoProofAndAnOldOneNone() {
        let begin = ContinuousClock.now
        var session = EchoSession(identifier: 7, at: begin)
        var requests: [UInt16] = []
        for step in 0..<10 {
            if let one = session.advance(to: begin + .milliseconds(Int64(step) * 200)) { requests.append(one) }
        }
        let now = begin + .milliseconds(1800)
        session.take(requests[0], at: now)
        session.take(requests[1], at: now)
        #expect(!session.isUp)
        session.take(requests[9], at: now)
        session.take(requests[9], at: now)
        #expect(!session.isUp)
        session.take(1000, at: now)
        #expect(!session.isUp)
    }
}
