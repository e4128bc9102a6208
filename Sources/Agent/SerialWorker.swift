import CLinux
import Foundation
import Glibc
import Synchronization

/// Work that may take long, one piece at a time, on a thread that gives way to the agent's own.
final class SerialWorker: Sendable {
    private let state = Mutex(State())
    /// Pieces that may wait.
    private let limit: Int

    private struct State {
        var waiting: [Piece] = []
        var isWorking = false
        var isClosed = false
    }

    private struct Piece: Sendable {
        var work: @Sendable () -> Void
        /// Called instead where nothing comes of it.
        var refuse: @Sendable () -> Void
    }

    init(limit: Int) { self.limit = limit }

    /// - Parameter refuse: Called instead of `work` where ``close()`` comes before.
    /// - Returns: false where too much is waiting; then nothing is called.
    func post(_ work: @escaping @Sendable () -> Void, refuse: @escaping @Sendable () -> Void = {}) -> Bool {
        enum Next { case full, refused, queued, started }
        let next = state.withLock { state -> Next in
            if state.isClosed { return .refused }
            guard state.waiting.count < limit else { return .full }
            state.waiting.append(Piece(work: work, refuse: refuse))
            if state.isWorking { return .queued }
            state.isWorking = true
            return .started
        }
        switch next {
        case .full: return false
        case .refused: refuse()
        case .queued: break
        case .started: Thread.detachNewThread { [self] in workOff() }
        }
        return true
    }

    /// Refuses what waits and all that comes. What is being worked on ends by itself.
    func close() {
        let pieces = state.withLock { state in
            state.isClosed = true
            defer { state.waiting.removeAll() }
            return state.waiting
        }
        for piece in pieces { piece.refuse() }
    }

    private func workOff() {
        // Of this thread alone: repairs come first.
        setpriority(Int32(PRIO_PROCESS.rawValue), 0, 10)
        while let piece = next() { piece.work() }
        // For a large set the allocator keeps as much as the agent needs for all the rest.
        linux_give_back_memory()
    }

    private func next() -> Piece? {
        state.withLock { state in
            guard !state.waiting.isEmpty else {
                state.isWorking = false
                return nil
            }
            return state.waiting.removeFirst()
        }
    }
}
