public import IPAddressing
public import Liveness

/// Decides for one gateway of a pair whether it is to have the addresses. A value that is told what comes and what time it
/// is, as ``Election``, which it is built upon; what the election leaves to its user is here: who is believed, what is asked
/// on the wire, and how one hands over to the other without a packet lost.
public struct PairMachine: Sendable {
    public typealias Instant = ContinuousClock.Instant

    public struct Parameters: Hashable, Sendable {
        public var endpoint: IPAddress
        public var interval: Duration
        public var multiplier: Int
        /// 0: preferred.
        public var rank: UInt8
        /// Tells two of the same rank apart, which a manifest that is just being changed can make: the underlay address.
        public var number: UInt32

        public init(endpoint: IPAddress, interval: Duration, multiplier: Int, rank: UInt8, number: UInt32) {
            (self.endpoint, self.interval, self.multiplier) = (endpoint, interval, multiplier)
            (self.rank, self.number) = (rank, number)
        }
    }

    /// The other one, as it was heard last.
    public struct Peer: Hashable, Sendable {
        public var message: PairMessage
        public var heard: Instant
    }

    public let parameters: Parameters
    public private(set) var peer: Peer?
    /// When both believed to be active last.
    public private(set) var lastConflict: Instant?
    public private(set) var conflicts = 0
    /// Since when it has been what it is.
    public private(set) var since: Instant
    /// What is said of this one; the user sets what it knows.
    public var own: PairMessage
    /// Whether the other one asks for the place; the user hands over when all connections are there.
    public private(set) var isAsked = false
    /// Who answered for the addresses while nobody said that he has them.
    public private(set) var stranger: Stranger?

    public struct Stranger: Hashable, Sendable {
        public var address: IPAddress
        public var hardware: MACAddress
        public var heard: Instant
    }

    private var election: Election
    private var nextBeat: Instant
    /// Until then the addresses stay, although another one is to serve.
    private var lingering: Instant?
    private var isLeavingForGood = false
    private var formerRole = Election.Role.unfit

    public init(_ parameters: Parameters, epoch: UInt64, at now: Instant) {
        self.parameters = parameters
        let priority: UInt8 = parameters.rank == 0 ? 200 : 100
        election = Election(
            .init(
                interval: parameters.interval, priority: priority, number: UInt64(parameters.number),
                multiplier: parameters.multiplier), at: now)
        own = PairMessage(
            pair: parameters.endpoint, epoch: epoch,
            interval: UInt32(clamping: parameters.interval.milliseconds), priority: priority,
            number: parameters.number)
        (since, nextBeat) = (now, now)
    }

    // MARK: What it comes to

    public var role: Election.Role { election.role }

    /// Whether it is to have the addresses now.
    public var holdsAddresses: Bool { role == .active || isLingering }

    /// Whether it has the addresses still, although another one is to serve.
    public var isLingering: Bool { role != .active && lingering != nil }

    /// Whether it has given up its place, and the other one has it or will not take it.
    public var hasLeft: Bool { isLeavingForGood && role != .active && lingering == nil }

    /// After so much silence the other one is gone.
    public var patience: Duration { parameters.interval * parameters.multiplier }

    public func isHeard(at now: Instant) -> Bool { peer.map { $0.heard + patience > now } ?? false }

    /// Whether it is to be asked on the wire who has the addresses: the active one has missed a beat.
    public func asksOnWire(at now: Instant) -> Bool {
        guard role == .standby, lingering == nil else { return false }
        guard let peer else { return true }
        // He still answers, but only until this one does.
        if peer.message.flags.contains(.leaves), isHeard(at: now) { return false }
        guard peer.message.role == .active else { return true }
        return peer.heard + parameters.interval * 3 / 2 <= now
    }

    public var deadline: Instant {
        [nextBeat, election.deadline, lingering].compactMap(\.self).min() ?? nextBeat
    }

    // MARK: What happens

    /// Whether it can serve.
    public mutating func setFit(_ isFit: Bool, at now: Instant) {
        let isFit = isFit && !isLeavingForGood
        if !isFit { lingering = nil }
        election.setFit(isFit, at: now)
        noteRole(at: now)
    }

    /// Somebody else than this host answers for one of the addresses.
    public mutating func hears(_ address: IPAddress, from hardware: MACAddress, at now: Instant) {
        guard asksOnWire(at: now) else { return }
        stranger = Stranger(address: address, hardware: hardware, heard: now)
        election.postpone(until: now + parameters.interval)
    }

