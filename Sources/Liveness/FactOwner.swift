/// The facts of this host, and what each of its readers has of them. A value like ``BFDSession``.
public struct FactOwner<Reader: Hashable & Comparable & Sendable>: Sendable {
    public typealias Instant = ContinuousClock.Instant

    public let epoch: UInt64
    public private(set) var version: UInt64 = 1
    /// With the version that each came by.
    private var facts: [FactKey: (value: FactValue, version: UInt64)] = [:]
    /// The names of facts that are gone, in the order in which they went.
    private var gone: [(key: FactKey, version: UInt64)] = []
    /// Who has not all since then has to be sent everything: what is gone was forgotten.
    private var memory: UInt64 = 0
    private var readers: [Reader: State] = [:]
    private var sequence: UInt64 = 0

    private struct State {
        var challenge: UInt64 = 0
        var acknowledged: UInt64 = 0
        /// The version when it was last sent everything, or the first part of it: what has gone since it has to be told.
        var base: UInt64 = 0
        var nextBeat: Instant
        var nextUpdate: Instant
        var delay = FactTiming.shortestRetry
    }

    /// What is gone is remembered for so many facts.
    private static var longestMemory: Int { 1024 }

    /// - Parameter epoch: Another one with every start.
    public init(epoch: UInt64) { self.epoch = epoch }

    public func value(of key: FactKey) -> FactValue? { facts[key]?.value }

    public var keys: [FactKey] { facts.keys.sorted() }

    // MARK: What changes

    /// Says who is to be told. Who is new is told everything.
    public mutating func setReaders(_ now: Set<Reader>, at instant: Instant) {
        for reader in readers.keys where !now.contains(reader) { readers[reader] = nil }
        for reader in now where readers[reader] == nil {
            readers[reader] = State(nextBeat: instant, nextUpdate: instant)
        }
    }

    /// - Parameter value: Nil: there is no such fact any more.
    public mutating func set(_ key: FactKey, to value: FactValue?, at now: Instant) {
        precondition(key.name.utf8.count <= FactKey.longestName && value?.count ?? 0 <= FactMessage.longestValue)
        guard facts[key]?.value != value else { return }
        version += 1
        gone.removeAll { $0.key == key }
        if let value {
            facts[key] = (value, version)
        } else {
            facts[key] = nil
            gone.append((key, version))
            if gone.count > Self.longestMemory { memory = gone.removeFirst().version }
        }
        for reader in readers.keys {
            readers[reader]?.nextUpdate = now
            readers[reader]?.delay = FactTiming.shortestRetry
        }
    }

    // MARK: Messages

    /// Takes an acknowledgement.
    public mutating func take(_ message: FactMessage, from reader: Reader, at now: Instant) {
        guard case .acknowledgement(let has, let base) = message.content, var state = readers[reader] else { return }
        let isNew = message.challenge != state.challenge
        if isNew { (state.challenge, state.acknowledged, state.base) = (message.challenge, 0, 0) }
        // Else what it has is of an earlier owner, or of before it was sent everything anew.
        let isOfThese = message.epoch == epoch && base == state.base && base != 0
        let acknowledged = isOfThese ? min(has, version) : 0
        state.acknowledged = max(state.acknowledged, acknowledged)
        if acknowledged < version, isNew || acknowledged > 0 {
            // It has taken one part and waits for the next, or asks.
            (state.nextUpdate, state.delay) = (now, FactTiming.shortestRetry)
        }
        readers[reader] = state
    }

    public var deadline: Instant? {
        readers.values.map { lacks($0) ? min($0.nextBeat, $0.nextUpdate) : $0.nextBeat }.min()
    }

    /// Whether it has asked, and something is missing.
    private func lacks(_ reader: State) -> Bool { reader.challenge != 0 && reader.acknowledged < version }

    /// Lets time pass.
    /// - Returns: what is to be sent now, and to whom.
    public mutating func advance(to now: Instant) -> [(reader: Reader, message: FactMessage)] {
        var messages: [(Reader, FactMessage)] = []
        for reader in readers.keys.sorted() {
            guard var state = readers[reader] else { continue }
            var content: FactMessage.Content?
            if lacks(state), state.nextUpdate <= now {
                if state.acknowledged == 0 || max(state.acknowledged, state.base) < memory {
                    (state.acknowledged, state.base) = (0, version)
                }
                content = .update(update(after: state.acknowledged, base: state.base))
                state.nextUpdate = now + state.delay
                state.delay = min(state.delay * 2, FactTiming.longestRetry)
            } else if state.nextBeat <= now {
                content = .beat(version: version)
            }
            guard let content else { continue }
            state.nextBeat = now + FactTiming.beat
            sequence += 1
            messages.append(
                (reader, FactMessage(epoch: epoch, challenge: state.challenge, sequence: sequence, content)))
            readers[reader] = state
        }
        return messages
    }

    /// - Parameter after: 0: all facts.
    private func update(after: UInt64, base: UInt64) -> FactUpdate {
        var changes = facts.filter { $0.value.version > after }.map {
            (FactUpdate.Change($0.key, $0.value.value), $0.value.version)
        }
        if after > 0 {
            changes += gone.filter { $0.version > after }.map { (FactUpdate.Change($0.key, nil), $0.version) }
        }
        changes.sort { $0.1 < $1.1 }
        var (update, size) = (FactUpdate(after: after, upTo: version, latest: version, base: base, []), 64)
        for (change, version) in changes {
            size += change.bytes.count
            if size > FactMessage.longestContent { break }
            update.changes.append(change)
            update.upTo = version
        }
        if update.changes.count == changes.count { update.upTo = version }
        return update
    }
}

/// How often owners speak, and when they are held for silent.
public enum FactTiming {
    /// Of an owner that has nothing new to say.
    public static let beat = Duration.milliseconds(200)
    /// After that much silence an owner is no longer there. Three beats, and what a busy processor may take from them.
    public static let silence = Duration.milliseconds(700)
    /// How long an owner waits for an acknowledgement, longer each time.
    static let shortestRetry = Duration.milliseconds(50)
    static let longestRetry = Duration.seconds(1)
    /// How often a reader asks an owner that it knows nothing of.
    static let question = Duration.milliseconds(500)
    /// Between two answers of a reader, whatever comes.
    static let shortestAnswer = Duration.milliseconds(2)
}
