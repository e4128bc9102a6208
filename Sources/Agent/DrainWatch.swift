import KernelModel
import Reconciler
import Synchronization
import VPCCompiler

/// Ends connections to targets that have left their load balancers' groups when these have drained them, on a thread of its own:
/// the time belongs to whoever stays.
///
/// What drains, and since when, is not written down: who begins anew gives all of them their time once more.
final class DrainWatch: Sendable {
    private let publication: Publication
    private let subject = Mutex<Subject?>(nil)
    private let thread = PeriodicThread(every: 500, niceness: 0)

    fileprivate struct Subject {
        var kernel: any KernelAccess
        var balanced: BalancedConnections
        /// Counted up with each that came.
        var number: Int
    }

    init(_ publication: Publication) { self.publication = publication }

    /// From now on load balancers lead there.
    func follow(_ balanced: BalancedConnections, in kernel: any KernelAccess) {
        subject.withLock { $0 = Subject(kernel: kernel, balanced: balanced, number: ($0?.number ?? 0) + 1) }
    }

    func start() {
        thread.start(Draining(publication: publication)) { [self] draining in
            guard let subject = subject.withLock(\.self) else { return }
            draining.look(subject, at: .now)
        }
    }

    func stop() { thread.stop() }
}

/// What the thread remembers from look to look.
private struct Draining: Sendable {
    let publication: Publication
    private var seen = 0
    /// When the connections of a target are ended.
    private var deadlines: [BalancedConnections.Way: ContinuousClock.Instant] = [:]
    private var complaint: String?

    init(publication: Publication) { self.publication = publication }

    mutating func look(_ subject: DrainWatch.Subject, at now: ContinuousClock.Instant) {
        let isNew = subject.number != seen
        guard isNew || deadlines.values.contains(where: { $0 <= now }) else { return }
        do {
            try drain(subject, at: now)
            (seen, complaint) = (subject.number, nil)
        } catch {
            if complaint != "\(error)" { publication.log.error("connections are not drained: \(error)") }
            complaint = "\(error)"
        }
    }

    private mutating func drain(_ subject: DrainWatch.Subject, at now: ContinuousClock.Instant) throws {
        let leaving = subject.balanced.draining(try subject.kernel.connections())
        var next: [BalancedConnections.Way: ContinuousClock.Instant] = [:]
        for entry in leaving where next[entry.way] == nil { next[entry.way] = deadlines[entry.way] ?? now + entry.time }
        let over = leaving.filter { entry in next[entry.way].map { $0 <= now } ?? false }.map(\.connection)
        deadlines = next
        if over.isEmpty { return }
        var plan = ChangePlan()
        plan.steps = [ChangePlan.Step(.connections(over, .forgotten))]
        _ = subject.kernel.commit(plan, owner: Conventions.ownership)
        publication.log.info("ended \(over.count) connections of load balancers: their targets have left")
    }
}
