import CLinux
import Glibc
import KernelDriver
import KernelModel
import Logging
import Netlink
import Reconciler
import VPCCompiler
import VPCManifest
import VPCModel
import VPCTopology

/// The agent's one thread: waits for the kernel, the manifests, requests and the clock, and makes a pass.
final class ReconcileLoop {
    let agent: Agent
    let reconciler: HostReconciler<KernelDriver>
    var source: (any DesiredStateSource)?
    /// Nil as long as no complete and valid state is known: then nothing is touched.
    private(set) var desired: Desired?
    /// Why none is known although there are revisions.
    var unusable: UnusableRevision?
    /// What the source held when it was read last, where that is what the desired state was made of.
    var directory = DirectoryContent()
    var sourceWarnings: Set<String> = []
    /// Whose set is being prepared, and those that wait for theirs to be.
    var proposal: Proposal? { didSet { notePending() } }
    var proposals: [Proposal] = [] { didSet { notePending() } }
    var confirmation: Confirmation?
    var ledger = RepairLedger()

    private var mirror: MirrorBox?
    private var compiled: Compiled?
    /// What was compiled beside the loop, for a revision that no pass was made for yet.
    private var expected: Compiled?
    /// Where routes may be others than was compiled; of all others the last passes have seen that they are not.
    private var suspectRoutes = ChangedKeys<Route.Key>.any
    /// Operations that failed last time are tried again by and by.
    private var retry = Retry()
    /// How the last pass ended, of this desired state.
    private var state = State.new
    /// Whether this desired state was reached once: what is found to do since was done by somebody else.
    private var wasReached = false
    private var loadDue: ContinuousClock.Instant?
    private var resyncDue = ContinuousClock.now
    /// Something asks for a pass although the kernel told of nothing.
    private var isPassDue = false
    private var isResyncDue = false
    /// Of parameters, and of some settings of devices, the kernel does not tell: they are looked at now and then.
    private var checkDue = ContinuousClock.now + checkInterval
    private var isCheckDue = false
    private static let checkInterval: Duration = .seconds(4)
    private var isStopping = false
    /// Since memory was given back last.
    var hasReadWholeSet = false
    /// Who waits until there is nothing left to do.
    private var settling: [Agent.Reply<AgentStatus>] = []

    private enum State: Equatable {
        /// A desired state that no pass was made for yet.
        case new
        /// Reading back found the kernel as it shall be.
        case settled
        /// While the pass was under way somebody changed something: so many times in a row.
        case disturbed(Int)
        /// The kernel refused something.
        case failed
    }

    /// The mirror cannot be copied, so it lives in a box.
    private final class MirrorBox {
        var mirror: KernelMirror
        init(_ mirror: consuming KernelMirror) { self.mirror = mirror }
    }

    /// Without its manifests: they are on the disk, and of a hundred thousand interfaces they take half of the memory.
    struct Desired {
        var revision: Revision
        /// Those of the revision.
        var files: [FileDigest]
        var resourceCount: Int
        var topology: Topology
        /// Of the topology.
        var index: TopologyIndex
        /// A number of `topology.hosts`.
        var host: Int

        var hostName: String { topology.hosts[host].metadata.name }
    }

    private struct Compiled {
        var revision: Int
        var facts: HostFacts
        var compilation: Compilation
        /// What has changed in the topology since, for that revision.
        var pending: (revision: Int, change: TopologyChange)?
    }

    struct Confirmation {
        var revision: Revision
        var previous: Int
        var deadline: ContinuousClock.Instant
        /// Who waits for the end of its probes, and what he is told.
        var waiting: (applied: AppliedRevision, reply: Agent.Reply<AppliedRevision>)?
    }

    private struct Retry {
        var at: ContinuousClock.Instant?
        var delay: Duration = .zero

        mutating func schedule(_ now: ContinuousClock.Instant) {
            delay = delay == .zero ? .seconds(1) : min(delay * 2, .seconds(60))
            at = now + delay
        }

        mutating func reset() { self = Retry() }
    }

    init(_ agent: Agent) throws(AgentError) {
        self.agent = agent
        reconciler = HostReconciler(kernel: agent.kernel)
        if let path = agent.configuration.manifests { source = try ManifestDirectory(path: path) }
    }

    // MARK: - The desired state

    func take(_ desired: Desired) { changeInPlace { $0 = desired } }

    /// Changes the desired state where it is: nobody else may hold its topology meanwhile, or all of it would be copied.
    func changeInPlace(_ change: (inout Desired?) -> Void) {
        agent.shared.withLock { state in
            state.desired = nil
            change(&desired)
            state.desired = desired.map(DesiredState.init)
        }
    }

