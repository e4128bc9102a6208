import Glibc
import Synchronization

/// A thread of the operating system, for work that waits in system calls: the threads of Swift's concurrency must not.
final class BackgroundThread: Sendable {
    private let thread: Mutex<pthread_t?>

    init(_ body: @escaping @Sendable () -> Void) throws(LabError) {
        let start = Unmanaged.passRetained(Start(body))
        var thread = pthread_t()
        let failure = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, start.toOpaque())
        guard failure == 0 else {
            start.release()
            throw .system("start a thread", failure)
        }
        self.thread = Mutex(thread)
    }

    /// Waits for the end of the thread.
    func join() {
        let ending = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        if let ending { pthread_join(ending, nil) }
    }

    private final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}

/// Applies `body` to every element, each on a thread of its own, and waits for all.
func onThreads<Element: Sendable, Result: Sendable>(
    _ elements: [Element], _ body: @escaping @Sendable (Element) -> Result
) throws(LabError) -> [Result] {
    let results = Results<Result>(count: elements.count)
    var threads: [BackgroundThread] = []
    defer { for thread in threads { thread.join() } }
    for (index, element) in elements.enumerated() {
        threads.append(try BackgroundThread { results.set(index, body(element)) })
    }
    for thread in threads { thread.join() }
    return results.values.withLock { $0.compactMap(\.self) }
}

private final class Results<Value: Sendable>: Sendable {
    let values: Mutex<[Value?]>
    init(count: Int) { values = Mutex(Array(repeating: nil, count: count)) }
    func set(_ index: Int, _ value: Value) { values.withLock { $0[index] = value } }
}

/// Whether a signal asked this process to stop. Looked at between steps, so that what was begun is undone in order.
public enum Interruption {
    private static let requested = Atomic<Bool>(false)

    public static var isRequested: Bool { requested.load(ordering: .relaxed) }

    /// From now on SIGINT and SIGTERM only ask; a second one ends the process as usual.
    public static func catchSignals() {
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { number in
                Interruption.requested.store(true, ordering: .relaxed)
                signal(number, SIG_DFL)
            }
        }
    }

    static func check() throws(LabError) {
        if isRequested { throw LabError(.interrupted, "interrupted") }
    }
}