    /// - Returns: What is to be answered at once: the other one does not know this one's epoch yet.
    public mutating func take(_ message: PairMessage, at now: Instant) -> PairMessage? {
        guard message.epoch != own.epoch else { return nil }
        guard message.echo == own.epoch else {
            var answer = current
            answer.echo = message.epoch
            return answer
        }
        if let peer, peer.message.epoch == message.epoch, peer.message.counter >= message.counter { return nil }
        let former = peer?.message
        peer = Peer(message: message, heard: now)
        if former?.epoch != message.epoch { nextBeat = now }
        if message.role == .active { hearActive(message, at: now) }
        // He says it himself, perhaps because he was started anew: there is nothing to wait for.
        let hasStopped = former?.role == .active && message.role != .active
        if hasStopped || message.flags.contains(.leaves) { hearFarewell(at: now) }
        if message.flags.contains(.sawBoth), isConflictNews(at: now) { noteConflict(at: now) }
        isAsked = message.flags.contains(.asks) && role == .active && message.role == .standby
        noteRole(at: now)
        return nil
    }

    private mutating func hearActive(_ message: PairMessage, at now: Instant) {
        stranger = nil
        own.flags.remove(.asks)
        if role == .active, !message.flags.contains(.leaves) {
            noteConflict(at: now)
        }
        // He has taken over: what is still on its way to this one is let through.
        if lingering != nil, !message.flags.contains(.leaves) {
            lingering = min(lingering ?? now, now + parameters.interval)
        }
        if message.flags.contains(.leaves) { return }
        election.take(
            .init(
                priority: message.priority, number: UInt64(message.number),
                interval: .milliseconds(Int(message.interval))), at: now)
    }

    private mutating func hearFarewell(at now: Instant) {
        stranger = nil
        // Of one that hands over, and serves until this one does, as well.
        if lingering == nil { election.preempt(at: now) }
    }

    /// Gives the place to the other one, and keeps the addresses until that has taken them.
    /// - Returns: false: there is nobody to take it.
    @discardableResult
    public mutating func handOver(at now: Instant) -> Bool {
        guard role == .active, isHeard(at: now), peer?.message.role == .standby else { return false }
        lingering = now + patience
        election.resign(at: now)
        nextBeat = now
        noteRole(at: now)
        return true
    }

    /// What is said of this one is another thing than before, which the other one is to know at once.
    public mutating func speakUp(at now: Instant) { nextBeat = now }

    /// Asks the active one to hand over.
    public mutating func ask(at now: Instant) {
        own.flags.insert(.asks)
        nextBeat = now
    }

    /// Ends: hands over if it can, and stands for nothing any more.
    public mutating func leave(at now: Instant) {
        if isLeavingForGood { return }
        handOver(at: now)
        isLeavingForGood = true
        if role == .active || lingering == nil { setFit(false, at: now) }
        nextBeat = now
    }

    /// Lets time pass.
    /// - Returns: what is to be said now.
    public mutating func advance(to now: Instant) -> PairMessage? {
        if isLeavingForGood, lingering.map({ $0 <= now }) ?? false {
            lingering = nil
            election.setFit(false, at: now)
        }
        let advertisement = election.advance(to: now)
        // Nobody has taken it: then it stays here.
        if role == .active { lingering = nil }
        if let until = lingering, until <= now { lingering = nil }
        noteRole(at: now)
        guard advertisement != nil || nextBeat <= now else { return nil }
        nextBeat = now + parameters.interval
        own.counter += 1
        return current
    }

    private var current: PairMessage {
        var message = own
        message.echo = peer?.message.epoch ?? 0
        message.role =
            switch role {
            case .unfit: .unfit
            case .standby: .standby
            case .active: .active
            }
        // Also where it does not serve any more: the other one need not wait for its silence.
        if lingering != nil || isLeavingForGood || hasStopped { message.flags.insert(.leaves) }
        if let lastConflict, lastConflict + patience > nextBeat { message.flags.insert(.sawBoth) }
        return message
    }

    private static let conflictIsNews = Duration.seconds(10)

    private func isConflictNews(at now: Instant) -> Bool { lastConflict.map { $0 + Self.conflictIsNews < now } ?? true }

    /// Counted once, however many messages say so.
    private mutating func noteConflict(at now: Instant) {
        if isConflictNews(at: now) { conflicts += 1 }
        lastConflict = now
    }

    /// Whether it was active until a moment ago, and cannot be any longer.
    private var hasStopped: Bool { role == .unfit && stoppedAt.map { $0 + patience > nextBeat } ?? false }
    private var stoppedAt: Instant?

    private mutating func noteRole(at now: Instant) {
        guard role != formerRole else { return }
        if formerRole == .active, role == .unfit { stoppedAt = now }
        // It has what it asked for, or cannot have it: else it would ask for the place again when it gives it away.
        if role != .standby { own.flags.remove(.asks) }
        (formerRole, since, nextBeat) = (role, now, now)
    }
}

extension Duration {
    /// Rounded down.
    var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
