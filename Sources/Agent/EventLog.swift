import Glibc
import Synchronization

/// The last events, and who waits for the next ones.
public final class EventLog: Sendable {
    private let state = Mutex(State())
    /// Held while an event is handed out, so that readers get them in order. Whoever is cancelled holds a lock of its task
    /// and wants ``state`` to leave; whoever hands out wants that lock: it must not hold ``state`` meanwhile.
    private let delivery = Mutex(())
    private let capacity: Int

    private struct State {
        var events: [AgentEvent] = []
        var next = 1
        var subscribers: [Int: AsyncStream<AgentEvent>.Continuation] = [:]
        var nextSubscriber = 0
    }

    init(capacity: Int = 1000) { self.capacity = capacity }

    /// Those that are kept, after a sequence number, oldest first.
    public func events(after sequence: Int = 0) -> [AgentEvent] {
        state.withLock { $0.events.filter { $0.sequence > sequence } }
    }

    /// Those that are kept, after a sequence number, and then every further one as it happens. A reader who does not
    /// keep up loses the oldest and sees a gap in the numbers.
    public func stream(after sequence: Int = 0) -> AsyncStream<AgentEvent> {
        AsyncStream(bufferingPolicy: .bufferingNewest(capacity)) { continuation in
            let subscriber = state.withLock { state -> Int in
                // Nobody waits for these yet.
                for event in state.events where event.sequence > sequence { continuation.yield(event) }
                state.nextSubscriber += 1
                state.subscribers[state.nextSubscriber] = continuation
                return state.nextSubscriber
            }
            continuation.onTermination = { [weak self] _ in
                self?.state.withLock { _ = $0.subscribers.removeValue(forKey: subscriber) }
            }
        }
    }

    func add(
        _ type: AgentEvent.Kind, _ message: String, object: String? = nil, resource: String? = nil,
        revision: Int? = nil
    ) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        delivery.withLock { _ in
            let (event, readers) = state.withLock { state in
                let event = AgentEvent(
                    sequence: state.next, time: now.tv_sec, milliseconds: now.tv_nsec / 1_000_000, type: type,
                    message: message, object: object, resource: resource, revision: revision)
                state.next += 1
                state.events.append(event)
                if state.events.count > capacity { state.events.removeFirst(state.events.count - capacity) }
                return (event, Array(state.subscribers.values))
            }
            for continuation in readers { continuation.yield(event) }
        }
    }

    /// Ends all streams.
    func finish() {
        let subscribers = state.withLock { state in
            defer { state.subscribers.removeAll() }
            return Array(state.subscribers.values)
        }
        for continuation in subscribers { continuation.finish() }
    }
}
