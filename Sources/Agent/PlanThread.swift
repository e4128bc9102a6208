import Foundation
import Netlink
import Synchronization
import Traffic

/// A thread that carries out a plan, and another one as soon as there is one; begun when a plan asks for it for the first time.
final class PlanThread<Plan: Sendable>: Sendable {
    /// What is done with a plan: it waits, too, for no longer than until the bell, a descriptor, is readable.
    typealias Turn = (_ plan: Plan, _ bell: Int32) -> Void

    private let state: Mutex<State>
    private let bell: Bell

    private struct State {
        var plan: Plan
        var isStarted = false
        var isEnding = false
    }

    /// - Parameter plan: That of somebody who has none yet.
    init(_ plan: Plan) throws(AgentError) {
        state = Mutex(State(plan: plan))
        do {
            bell = try Bell()
        } catch {
            throw AgentError(.kernel, "pipe: \(error)")
        }
    }

    /// - Parameters:
    ///   - isNeeded: Whether there is anything to do.
    ///   - begin: Called on the thread, once, for what it does again and again.
    func follow(_ plan: Plan, isNeeded: Bool, _ begin: @escaping @Sendable () -> Turn) {
        let mustStart = state.withLock { state in
            state.plan = plan
            if state.isStarted || !isNeeded { return false }
            state.isStarted = true
            return true
        }
        if mustStart {
            Thread.detachNewThread { [self] in
                let turn = begin()
                while let plan = self.plan() {
                    turn(plan, bell.descriptor)
                    bell.hush()
                }
            }
        }
        bell.ring()
    }

    func stop() {
        state.withLock { $0.isEnding = true }
        bell.ring()
    }

    /// Nil at the end.
    private func plan() -> Plan? { state.withLock { $0.isEnding ? nil : $0.plan } }
}
