import TestSupport
import Testing

@testable import Liveness

@Suite(.timeLimit(minutes: 10))
struct JudgeTests {
    private static let key = FactKey(.bfd, "fw")
    private let now = ContinuousClock.now

    private func isAlive(
        _ evidence: LivenessJudge.Evidence, remembered: Bool? = nil, after former: [LivenessJudge.Evidence] = [],
        in duration: Duration = .zero
    ) -> Bool {
        var judge = LivenessJudge(remembered: remembered.map { [Self.key: $0] } ?? [:])
        for evidence in former { _ = judge.judge(Self.key, evidence, at: now) }
        return judge.judge(Self.key, evidence, at: now + duration).isAlive
    }

    @Test func whatIsKnownCounts() {
        #expect(isAlive(.up, remembered: false))
        #expect(!isAlive(.down("it is gone"), remembered: true, after: [.up]))
    }

    @Test func nobodyIsDeadBecauseNobodyKnows() {
        for evidence in [.untold, .silent(hostAnswers: true), .unanswered(since: now, "")] as [LivenessJudge.Evidence] {
            #expect(isAlive(evidence))
            #expect(isAlive(evidence, after: [.up]))
            // Nor alive.
            #expect(!isAlive(evidence, remembered: false))
            #expect(!isAlive(evidence, after: [.down("")]))
        }
        #expect(isAlive(.unanswered(since: now, ""), in: .milliseconds(4999)))
        #expect(!isAlive(.unanswered(since: now, ""), in: .seconds(5)))
    }

    @Test func aHostThatIsGoneTakesItsGuestsWithIt() {
        #expect(!isAlive(.silent(hostAnswers: false), after: [.up]))
        // And is believed again when it has said something.
        #expect(!isAlive(.untold, after: [.up, .silent(hostAnswers: false)]))
        #expect(isAlive(.up, after: [.up, .silent(hostAnswers: false), .untold]))
    }

    @Test func whatIsToldIsWhatIsHeard() {
        #expect(LivenessJudge.Evidence([1]) == .up)
        #expect(LivenessJudge.Evidence.up.value(at: now) == [1])
        let down = LivenessJudge.Evidence.down("detection time expired")
        #expect(down.value(at: now).map { LivenessJudge.Evidence($0) } == down)
        #expect(LivenessJudge.Evidence.unanswered(since: now, "x").value(at: now) == nil)
        #expect(LivenessJudge.Evidence.unanswered(since: now, "x").value(at: now + .seconds(5)) == [0, 0x78])
        #expect(LivenessJudge.Evidence([]) == .down("its host says so"))
        #expect(LivenessJudge.Evidence([0] + Array("a\nb\u{7}ü".utf8)) == .down("ab"))
        let long = LivenessJudge.Evidence.down(String(repeating: "x", count: 1000)).value(at: now)
        #expect(long?.count == 201)
    }

    // MARK: - Who comes and goes

    /// Goes up and down as fast as it can.
    /// - Returns: when it was believed to be up again.
    private func flaps(every step: Duration, for duration: Duration) -> [Duration] {
        var (damping, believed, isTrusted) = (FlapDamping(), [] as [Duration], false)
        var (instant, isUp) = (now, true)
        while instant < now + duration {
            // Up until it is believed.
            if isUp, isTrusted { isUp = false } else { isUp = true }
            damping.note(isUp: isUp, at: instant)
            let trusted = damping.trustedFrom.map { $0 <= instant } ?? false
            if trusted, !isTrusted { believed.append(now.duration(to: instant)) }
            isTrusted = trusted
            instant += step
        }
        return believed
    }

    @Test func whoComesAndGoesIsBelievedLessAndLess() {
        let believed = flaps(every: .milliseconds(10), for: .seconds(3600))
        // At once, at once, after 1, 2, 4, … seconds.
        #expect(believed.prefix(2).allSatisfy { $0 < .milliseconds(50) })
        #expect(believed.count < 600)
        let gaps = zip(believed.dropFirst(2), believed.dropFirst()).map { $0 - $1 }
        #expect(gaps.allSatisfy { $0 >= .seconds(1) })
    }

    @Test func whoWasDownOnceIsBelievedAtOnce() {
        var damping = FlapDamping()
        for minute in 0..<10 {
            let instant = now + .seconds(Int64(minute) * 61)
            damping.note(isUp: true, at: instant)
            #expect(damping.trustedFrom == instant)
            damping.note(isUp: false, at: instant + .milliseconds(1))
            #expect(damping.trustedFrom == nil)
        }
    }

    @Test func afterManyFailuresAMinuteIsEnough() {
        var damping = FlapDamping()
        for number in 0..<50 {
            damping.note(isUp: true, at: now + .milliseconds(Int64(number) * 20))
            damping.note(isUp: false, at: now + .milliseconds(Int64(number) * 20 + 10))
        }
        let back = now + .seconds(2)
        damping.note(isUp: true, at: back)
        #expect(damping.trustedFrom == back + .seconds(60))
    }
}
