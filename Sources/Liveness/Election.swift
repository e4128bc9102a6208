/// Which of several is the active one: an election as VRRP version 3 has it (RFC 9568, section 6). A value like
/// ``BFDSession``; how its messages travel, and who may send them, is its user's business.
///
/// Nobody who was started anew takes the place of one that serves, unless its user says so: a change back costs as much as a
/// change.
public struct Election: Sendable {
    public typealias Instant = ContinuousClock.Instant

    public struct Parameters: Hashable, Sendable {
        /// How often the active one says that it is there.
        public var interval: Duration
        /// Who of several comes first; 1…254.
        public var priority: UInt8
        /// Tells those of the same priority apart: the greater one wins.
        public var number: UInt64
        /// After so many intervals without a word the active one is gone.
        public var multiplier: Int

        public init(
            interval: Duration = .milliseconds(300), priority: UInt8, number: UInt64, multiplier: Int = 3
        ) {
            (self.interval, self.priority, self.number) = (interval, priority, number)
            self.multiplier = multiplier
        }
    }

    public enum Role: Hashable, Sendable {
        /// It cannot serve, and stands for nothing.
        case unfit
        case standby
        case active
    }

    /// What the active one says.
    public struct Advertisement: Hashable, Sendable {
        /// 0: it serves no longer.
        public var priority: UInt8
        public var number: UInt64
        public var interval: Duration

        public init(priority: UInt8, number: UInt64, interval: Duration) {
            (self.priority, self.number, self.interval) = (priority, number, interval)
        }
    }

    public let parameters: Parameters
    public private(set) var role = Role.unfit
    /// When it takes over unless somebody says that he serves.
    private var takeOver: Instant
    private var nextAdvertisement: Instant
    private var owesFarewell = false

    /// It serves nobody before ``setFit(_:at:)``: what a process before it has left has to be cleared away first.
    public init(_ parameters: Parameters, at now: Instant) {
        precondition((1...254).contains(parameters.priority) && parameters.interval > .zero)
        self.parameters = parameters
        (takeOver, nextAdvertisement) = (now, now)
    }

    /// Those of a high priority are patient a little less, so that one is first.
    private var skew: Duration { skew(of: parameters.interval) }

    private func skew(of interval: Duration) -> Duration { interval / 256 * (256 - Int(parameters.priority)) }

    /// After so much silence the active one is gone.
    private func patience(with interval: Duration) -> Duration { interval * parameters.multiplier + skew(of: interval) }

    /// Nobody decides how long he is waited for.
    private static let mostPatience = 4

    public var deadline: Instant {
        if owesFarewell { return nextAdvertisement }
        return switch role {
        // Nothing is waited for.
        case .unfit: nextAdvertisement + .seconds(3600)
        case .standby: takeOver
        case .active: nextAdvertisement
        }
    }

    // MARK: What happens

    /// Whether it can serve: its links are up, and its user wants it.
    public mutating func setFit(_ isFit: Bool, at now: Instant) {
        switch (isFit, role) {
        case (true, .unfit):
            (role, owesFarewell) = (.standby, false)
            takeOver = now + patience(with: parameters.interval)
        case (false, .active):
            (role, owesFarewell, nextAdvertisement) = (.unfit, true, now)
        case (false, .standby): (role, nextAdvertisement) = (.unfit, now)
        default: break
        }
    }

    /// Gives the place to another one, if there is one: the next serves in a moment, and this one again only after that is
    /// gone.
    public mutating func resign(at now: Instant) {
        guard role == .active else { return }
        (role, owesFarewell, nextAdvertisement) = (.standby, true, now)
        takeOver = now + patience(with: parameters.interval)
    }

    /// Takes the place of another one of a lower rank, because somebody asks for it.
    public mutating func preempt(at now: Instant) {
        if role == .standby { takeOver = now }
    }

    /// Does not take over before `instant`: somebody still serves, though he does not say so.
    public mutating func postpone(until instant: Instant) {
        if role == .standby { takeOver = max(takeOver, instant) }
    }

    /// Takes what another one says.
    public mutating func take(_ heard: Advertisement, at now: Instant) {
        if heard.number == parameters.number { return }
        switch role {
        case .unfit: break
        case .standby:
            let interval = min(heard.interval, parameters.interval * Self.mostPatience)
            takeOver = now + (heard.priority == 0 ? skew : patience(with: interval))
        case .active:
            if heard.priority == 0 {
                nextAdvertisement = now
            } else if (heard.priority, heard.number) > (parameters.priority, parameters.number) {
                role = .standby
                takeOver = now + patience(with: heard.interval)
            } else {
                // The other one is to learn of it at once: there are two.
                nextAdvertisement = now
            }
        }
    }

    /// Lets time pass.
    /// - Returns: what is to be said now.
    public mutating func advance(to now: Instant) -> Advertisement? {
        if owesFarewell {
            owesFarewell = false
            return Advertisement(priority: 0, number: parameters.number, interval: parameters.interval)
        }
        if role == .standby, takeOver <= now { (role, nextAdvertisement) = (.active, now) }
        guard role == .active, nextAdvertisement <= now else { return nil }
        nextAdvertisement = now + parameters.interval
        return Advertisement(
            priority: parameters.priority, number: parameters.number, interval: parameters.interval)
    }
}
