import Synchronization

/// So many may have something at a time, whoever else runs beside: what they have is counted for the whole machine.
///
/// Nobody may ask for a second place while having one.
package final class Places: Sendable {
    private struct State {
        var free: Int
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state: Mutex<State>

    package init(_ count: Int) { state = Mutex(State(free: count)) }

    /// Runs `body` when there is a place.
    package func with<Result>(_ body: () async throws -> Result) async rethrows -> Result {
        await withCheckedContinuation { waiter in
            let isFree = state.withLock { state in
                if state.free == 0 {
                    state.waiting.append(waiter)
                    return false
                }
                state.free -= 1
                return true
            }
            if isFree { waiter.resume() }
        }
        defer { giveBack() }
        return try await body()
    }

    private func giveBack() {
        let next = state.withLock { state in
            if !state.waiting.isEmpty { return Optional(state.waiting.removeFirst()) }
            state.free += 1
            return nil
        }
        next?.resume()
    }
}
