/// Whether somebody answers ICMP echo requests: like ``BFDSession`` a value that is told what comes and what time it is.
public struct EchoSession: Sendable {
    public typealias Instant = ContinuousClock.Instant

    public struct Parameters: Hashable, Sendable {
        public var interval: Duration
        /// So many intervals without an answer, and it is down.
        public var patience: Int
        /// So many answers in a row, and it is up again.
        public var proof: Int

        public init(interval: Duration = .milliseconds(200), patience: Int = 3, proof: Int = 2) {
            (self.interval, self.patience, self.proof) = (interval, patience, proof)
        }
    }

    public let parameters: Parameters
    /// Of the requests.
    public let identifier: UInt16
    public private(set) var isUp = false

    private var sequence: UInt16 = 0
    private var nextRequest: Instant
    /// Those in a row that were answered.
    private var answers = 0
    private var lastAnswered: UInt16?
    private var lastAnswer: Instant?

    public init(identifier: UInt16, _ parameters: Parameters = Parameters(), at now: Instant) {
        (self.identifier, self.parameters) = (identifier, parameters)
        nextRequest = now
    }

    /// After how much silence it is held for gone.
    public var detectionTime: Duration { parameters.interval * parameters.patience }

    public var deadline: Instant {
        guard isUp, let lastAnswer else { return nextRequest }
        return min(nextRequest, lastAnswer + detectionTime)
    }

    /// Takes an answer. One to a request that is not among the last few says nothing of now, and a second one to the same
    /// request nothing new.
    public mutating func take(_ answered: UInt16, at now: Instant) {
        let age = sequence &- answered
        guard sequence != 0, age < UInt16(parameters.patience), answered != lastAnswered else { return }
        answers = lastAnswered.map { answered == $0 &+ 1 } ?? true ? answers + 1 : 1
        (lastAnswered, lastAnswer) = (answered, now)
        if answers >= parameters.proof { isUp = true }
    }

    /// Lets time pass.
    /// - Returns: the number of the request to be sent now.
    public mutating func advance(to now: Instant) -> UInt16? {
        if isUp, let lastAnswer, lastAnswer + detectionTime <= now { (isUp, answers) = (false, 0) }
        guard nextRequest <= now else { return nil }
        nextRequest = now + parameters.interval
        sequence &+= 1
        // 0 stands for none.
        if sequence == 0 { sequence = 1 }
        return sequence
    }
}