    /// Changes the topology of the desired state where it is.
    /// - Returns: nil, with nothing changed, where the change says so.
    func changeTopology(_ change: (inout Desired) -> TopologyChange?) -> TopologyChange? {
        compiled?.compilation.releaseTopology()
        var result: TopologyChange?
        changeInPlace { desired in
            guard var next = desired.take() else { return }
            result = change(&next)
            desired = next
        }
        if result == nil { keepTopology() }
        return result
    }

    /// Takes a change of the topology back.
    func revert(_ change: TopologyChange) {
        changeInPlace { desired in
            guard var next = desired.take() else { return }
            next.index.revert(change, in: &next.topology)
            desired = next
        }
        keepTopology()
    }

    private func keepTopology() {
        guard let desired, compiled?.revision == desired.revision.number, compiled?.pending == nil else {
            compiled = nil
            return
        }
        compiled?.compilation.keep(desired.topology)
    }

    /// Knows how what was compiled differs from the desired state, which is to be another revision now.
    func note(_ change: TopologyChange, for revision: Int) {
        if compiled?.revision != desired?.revision.number || compiled?.pending != nil { compiled = nil }
        compiled?.pending = (revision, change)
    }

    /// Knows what a revision is compiled to as long as nothing has changed.
    func expect(_ compilation: Compilation, of facts: HostFacts, for revision: Int) {
        expected = Compiled(revision: revision, facts: facts, compilation: compilation)
    }

    /// What a set that is prepared now is compared with and compiled for.
    func preparationBase(for proposal: Proposal) -> PreparationBase {
        var base = PreparationBase(revision: desired?.revision.number, snapshot: mirror?.mirror.snapshot)
        base.topology = desired?.topology
        // Only who asks for what is in force already, and for good, is answered without a new revision.
        if case .request(nil, _) = proposal.origin, confirmation == nil { base.digest = desired?.revision.digest }
        return base
    }

    // MARK: - The loop

    func run() {
        start()
        while !isStopping {
            if isPassDue { pass() }
            answerSettled()
            giveBackMemory()
            wait()
            for command in agent.mailbox.take() { carryOut(command) }
            takeSourceChanges()
            meetDeadlines()
        }
        endProbing()
        endPreparing()
        for reply in settling { reply(.failure(AgentError(.stopping, "the agent is about to end"))) }
    }

    private func answerSettled() {
        // Another pass is due where somebody interfered with the last one, or a newer request came.
        if isPassDue || isPreparing || settling.isEmpty { return }
        let status = agent.shared.withLock { $0.status }
        for reply in settling { reply(.success(status)) }
        settling.removeAll()
    }

    /// What reading a whole set took. The allocator keeps it, for a hundred thousand interfaces as much as the daemon
    /// needs for all the time until somebody changes all of them again.
    private func giveBackMemory() {
        if isPassDue || !hasReadWholeSet { return }
        hasReadWholeSet = false
        linux_give_back_memory()
    }

    /// Waits until something has happened or is due.
    private func wait() {
        if isPassDue { return }
        let descriptors = [
            agent.mailbox.fileDescriptor, source?.fileDescriptor ?? -1, mirror?.mirror.fileDescriptor ?? -1,
        ]
        var requests = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        let deadline = nextDeadline
        let ready = poll(&requests, nfds_t(requests.count), Self.milliseconds(until: deadline))
        if ready > 0, requests[2].revents != 0 { isPassDue = true }
    }

    private var nextDeadline: ContinuousClock.Instant {
        let now = ContinuousClock.now
        let deadlines = [loadDue, retry.at, confirmation?.deadline, ledger.nextDeadline(after: now)]
        return deadlines.compactMap(\.self).reduce(min(resyncDue, checkDue), min)
    }

