import Foundation
import Glibc
import Synchronization

/// How long the machine has let a thread wait that wanted to run: an emulated processor on a machine that has other things to
/// do stands still now and then, and then nobody can be held to a time.
package final class Stalls: Sendable {
    private let state = Mutex(State())

    private struct State {
        var longest = Duration.zero
        var isOver = false
    }

    private static let step = Duration.milliseconds(10)
    /// More than that tells something of the machine.
    private static let bearable = Duration.milliseconds(100)

    package init() {
        Thread.detachNewThread { [self] in
            var last = ContinuousClock.now
            while !state.withLock({ $0.isOver }) {
                usleep(UInt32(Self.step / .microseconds(1)))
                let now = ContinuousClock.now
                state.withLock { $0.longest = max($0.longest, last.duration(to: now) - Self.step) }
                last = now
            }
        }
    }

    package func end() -> Duration {
        state.withLock { state in
            state.isOver = true
            return state.longest
        }
    }

    /// Tries until the machine did not stand still, or all is well all the same.
    /// - Returns: nil where it always stood still: then nothing can be told.
    package static func undisturbed<Result>(
        _ isGood: (Result) -> Bool, _ body: () async throws -> Result
    ) async throws -> Result? {
        for _ in 0..<4 {
            let stalls = Stalls()
            let result = try await body()
            let longest = stalls.end()
            if isGood(result) || longest < bearable { return result }
            print("cannot be told, because the machine stood still for \(longest): \(result)")
        }
        return nil
    }
}
