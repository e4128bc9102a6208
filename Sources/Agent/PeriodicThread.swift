import Dispatch
import Foundation
import Glibc
import Synchronization

/// A thread that looks at something again and again, whatever keeps the loop busy.
final class PeriodicThread: Sendable {
    private let milliseconds: Int
    private let niceness: Int32
    private let isStopped = Mutex(false)
    private let wake = DispatchSemaphore(value: 0)

    /// - Parameter niceness: Of the thread alone, see setpriority(2).
    init(every milliseconds: Int, niceness: Int32) {
        self.milliseconds = milliseconds
        self.niceness = niceness
    }

    /// - Parameter look: Called on the thread, with what it came to the last time.
    func start<State: Sendable>(_ first: State, _ look: @escaping @Sendable (inout State) -> Void) {
        Thread.detachNewThread { [self] in
            setpriority(Int32(PRIO_PROCESS.rawValue), 0, niceness)
            var state = first
            while !isStopped.withLock(\.self) {
                look(&state)
                _ = wake.wait(timeout: .now() + .milliseconds(milliseconds))
            }
        }
    }

    /// It ends soon, and looks at nothing any more that it has not begun with.
    func stop() {
        isStopped.withLock { $0 = true }
        wake.signal()
    }
}