    private static func milliseconds(until deadline: ContinuousClock.Instant) -> Int32 {
        let (seconds, attoseconds) = ContinuousClock.now.duration(to: deadline).components
        if seconds < 0 || attoseconds < 0 { return 0 }
        // Rounded up, so as not to spin through the last millisecond.
        return Int32(
            clamping: min(seconds, 1_000_000) * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }

    private func takeSourceChanges() {
        guard let source else { return }
        do {
            loadDue = try source.noteChanges()
        } catch {
            agent.log.error("\(error)")
        }
    }

    private func meetDeadlines() {
        let now = ContinuousClock.now
        if let due = loadDue, due <= now {
            loadDue = nil
            loadChanges()
        }
        if let due = retry.at, due <= now {
            retry.at = nil
            isPassDue = true
        }
        if let due = ledger.nextDeadline(after: now), due <= now { isPassDue = true }
        for subject in ledger.forget(at: now) { clearAlarm(subject) }
        if let due = confirmation?.deadline, due <= now { revert("it was not confirmed in time") }
        if resyncDue <= now { resynchronize() }
        if checkDue <= now {
            checkDue = now + Self.checkInterval
            (isCheckDue, isPassDue) = (true, true)
        }
    }

    /// Trusts nothing that was heard: reads manifests and kernel again.
    private func resynchronize() {
        loadDue = nil
        // Its files may have been put right, or what it needs of the machine has come.
        if unusable != nil { takeUpNewest() }
        loadSource()
        (isResyncDue, isPassDue) = (true, true)
    }

    func carryOut(_ command: Agent.Command) {
        switch command {
        case .stop: isStopping = true
        case .settle(let reply):
            isPassDue = true
            settling.append(reply)
        case .resynchronize: resynchronize()
        case .reload(let reply):
            resynchronize()
            whenSourceIsTaken(reply)
        case .ping(let reply): reply(.success(()))
        case .apply(let sources, let seconds, let reply):
            do throws(AgentError) {
                try checkTrial(seconds)
                propose(
                    Proposal(origin: .request(confirmSeconds: seconds, reply), load: { ManifestSet(sources) }))
            } catch {
                reply(.failure(error))
            }
        case .prepared(let result): take(result)
        case .probed(let revision, let outcomes): take(outcomes, of: revision)
        case .confirm(let reply): reply(Result { () throws(AgentError) in try confirm() })
        case .rollback(let number, let reply):
            let revisions = agent.revisions
            propose(
                Proposal(origin: .rollback(number, reply)) { () throws(AgentError) in
                    ManifestSet(try revisions.sources(of: revisions.revision(number)))
                })
        }
    }

    // MARK: - A pass

    /// What one pass came to.
    struct PassResult {
        var plan: HostPlan
        var outcome: HostOutcome
    }

    /// Brings the kernel to the desired state, as far as it goes.
    /// - Returns: nil where there is no desired state, or the kernel cannot be read.
    @discardableResult
    func pass() -> Result<PassResult, AgentError>? {
        isPassDue = false
        guard let desired else {
            // Nobody may have told of a change that is not to be acted upon; the queue must not fill up.
            if let mirror { _ = try? mirror.mirror.update() }
            scheduleResync()
            return nil
        }
        let begin = ContinuousClock.now
        do {
            let update = try observe(desired)
            if isResyncDue { scheduleResync() }
            // Of what changed nothing was ours.
            if update.isEmpty, state == .settled, ledger.entries.isEmpty, !hasRefusals { return nil }
            return .success(try reconcile(desired, update, begin))
        } catch {
            fail(error)
            return .failure(AgentError(.kernel, "\(error)"))
        }
    }

    private func scheduleResync() {
        isResyncDue = false
        // Many hosts that were started together are not to be busy together.
        let seconds = Double(agent.configuration.resyncSeconds) * Double.random(in: 0.9...1.1)
        resyncDue = ContinuousClock.now + .milliseconds(Int(seconds * 1000))
    }

    private func fail(_ error: any Error) {
        mirror = nil
        compiled = nil
        state = .failed
        let now = ContinuousClock.now
        retry.schedule(now)
        if isResyncDue { scheduleResync() }
        agent.log.error("\(error); trying again in \(retry.delay.components.seconds) s")
        if let error = error as? NetlinkError {
            agent.shared.withLock { $0.metrics.netlinkErrors[error.errnoName, default: 0] += 1 }
        }
        let isNews = agent.shared.withLock { state -> Bool in
            let isNews = state.status.reason != "\(error)"
            (state.status.phase, state.status.reason) = (.failed, "\(error)")
            return isNews
        }
        if isNews { agent.events.add(.applyFailed, "\(error)", revision: desired?.revision.number) }
    }

    private func reconcile(
        _ desired: Desired, _ update: KernelMirror.Update, _ begin: ContinuousClock.Instant
    ) throws -> PassResult {
        guard let box = mirror else { throw AgentError(.kernel, "the kernel is not observed") }
        let isSame = try compile(desired, box.mirror.snapshot)
        guard let compilation = compiled?.compilation else { throw AgentError(.kernel, "nothing was compiled") }

        var plan = try reconciler.plan(compilation, from: box.mirror.snapshot, routes: suspectRoutes)
        let paused = ledger.paused(at: begin)
        // What cannot be had for now is not looked for, and neither is what nobody repairs.
        let isWhole = plan.changes.conflicts.isEmpty && paused.isEmpty
        plan.changes = plan.changes.without(paused)
        var outcome = HostOutcome()
        if plan.changes.counts.total > 0 {
            outcome.report = agent.kernel.commit(plan.changes, owner: Conventions.ownership)
            outcome.remaining = try remaining(compilation, box, paused, after: plan.changes)
            // Somebody else's transaction came in between: once more, from what is there now.
            for _ in 1..<Self.attempts where outcome.report.failures.contains(where: { $0.reason == .stale }) {
                let again = outcome.remaining
                outcome.report = outcome.report.retried(
                    by: agent.kernel.commit(again, owner: Conventions.ownership))
                outcome.remaining = try remaining(compilation, box, paused, after: again)
            }
            try reconciler.cutLateConnections(plan, &outcome.report)
        }
        let result = PassResult(plan: plan, outcome: outcome)
        note(result, desired, update, isDrift: wasReached && isSame, begin)
        suspectRoutes = state == .settled && isWhole && outcome.remaining.isEmpty ? .none : .any
        return result
    }

    private static let attempts = 8

    /// Whether a device cannot be had because others use it. That their routes are gone is not told of.
    private var hasRefusals: Bool { !(compiled?.facts.foreignDevices.isEmpty ?? true) }

    private func observe(_ desired: Desired) throws -> KernelMirror.Update {
        func request() -> ObservationRequest {
            HostReconciler<KernelDriver>.observation(of: desired.topology, host: desired.host)
        }
        guard let box = mirror else {
            mirror = MirrorBox(try KernelMirror(agent.kernel, request()))
            suspectRoutes = .any
            var update = KernelMirror.Update()
            update.kinds = Set(ObjectKind.allCases)
            return update
        }
        if compiled?.revision != desired.revision.number { try box.mirror.follow(request()) }
        // The safety net looks at everything.
        if isResyncDue { suspectRoutes = .any }
        var update = isResyncDue ? try box.mirror.resynchronize() : try box.mirror.update()
        if isCheckDue {
            isCheckDue = false
            update.add(try box.mirror.checkParameters())
            update.add(try box.mirror.checkLinks())
        }
        suspectRoutes.formUnion(update.routes)
        if update.wasOverrun {
            agent.events.add(.resynchronized, "notifications of the kernel were lost; everything was read again")
        }
        return update
    }

    /// Compiles where that may give another intent.
    /// - Returns: whether the intent is that of the pass before.
    private func compile(_ desired: Desired, _ snapshot: KernelSnapshot) throws -> Bool {
        let facts = try reconciler.facts(of: desired.host, in: desired.topology, from: snapshot)
        if let compiled, compiled.revision == desired.revision.number, compiled.facts == facts, retry.delay == .zero {
            return true
        }
        if let ready = expected.take(), ready.revision == desired.revision.number, ready.facts == facts,
            retry.delay == .zero
        {
            compiled = ready
            suspectRoutes = .any
            return false
        }
        if followWays(desired, facts, snapshot) || followCompiled(desired, facts, snapshot) { return false }
        let before = compiled
        let compilation = try reconciler.compile(desired.topology, desired.host, facts, snapshot.host)
        compiled = Compiled(revision: desired.revision.number, facts: facts, compilation: compilation)
        suspectRoutes = .any
        return before?.revision == desired.revision.number && before?.facts == facts
    }

    /// Where only the ways to other hosts are others, no route of ours is: as after no change at all.
    private func followWays(_ desired: Desired, _ facts: HostFacts, _ snapshot: KernelSnapshot) -> Bool {
        guard let compiled, compiled.revision == desired.revision.number, compiled.pending == nil, retry.delay == .zero,
            compiled.facts.differOnlyInWays(from: facts)
        else { return false }
        return recompile(desired, facts, snapshot, following: TopologyChange())
    }

    /// Changes what was compiled where only little of the topology has changed since.
    private func followCompiled(_ desired: Desired, _ facts: HostFacts, _ snapshot: KernelSnapshot) -> Bool {
        guard let pending = compiled?.pending, pending.revision == desired.revision.number, compiled?.facts == facts,
            retry.delay == .zero
        else { return false }
        let number = desired.revision.number
        if let moved = compiled?.compilation.follow(pending.change, in: desired.topology, host: desired.host) {
            compiled?.pending = nil
            compiled?.revision = number
            suspectRoutes.insert(moved)
            return true
        }
        return recompile(desired, facts, snapshot, following: pending.change)
    }

    /// Compiles all but the routes, which follow those of before.
    private func recompile(
        _ desired: Desired, _ facts: HostFacts, _ snapshot: KernelSnapshot, following change: TopologyChange
    ) -> Bool {
        guard let former = compiled.take()?.compilation,
            let (compilation, routes) = reconciler.compile(
                desired.topology, desired.host, facts, snapshot.host, following: former, change)
        else { return false }
        compiled = Compiled(revision: desired.revision.number, facts: facts, compilation: compilation)
        suspectRoutes.insert(routes)
        return true
    }

    private func remaining(
        _ compilation: Compilation, _ box: MirrorBox, _ paused: Set<RepairLedger.Subject>, after plan: ChangePlan
    ) throws -> ChangePlan {
        suspectRoutes.formUnion(try box.mirror.update(after: plan).routes)
        // With a device go routes that nobody tells of.
        if plan.steps.contains(where: { $0.work.kind == .link }) { suspectRoutes = .any }
        return compilation.intent.changes(
            from: box.mirror.snapshot, owner: Conventions.ownership, routes: suspectRoutes
        ).without(paused)
    }

    // MARK: - Taking note

    private func note(
        _ result: PassResult, _ desired: Desired, _ update: KernelMirror.Update, isDrift: Bool,
        _ begin: ContinuousClock.Instant
    ) {
        let now = ContinuousClock.now
        let report = result.outcome.report
        settle(result, now)
        let isClean = state == .settled
        let repaired = isDrift ? repairedOperations(result) : []
        let fights = ledger.note(repaired, at: now) { resource($0, desired) }
        let problems = Problems(result, desired.topology)
        let (wasObserved, wasFailed) = agent.shared.withLock { state -> (Int?, Bool) in
            let before = (state.status.observedRevision, state.status.phase == .failed)
            state.metrics.note(result, repaired, update, passed: begin.duration(to: now))
            state.status.host = desired.hostName
            state.status.desiredRevision = desired.revision.number
            if isClean { state.status.observedRevision = desired.revision.number }
            state.status.problems = problems.byResource
            state.status.examinedRevision = desired.revision.number
            state.status.resourceCount = desired.resourceCount
            (state.status.phase, state.status.reason) = problems.summary
            state.status.alarms = alarms(now)
            return before
        }
        // Whoever hears of something finds it in the state as well.
        logRepairs(repaired, desired)
        for subject in fights { raiseAlarm(subject, desired) }
        if state == .failed {
            for failure in problems.failures { agent.log.error("\(failure)") }
        }
        if isClean, wasObserved != desired.revision.number {
            let applied = report.applied
            agent.log.notice(
                "revision \(desired.revision.number) is in force: created \(applied.created), changed \(applied.changed), deleted \(applied.deleted)"
            )
            agent.events.add(
                .revisionApplied,
                "created \(applied.created), changed \(applied.changed), deleted \(applied.deleted)",
                revision: desired.revision.number)
        } else if state == .failed, !wasFailed {
            agent.events.add(
                .applyFailed, problems.failures.first ?? "reading back found a difference",
                revision: desired.revision.number)
        }
    }

    /// Decides what comes next.
    private func settle(_ result: PassResult, _ now: ContinuousClock.Instant) {
        let failures = result.outcome.report.failures
        if failures.contains(where: { !$0.reason.isInterference }) {
            state = .failed
        } else if failures.isEmpty, result.outcome.remaining.counts.total == 0 {
            state = .settled
            wasReached = true
        } else if case .disturbed(let count) = state {
            state = count < Self.attempts ? .disturbed(count + 1) : .failed
        } else {
            state = .disturbed(1)
        }
        switch state {
        case .settled, .new: retry.reset()
        case .disturbed: isPassDue = true
        case .failed: retry.schedule(now)
        }
    }

    // MARK: - Requests

    /// Asks for a pass although nothing was heard of the kernel.
    func requestPass() { isPassDue = true }

    func noteNewDesiredState() {
        state = .new
        wasReached = false
        retry.reset()
        ledger.reset()
        isPassDue = true
    }
}

extension Model {
    var resourceCount: Int {
        hosts.count + vpcs.count + subnets.count + routeTables.count + interfaces.count + securityGroups.count
            + acls.count + probes.count
    }
}
