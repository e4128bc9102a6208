/// What this host was told by others. A value like ``BFDSession``.
///
/// What is known of an owner stays as it is when the owner falls silent: what to make of that is for those to say who use
/// the fact (``silence(of:at:)``). An owner that was started anew is believed what it says then, and nothing it has not
/// said yet.
public struct FactReader<Owner: Hashable & Comparable & Sendable>: Sendable {
    public typealias Instant = ContinuousClock.Instant

    fileprivate var owners: [Owner: State] = [:]

    fileprivate struct State {
        /// Of the owner that was heard last and had been asked; 0: there was none.
        var epoch: UInt64 = 0
        var challenge: UInt64 = 0
        var sequence: UInt64 = 0
        var version: UInt64 = 0
        var base: UInt64 = 0
        var facts: [FactKey: FactValue] = [:]
        /// The facts of an owner that begins with all of them, as long as some are missing.
        var incoming: (facts: [FactKey: FactValue], version: UInt64, base: UInt64)?
        /// What an owner that is not known is asked to repeat.
        var question: UInt64?
        var nextQuestion: Instant
        var owesAnswer = false
        var lastAnswer: Instant?
        var heard: Instant?
    }

    /// An owner that has more is not heard out.
    public static var mostFacts: Int { 4096 }

    public init() {}

    /// Says who is to be listened to. Whoever is new is asked for everything.
    public mutating func setOwners(
        _ now: Set<Owner>, at instant: Instant, using luck: inout some RandomNumberGenerator
    ) {
        for owner in owners.keys where !now.contains(owner) { owners[owner] = nil }
        for owner in now where owners[owner] == nil {
            owners[owner] = State(question: .random(in: 1 ... .max, using: &luck), nextQuestion: instant)
        }
    }

    /// What an owner said last; nil where it said nothing of it.
    public func value(of key: FactKey, by owner: Owner) -> FactValue? { owners[owner]?.facts[key] }

    public func facts(of owner: Owner) -> [FactKey: FactValue] { owners[owner]?.facts ?? [:] }

    /// Since when nothing was heard of an owner; nil where nothing ever was.
    public func silence(of owner: Owner, at now: Instant) -> Duration? { owners[owner]?.heard.map { now - $0 } }

    // MARK: Messages

    /// Takes what an owner has sent.
    /// - Returns: whether facts are others than before.
    public mutating func take(
        _ message: FactMessage, from owner: Owner, at now: Instant, using luck: inout some RandomNumberGenerator
    ) -> Bool {
        guard var state = owners[owner] else { return false }
        defer { owners[owner] = state }
        if case .acknowledgement = message.content { return false }
        if let question = state.question, message.challenge == question, message.epoch != 0 {
            // It has repeated what it could know from nowhere else.
            state.begin(message.epoch, question)
        } else if state.epoch == 0 || message.epoch != state.epoch || message.challenge != state.challenge {
            // It may be an owner that was started anew; or somebody who repeats what one has said before.
            if state.question == nil {
                // Not as often as somebody may like: each question is answered with everything.
                state.question = .random(in: 1 ... .max, using: &luck)
                state.nextQuestion = max(now, state.nextQuestion)
            }
            return false
        }
        guard message.sequence > state.sequence else { return false }
        (state.sequence, state.heard) = (message.sequence, now)
        switch message.content {
        case .beat(let version):
            if version != state.version || state.incoming != nil { state.owesAnswer = true }
            return false
        case .update(let update):
            state.owesAnswer = true
            return state.take(update, atMost: Self.mostFacts)
        case .acknowledgement: return false
        }
    }

    public var deadline: Instant? { owners.values.compactMap(\.deadline).min() }

    /// Lets time pass.
    /// - Returns: what is to be sent now, and to whom.
    public mutating func advance(to now: Instant) -> [(owner: Owner, message: FactMessage)] {
        var messages: [(Owner, FactMessage)] = []
        for owner in owners.keys.sorted() {
            guard var state = owners[owner], let deadline = state.deadline, deadline <= now else { continue }
            messages.append((owner, state.answer(at: now)))
            owners[owner] = state
        }
        return messages
    }
}

extension FactReader.State {
    fileprivate mutating func begin(_ epoch: UInt64, _ challenge: UInt64) {
        // What another run has said is of no use: it does not know whether that has changed since.
        if epoch != self.epoch { (facts, sequence) = ([:], 0) }
        (self.epoch, self.challenge, version, base) = (epoch, challenge, 0, 0)
        (incoming, question) = (nil, nil)
    }

    fileprivate mutating func take(_ update: FactUpdate, atMost limit: Int) -> Bool {
        if update.after == 0 { incoming = ([:], 0, update.base) }
        if var known = incoming {
            guard update.base == known.base, update.after <= known.version else { return false }
            known.facts.apply(update.changes, atMost: limit)
            known.version = max(known.version, update.upTo)
            incoming = known
            guard update.upTo == update.latest else { return false }
            incoming = nil
            defer { (facts, version, base) = known }
            return facts != known.facts
        }
        guard version != 0, update.base == base, update.after <= version else { return false }
        let former = facts
        facts.apply(update.changes, atMost: limit)
        version = max(version, update.upTo)
        return facts != former
    }

    fileprivate var deadline: ContinuousClock.Instant? {
        let answer = owesAnswer ? lastAnswer.map { $0 + FactTiming.shortestAnswer } ?? nextQuestion : nil
        return [answer, question == nil ? nil : nextQuestion].compactMap(\.self).min()
    }

    fileprivate mutating func answer(at now: ContinuousClock.Instant) -> FactMessage {
        if let question, nextQuestion <= now {
            nextQuestion = now + FactTiming.question
            return FactMessage(epoch: 0, challenge: question, sequence: 0, .acknowledgement(version: 0, base: 0))
        }
        (owesAnswer, lastAnswer) = (false, now)
        let (has, base) = incoming.map { ($0.version, $0.base) } ?? (version, base)
        return FactMessage(epoch: epoch, challenge: challenge, sequence: 0, .acknowledgement(version: has, base: base))
    }
}

extension [FactKey: FactValue] {
    fileprivate mutating func apply(_ changes: [FactUpdate.Change], atMost limit: Int) {
        for change in changes where change.value == nil || self[change.key] != nil || count < limit {
            self[change.key] = change.value
        }
    }
}
