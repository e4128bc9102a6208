/// How one question to a target ended: nil with a good answer; else what was wrong, in one phrase.
public typealias HealthFlaw = String

/// Whether a target is healthy: like ``BFDSession`` a value that is told what comes and what time it is.
///
/// The first answer counts by itself: a target that has just come is used as soon as it has answered once, and not used
/// where it cannot. Later turns take as many in a row as the check says.
public struct HealthSession: Sendable {
    public typealias Instant = ContinuousClock.Instant

    public let check: HealthCheck
    public private(set) var isUp = false
    /// Whether a question has ended.
    public private(set) var isKnown = false
    /// What was wrong last; nil after a good answer.
    public private(set) var flaw: HealthFlaw?

    /// When the question was put that has no answer yet.
    private var asked: Instant?
    private var nextQuestion: Instant
    /// Good ones if positive, bad ones if negative.
    private var row = 0

    public init(_ check: HealthCheck, at now: Instant) {
        self.check = check
        nextQuestion = now
    }

    /// After how long it is found out, at the latest, that a target does not answer any more.
    public var detectionTime: Duration { check.interval * check.unhealthy + check.timeout }

    /// Whether there is a question without an answer.
    public var isAsking: Bool { asked != nil }

    public var deadline: Instant { asked.map { $0 + check.timeout } ?? nextQuestion }

    /// Lets time pass. A question that was not answered in time is bad.
    /// - Returns: whether the next one is to be put now; by then the former one is over.
    public mutating func advance(to now: Instant) -> Bool {
        if let asked {
            guard asked + check.timeout <= now else { return false }
            take("no answer within \(check.timeout.inWords)")
        }
        guard nextQuestion <= now else { return false }
        (asked, nextQuestion) = (now, now + check.interval)
        return true
    }

    /// Takes the end of the question that was put last.
    public mutating func take(_ flaw: HealthFlaw?) {
        guard asked != nil else { return }
        (asked, self.flaw) = (nil, flaw)
        row = flaw == nil ? max(row, 0) + 1 : min(row, 0) - 1
        let isTurn = row >= check.healthy || -row >= check.unhealthy
        if isTurn || !isKnown { isUp = flaw == nil }
        isKnown = true
    }
}

extension Duration {
    /// As in manifests: `2s`, `300ms`.
    fileprivate var inWords: String {
        let milliseconds = self / .milliseconds(1)
        return milliseconds.truncatingRemainder(dividingBy: 1000) == 0
            ? "\(Int(milliseconds / 1000))s" : "\(Int(milliseconds))ms"
    }
}
