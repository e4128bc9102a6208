import Glibc
import Synchronization

@testable import Agent

/// A clock that only waiting moves: where nothing can be read it is at once as late as was waited for.
final class VirtualClock: WaitingClock {
    private let state: Mutex<(now: ContinuousClock.Instant, waits: [Duration])>

    init() { state = Mutex((.now, [])) }

    var now: ContinuousClock.Instant { state.withLock { $0.now } }

    /// How long was waited, each time that something was waited for in vain and time had to pass.
    var waits: [Duration] { state.withLock { $0.waits } }

    func advance(_ duration: Duration) { state.withLock { $0.now += duration } }

    func wait(for descriptors: [Int32], until deadline: ContinuousClock.Instant) -> [Bool] {
        var requests = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        if poll(&requests, nfds_t(requests.count), 0) > 0 { return requests.map { $0.revents != 0 } }
        state.withLock { state in
            let wait = state.now.duration(to: deadline)
            if wait <= .zero { return }
            state.waits.append(wait)
            state.now += wait
        }
        return requests.map { _ in false }
    }
}
