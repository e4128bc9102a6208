import Foundation
import Glibc
public import IPAddressing
public import Netlink
import Synchronization
import Traffic

/// Watches, tells and hears on a thread of its own, whatever the rest of the process is busy with: packets of a session that
/// are sent too late are a failure to the other end.
public final class LivenessService: Sendable {
    /// UDP, on the underlay, of both ends.
    public static let port: UInt16 = 14784

    private let shared: Shared

    final class Shared: Sendable {
        let state: Mutex<State>
        /// Rung when the plan has changed or the end has come.
        let bell: Bell
        let whenChanged: @Sendable (LivenessReport) -> Void
        let ended = DispatchSemaphore(value: 0)

        struct State {
            var plan = LivenessPlan()
            var report = LivenessReport()
            var isEnding = false
        }

        init(_ whenChanged: @escaping @Sendable (LivenessReport) -> Void) throws(LivenessError) {
            state = Mutex(State())
            do {
                bell = try Bell()
            } catch {
                throw LivenessError("pipe: \(String(cString: strerror(error.errno)))")
            }
            self.whenChanged = whenChanged
        }
    }

    /// - Parameters:
    ///   - underlay: Where hosts speak with each other.
    ///   - seal: What messages between hosts are authenticated by; nil: nothing but where they come from.
    ///   - remembered: What was held of those that are watched when this process began.
    ///   - whenChanged: Called on the thread, with how things are, when a verdict, or what is to be said of the
    ///     exchange, is another than before.
    public init(
        underlay: NetworkNamespace = .current, seal: FactSeal? = nil, remembered: [FactKey: Bool] = [:],
        whenChanged: @escaping @Sendable (LivenessReport) -> Void
    ) throws(LivenessError) {
        let shared = try Shared(whenChanged)
        self.shared = shared
        Thread.detachNewThread {
            // A busy machine must not look like a dead guest. The unit allows no more (LimitNICE).
            setpriority(Int32(PRIO_PROCESS.rawValue), 0, -4)
            var engine = LivenessEngine(shared, underlay, seal, remembered)
            engine.run()
            shared.ended.signal()
        }
    }

    deinit { end() }

    /// Says what is to be watched from now on. Sessions that stay go on.
    public func follow(_ plan: LivenessPlan) {
        let isNew = shared.state.withLock { state in
            defer { state.plan = plan }
            return state.plan != plan
        }
        if isNew { shared.bell.ring() }
    }

    public var report: LivenessReport { shared.state.withLock { $0.report } }

    /// Ends the thread. Guests are told that this is no failure; hosts are not: what they know stays.
    ///
    /// Waits for that, but not for long: once.
    public func stop() {
        end()
        _ = shared.ended.wait(timeout: .now() + .milliseconds(500))
    }

    private func end() {
        shared.state.withLock { $0.isEnding = true }
        shared.bell.ring()
    }
}

/// How things are.
public struct LivenessReport: Hashable, Sendable {
    public var verdicts: [FactKey: LivenessVerdict] = [:]
    /// Of the sessions here.
    public var sessions: [FactKey: Session] = [:]
    /// Hosts that say nothing, by underlay address.
    public var silentHosts: Set<IPAddress> = []
    /// Why what hosts send is not taken, by underlay address.
    public var refusals: [IPAddress: String] = [:]
    /// Why nothing can be exchanged; nil where it can.
    public var complaint: String?

    /// What is to be said of the exchange; nil: it works.
    public var exchangeComplaint: String? {
        if let complaint { return complaint }
        guard let (address, reason) = refusals.min(by: { $0.key < $1.key }) else { return nil }
        return "messages of host \(address) are not taken: \(reason)"
    }

    public init() {}

    public struct Session: Hashable, Sendable {
        public var isUp: Bool
        /// After so much silence it is held for dead; nil as long as that is not agreed upon.
        public var detectionTime: Duration?
        /// What keeps it from being up: one phrase.
        public var complaint: String?
        /// How often it went down.
        public var failures: Int
    }
}

public struct LivenessError: Error, Hashable, Sendable, CustomStringConvertible {
    public var description: String
    init(_ description: String) { self.description = description }
}
