internal import Foundation
internal import IPAddressing
internal import Netlink
internal import Synchronization
internal import Traffic

/// Carries the connections of the active gateway of each pair to the one that stands by, on a thread of its own: there may be
/// a million, and nobody's sign of life waits for them.
final class StateSync: Sendable {
    /// What a pair asks for.
    struct Plan: Hashable, Sendable {
        /// The endpoint.
        var pair: IPAddress
        var own: IPAddress
        var peer: IPAddress
        var isActive: Bool
        /// Zones of the NAT gateways here, by key: that is what both hosts call them.
        var zones: [UInt32: UInt16]
    }

    struct Report: Hashable, Sendable {
        var isConnected = false
        /// Of who stands by: it has all that the active one has.
        var isSynchronized = false
        /// Sent and not ended, or received and not ended.
        var connections = 0
        /// The last ``flush(_:)`` that has come to the other side.
        var flushed: UInt64 = 0
        /// How often the kernel has thrown news of connections away, and everything was compared.
        var resyncs = 0
        var complaint: String?

        var uncounted: Report {
            var report = self
            report.connections = 0
            return report
        }
    }

    /// Where the connections are. Another namespace may come to have the same name.
    struct Place: Hashable, Sendable {
        var namespace: NetworkNamespace
        /// `NetworkNamespace.identity()`.
        var identity: UInt64
    }

    struct State {
        var namespace: Place?
        var plans: [Plan] = []
        var flushes: [IPAddress: UInt64] = [:]
        var reports: [IPAddress: Report] = [:]
        var isEnding = false
    }

    let state = Mutex(State())
    /// Rung when there is something for the thread.
    let bell: Bell
    /// Rung when a report is another one, apart from the number of connections.
    let news: Bell
    private let ended = DispatchSemaphore(value: 0)

    /// - Parameter receiveBuffer: Bytes, of news that wait to be read.
    init(
        key: [UInt8], receiveBuffer: Int = ConntrackMonitor.roomForBursts,
        log: @escaping @Sendable (LogLevel, String) -> Void
    ) throws {
        (bell, news) = (try Bell(), try Bell())
        let context = try TLSLink.Context(key: key)
        let engine = SyncEngine(self, context, receiveBuffer: receiveBuffer, log)
        let box = Box(engine)
        Thread.detachNewThread { [ended] in
            box.engine.run()
            ended.signal()
        }
    }

    /// The engine is made here and belongs to its thread from then on.
    private final class Box: @unchecked Sendable {
        let engine: SyncEngine
        init(_ engine: SyncEngine) { self.engine = engine }
    }

    func follow(_ plans: [Plan], in namespace: Place?) {
        let isNew = state.withLock { state in
            defer { (state.plans, state.namespace) = (plans, namespace) }
            return state.plans != plans || state.namespace != namespace
        }
        if isNew { bell.ring() }
    }

    func report(of pair: IPAddress) -> Report? { state.withLock { $0.reports[pair] } }

    /// Has everything sent, also what is no connection yet.
    /// - Returns: What ``Report/flushed`` is when it has arrived.
    func flush(_ pair: IPAddress) -> UInt64 {
        let number = state.withLock { state in
            state.flushes[pair, default: 0] += 1
            return state.flushes[pair] ?? 0
        }
        bell.ring()
        return number
    }

    func stop() {
        state.withLock { $0.isEnding = true }
        bell.ring()
        _ = ended.wait(timeout: .now() + .milliseconds(500))
    }
}
