import Glibc

/// The time, and how one waits: the agent's thread knows no other clock.
protocol WaitingClock: Sendable {
    var now: ContinuousClock.Instant { get }
    /// Waits until something can be read of a descriptor, or until it is that late.
    /// - Parameter descriptors: -1: none.
    /// - Returns: of which something can be read, by position.
    func wait(for descriptors: [Int32], until deadline: ContinuousClock.Instant) -> [Bool]
}

/// The machine's own, with poll(2).
struct SystemClock: WaitingClock {
    var now: ContinuousClock.Instant { .now }

    func wait(for descriptors: [Int32], until deadline: ContinuousClock.Instant) -> [Bool] {
        var requests = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        let ready = poll(&requests, nfds_t(requests.count), Self.milliseconds(until: deadline))
        return requests.map { ready > 0 && $0.revents != 0 }
    }

    private static func milliseconds(until deadline: ContinuousClock.Instant) -> Int32 {
        let (seconds, attoseconds) = ContinuousClock.now.duration(to: deadline).components
        if seconds < 0 || attoseconds < 0 { return 0 }
        // Rounded up, so as not to spin through the last millisecond.
        return Int32(
            clamping: min(seconds, 1_000_000) * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}

/// Until when the loop waits, and what has come when it wakes. What is done about it is the loop's business.
struct Waiting {
    let clock: any WaitingClock
    /// When the source is to be read: it has changed.
    var load: ContinuousClock.Instant?
    /// When what was read is refused unless something has put it right.
    var rejection: ContinuousClock.Instant?
    /// When a revision goes back unless it was confirmed.
    var confirmation: ContinuousClock.Instant?
    /// When something that is fought about is to be looked at.
    var fight: ContinuousClock.Instant?
    private var retry: ContinuousClock.Instant?
    private var retryDelay: Duration = .zero
    private var resync: ContinuousClock.Instant
    private var check: ContinuousClock.Instant

    /// What is due.
    struct Due: OptionSet {
        let rawValue: UInt8

        static let load = Due(rawValue: 1 << 0)
        static let confirmation = Due(rawValue: 1 << 1)
        static let fight = Due(rawValue: 1 << 2)
        /// Operations that failed last time are tried again by and by.
        static let retry = Due(rawValue: 1 << 3)
        /// Nothing is trusted that was heard: everything is read. Due until ``Waiting/scheduleResync(in:)``.
        static let resync = Due(rawValue: 1 << 4)
        /// Of parameters, and of some settings of devices, the kernel does not tell: they are looked at now and then.
        static let check = Due(rawValue: 1 << 5)
        static let rejection = Due(rawValue: 1 << 6)
    }

    private static let checkInterval: Duration = .seconds(4)
    private static let retryDelays: ClosedRange<Duration> = .seconds(1) ... .seconds(60)

    /// Everything is read at the first opportunity.
    init(_ clock: any WaitingClock) {
        self.clock = clock
        resync = clock.now
        check = clock.now + Self.checkInterval
    }

    /// Waits until something can be read of a descriptor or something is due.
    /// - Returns: of which descriptors something can be read, by position.
    func wait(for descriptors: [Int32]) -> [Bool] {
        let deadline = [load, rejection, confirmation, fight, retry].compactMap(\.self).reduce(min(resync, check), min)
        return clock.wait(for: descriptors, until: deadline)
    }

    /// What has become due, each once.
    mutating func takeDue() -> Due {
        let now = clock.now
        var due: Due = []
        func expire(_ timer: inout ContinuousClock.Instant?, _ what: Due) {
            guard let instant = timer, instant <= now else { return }
            timer = nil
            due.insert(what)
        }
        expire(&load, .load)
        expire(&rejection, .rejection)
        expire(&confirmation, .confirmation)
        expire(&fight, .fight)
        expire(&retry, .retry)
        if resync <= now { due.insert(.resync) }
        if check <= now {
            check = now + Self.checkInterval
            due.insert(.check)
        }
        return due
    }

    /// - Parameter seconds: More or less: many hosts that were started together are not to be busy together.
    mutating func scheduleResync(in seconds: Int) {
        let spread = Double(seconds) * Double.random(in: 0.9...1.1)
        resync = clock.now + .milliseconds(Int(spread * 1000))
    }

    /// Each time in a row twice as late.
    /// - Returns: how much later.
    @discardableResult
    mutating func scheduleRetry() -> Duration {
        let (shortest, longest) = (Self.retryDelays.lowerBound, Self.retryDelays.upperBound)
        retryDelay = min(max(retryDelay * 2, shortest), longest)
        retry = clock.now + retryDelay
        return retryDelay
    }

    mutating func cancelRetry() { (retry, retryDelay) = (nil, .zero) }
}
