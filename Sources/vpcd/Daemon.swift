import Agent
import AgentServer
import Dispatch
import Glibc
import Logging
import ServiceLifecycle
import Synchronization

/// The agent on a thread of its own, its API beside it, and the signals that end and reload them.
struct Daemon {
    let agent: Agent
    let server: AgentServer
    let manager: ServiceManager
    let log: Logger

    /// Why one half has ended without being asked to, and with it everything.
    private final class Failure: Sendable {
        private let state = Mutex<String?>(nil)
        var reason: String? { state.withLock { $0 } }

        /// Takes note of the first, and wakes up the thread that waits for signals.
        func note(_ text: String) {
            state.withLock { $0 = $0 ?? text }
            kill(getpid(), SIGTERM)
        }
    }

    /// Blocks the signals that ``run()`` waits for. Before any thread is started: they all inherit it.
    static func blockSignals() {
        // A client that goes away is an error of a write, not the end.
        signal(SIGPIPE, SIG_IGN)
        var set = awaited
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    private static var awaited: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, number) }
        return set
    }

    /// Works until a signal ends it, on the calling thread.
    /// - Returns: whether it ended as asked.
    func run() -> Bool {
        let failure = Failure()
        let agentEnd = startAgent(failure)
        let services = serviceGroup
        let serverEnd = DispatchSemaphore(value: 0)
        Task {
            do {
                try await services.run()
                failure.note("the API has ended")
            } catch {
                failure.note("the API has failed: \(error)")
            }
            serverEnd.signal()
        }
        let helpers = [Task { await reportStatus() }, Task { await feedWatchdog() }]
        manager.notifyReady()
        untilEnd(failure)
        let reason = failure.reason
        manager.notifyStopping()
        for helper in helpers { helper.cancel() }
        // Its streams end first: nobody waits for further events.
        agent.stop()
        agentEnd.wait()
        Task { await services.triggerGracefulShutdown() }
        serverEnd.wait()
        return reason == nil
    }

    private var serviceGroup: ServiceGroup {
        var quiet = log
        quiet.logLevel = max(log.logLevel, .error)
        var configuration = ServiceGroupConfiguration(
            services: [.init(service: server)], gracefulShutdownSignals: [], logger: quiet)
        // A client that does not take its answer holds nothing up for longer.
        configuration.maximumGracefulShutdownDuration = .seconds(5)
        return ServiceGroup(configuration: configuration)
    }

    private func untilEnd(_ failure: Failure) {
        var set = Self.awaited
        while true {
            var number: Int32 = 0
            guard sigwait(&set, &number) == 0 else { continue }
            if let reason = failure.reason { return log.critical("\(reason)") }
            if number != SIGHUP { return log.notice("ending on signal \(number); the kernel stays as it is") }
            log.notice("reloading")
            manager.notifyReloading()
            Task {
                try? await agent.reload()
                manager.notifyReady()
            }
        }
    }

    /// - Returns: what is signalled when it has ended.
    private func startAgent(_ failure: Failure) -> DispatchSemaphore {
        let end = DispatchSemaphore(value: 0)
        let agent = agent
        startThread {
            do {
                try agent.run()
                failure.note("the agent has ended")
            } catch {
                failure.note("the agent has failed: \(error)")
            }
            end.signal()
        }
        return end
    }

    /// Tells the service manager in a line how things are, whenever that may have changed.
    private func reportStatus() async {
        for await _ in agent.events.stream() {
            let status = agent.status
            let host = status.host.map { "host \($0)" } ?? "no host yet"
            let revision = status.observedRevision.map { ", revision \($0)" } ?? ""
            manager.notifyStatus(
                "\(status.phase.rawValue): \(host)\(revision)" + (status.reason.map { "; \($0)" } ?? ""))
        }
    }

    /// A sign of life, as often as the service manager wants one, whenever the agent's thread has answered.
    private func feedWatchdog() async {
        guard let interval = manager.watchdogInterval else { return }
        while !Task.isCancelled {
            guard (try? await agent.ping()) != nil else { return }
            manager.notifyAlive()
            try? await Task.sleep(for: interval / 3)
        }
    }
}

/// A thread that nobody waits for.
private func startThread(_ body: @escaping @Sendable () -> Void) {
    let start = Unmanaged.passRetained(ThreadStart(body))
    var thread = pthread_t()
    let failure = pthread_create(
        &thread, nil,
        { argument in
            if let argument { Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue().body() }
            return nil
        }, start.toOpaque())
    // Without its two threads a daemon is none.
    guard failure == 0 else { fatalError("pthread_create: error \(failure)") }
    pthread_detach(thread)
}

private final class ThreadStart: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}
