import Liveness
import TestSupport
import Testing

/// When a target is asked, and what is made of its answers.
@Suite(.timeLimit(minutes: 10)) struct HealthSessionTests {
    private static let check = HealthCheck(
        .tcp, port: 80, interval: .seconds(2), timeout: .milliseconds(500), healthy: 2, unhealthy: 3)
    private let begin = ContinuousClock.now

    /// After answers, one each two seconds: nil is a good one.
    private func session(after answers: [HealthFlaw?]) -> HealthSession {
        var session = HealthSession(Self.check, at: begin)
        for (number, answer) in answers.enumerated() {
            #expect(asks(&session, .seconds(2) * number))
            session.take(answer)
        }
        return session
    }

    private func asks(_ session: inout HealthSession, _ time: Duration) -> Bool { session.advance(to: begin + time) }

    @Test func theFirstAnswerCountsByItself() {
        #expect(!session(after: []).isKnown && !session(after: []).isUp)
        #expect(session(after: [nil]).isUp)
        #expect(session(after: ["it refuses connections"]).isKnown)
        #expect(!session(after: ["it refuses connections"]).isUp)
    }

    @Test func laterTurnsTakeAsManyInARowAsTheCheckSays() {
        #expect(session(after: [nil, "a", "b"]).isUp)
        #expect(!session(after: [nil, "a", "b", "c"]).isUp)
        #expect(session(after: [nil, "a", "b", nil, "c", "d"]).isUp)
        #expect(session(after: [nil, "a", "b", "c"]).flaw == "c")
        #expect(!session(after: ["a", nil]).isUp)
        #expect(session(after: ["a", nil, nil]).isUp)
        #expect(!session(after: ["a", nil, "b", nil]).isUp)
    }

    @Test func questionsComeAtTheInterval() {
        var session = HealthSession(Self.check, at: begin)
        #expect(session.deadline == begin)
        #expect(asks(&session, .zero))
        #expect(session.deadline == begin + .milliseconds(500))
        #expect(!asks(&session, .milliseconds(100)))
        session.take(nil)
        #expect(session.deadline == begin + .seconds(2))
        #expect(!asks(&session, .milliseconds(1999)))
        #expect(asks(&session, .seconds(2)))
    }

    @Test func whoIsLateHasNotAnswered() {
        var session = HealthSession(Self.check, at: begin)
        _ = session.advance(to: begin)
        #expect(!asks(&session, .milliseconds(500)))
        #expect(session.isKnown && !session.isUp)
        #expect(session.flaw == "no answer within 500ms")
        // What comes now is to nobody's question.
        session.take(nil)
        #expect(!session.isUp)
    }
}
