import CLinux
import KernelModel
import Liveness
import Reconciler
import VPCCompiler
import VPCManifest
import VPCTopology

/// The agent's one thread: waits for the kernel, the manifests, requests and the clock (``Waiting``), takes in what the host
/// shall be, makes a pass (``HostPass``) and has it told (``Publication``).
final class ReconcileLoop {
    let agent: Agent
    let publication: Publication
    var source: (any DesiredStateSource)?
    /// Nil as long as no complete and valid state is known: then nothing is touched.
    private(set) var desired: Desired?
    /// Why none is known although there are revisions.
    var unusable: UnusableRevision?
    /// What the source held when it was read last, where that is what the desired state was made of.
    var directory = DirectoryContent()
    var sourceWarnings: Set<String> = []
    /// Why the source's last set was not accepted, as long as the rest of it may be about to come.
    var rejection: AgentError?
    /// Whose set is being prepared, and those that wait for theirs to be.
    var proposal: Proposal? { didSet { notePending() } }
    var proposals: [Proposal] = [] { didSet { notePending() } }
    var confirmation: Confirmation? { didSet { waiting.confirmation = confirmation?.deadline } }
    /// Since memory was given back last.
    var hasReadWholeSet = false
    var hostPass: HostPass

    var waiting: Waiting
    /// Something asks for a pass although the kernel told of nothing.
    private var isPassDue = false
    /// What the next pass is to look at though the kernel told of nothing.
    private var scope: HostPass.Scope = []
    /// What was said of the next hops that say `liveness`.
    var liveness = LivenessState()
    private var isStopping = false
    /// Who waits until there is nothing left to do.
    private var settling: [Agent.Reply<AgentStatus>] = []

    struct Confirmation {
        var revision: Revision
        var previous: Int
        var deadline: ContinuousClock.Instant
        /// Who waits for the end of its probes, and what he is told.
        var waiting: (applied: AppliedRevision, reply: Agent.Reply<AppliedRevision>)?
    }

    init(_ agent: Agent) throws(AgentError) {
        self.agent = agent
        publication = agent.publication
        waiting = Waiting(agent.clock)
        hostPass = HostPass(agent.kernel)
        hostPass.liveness = agent.liveness?.remembered ?? KnownLiveness()
        if let path = agent.configuration.manifests { source = try ManifestDirectory(path: path, agent.clock) }
    }

    // MARK: - The desired state

    func take(_ desired: Desired) { changeInPlace { $0 = desired } }

    /// Changes the desired state where it is: nobody else may hold its topology meanwhile, or all of it would be copied.
    func changeInPlace(_ change: (inout Desired?) -> Void) { publication.change(&desired, change) }

    /// Changes the topology of the desired state where it is.
    /// - Returns: nil, with nothing changed, where the change says so.
    func changeTopology(_ change: (inout Desired) -> TopologyChange?) -> TopologyChange? {
        hostPass.compiled.releaseTopology()
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
        guard let desired else { return }
        hostPass.compiled.keep(desired.topology, of: desired.revision.number)
    }

    /// What a set that is prepared now is compared with and compiled for.
    func preparationBase(for proposal: Proposal) -> PreparationBase {
        var base = PreparationBase(
            revision: desired?.revision.number, snapshot: hostPass.snapshot, liveness: hostPass.liveness,
            addresses: keptAddresses)
        if case .rollback(let number, _) = proposal.origin { base.addresses = .ofRevision(number) }
        base.topology = desired?.topology
        // Only who asks for what is in force already, and for good, is answered without a new revision.
        if case .request(nil, _) = proposal.origin, confirmation == nil { base.digest = desired?.revision.digest }
        return base
    }

    /// Those of what is in force, or would be if it could be taken up.
    var keptAddresses: AddressMemory { desired.map { .ofTopology($0.topology) } ?? .ofNewestRevision }

    // MARK: - The loop

    func run() {
        start()
        while !isStopping { turn() }
        endProbing()
        endPreparing()
        for reply in settling { reply(.failure(AgentError(.stopping, "the agent is about to end"))) }
    }

    /// Makes the pass that is due, waits until something has happened, and takes it in.
    func turn() {
        if isPassDue { pass() }
        answerSettled()
        giveBackMemory()
        wait()
        for command in agent.mailbox.take() { carryOut(command) }
        takeSourceChanges()
        meetDeadlines()
    }

    private func answerSettled() {
        // Another pass is due where somebody interfered with the last one, or a newer request came.
        if isPassDue || isPreparing || settling.isEmpty { return }
        let status = publication.status
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

    private func wait() {
        if isPassDue { return }
        let ready = waiting.wait(
            for: [hostPass.fileDescriptor, agent.mailbox.fileDescriptor, source?.fileDescriptor ?? -1])
        if ready[0] { isPassDue = true }
    }

    func takeSourceChanges() {
        guard let source else { return }
        do {
            waiting.load = try source.noteChanges()
        } catch {
            publication.log.error("\(error)")
        }
    }

    private func meetDeadlines() {
        let due = waiting.takeDue()
        if due.contains(.load) { loadChanges() }
        if due.contains(.rejection) { endRejection() }
        if !due.isDisjoint(with: [.retry, .fight]) { requestPass() }
        for subject in hostPass.forgetFights(at: agent.clock.now) { publication.alarmCleared(subject) }
        waitForFights()
        if due.contains(.confirmation) { revert("it was not confirmed in time") }
        if due.contains(.resync) { resynchronize() }
        if due.contains(.check) { requestPass(looking: .untold) }
    }

    /// Nothing has put right what was read last.
    private func endRejection() {
        // Something has changed since, and is about to be read.
        if let load = waiting.load { return waiting.rejection = load }
        if let error = rejection.take(), !isSourceProposed { publishRejection(error) }
    }

    private func waitForFights() { waiting.fight = hostPass.ledger.nextDeadline(after: agent.clock.now) }

    /// Trusts nothing that was heard: reads manifests and kernel again.
    /// - Parameter isReading: Whether manifests are read even while somebody writes to them.
    private func resynchronize(isReading: Bool = false) {
        // Its files may have been put right, or what it needs of the machine has come.
        if unusable != nil { takeUpNewest() }
        if isReading || waiting.load == nil {
            waiting.load = nil
            loadSource(unlessWritten: !isReading)
        }
        requestPass(looking: .everything)
    }

    func carryOut(_ command: Agent.Command) {
        switch command {
        case .stop: isStopping = true
        case .settle(let reply):
            requestPass()
            settling.append(reply)
        case .resynchronize: resynchronize()
        case .reload(let reply):
            resynchronize(isReading: true)
            whenSourceIsTaken(reply)
        case .ping(let reply): reply(.success(()))
        case .apply(let sources, let seconds, let reply):
            do throws(AgentError) {
                try checkTrial(seconds)
                try Agent.checkNames(of: sources)
                propose(
                    Proposal(origin: .request(confirmSeconds: seconds, reply)) { kept throws(AgentError) in
                        ManifestSet(sources + (try kept.madeByAPI()))
                    })
            } catch {
                reply(.failure(error))
            }
        case .change(let changes, let reply): propose(.changes(changes, reply))
        case .prepared(let result): take(result)
        case .liveness(let report): take(report)
        case .probed(let revision, let outcomes): take(outcomes, of: revision)
        case .confirm(let reply): reply(Result { () throws(AgentError) in try confirm() })
        case .rollback(let number, let reply):
            let revisions = agent.revisions
            propose(
                Proposal(origin: .rollback(number, reply)) { _ throws(AgentError) in
                    ManifestSet(try revisions.sources(of: revisions.revision(number)))
                })
        }
    }

    // MARK: - Passes

    /// Asks for a pass although nothing was heard of the kernel.
    func requestPass(looking scope: HostPass.Scope = []) {
        isPassDue = true
        self.scope.formUnion(scope)
    }

    func noteNewDesiredState() {
        hostPass.begin()
        waiting.cancelRetry()
        requestPass()
    }

    /// Brings the kernel to the desired state, as far as it goes.
    /// - Parameter isAwaited: Whether somebody wants to be told what it came to, be there something to do or not.
    /// - Returns: nil where there is no desired state, or nothing to do.
    @discardableResult
    func pass(isAwaited: Bool = false) -> Result<HostPass.Result, AgentError>? {
        isPassDue = false
        let scope = self.scope
        self.scope = []
        if scope.contains(.everything) || desired == nil {
            waiting.scheduleResync(in: agent.configuration.resyncSeconds)
        }
        guard let desired else {
            // Nobody may have told of a change that is not to be acted upon.
            hostPass.drain()
            return nil
        }
        defer { waitForFights() }
        do {
            let begin = agent.clock.now
            let update = try hostPass.observe(desired, scope)
            if update.wasOverrun { publication.overrun() }
            if !isAwaited, hostPass.isIdle(after: update) { return nil }
            let result = try hostPass.reconcile(desired, update, since: begin, agent.clock)
            schedule(after: result.state)
            watch(over: desired)
            if let (shares, kernel) = hostPass.connectionShares(in: desired.topology) {
                agent.connections.follow(shares, in: kernel)
            }
            agent.filters.follow(hostPass.reconciler)
            if let balanced = hostPass.newBalancing() { agent.drains.follow(balanced, in: hostPass.reconciler.kernel) }
            if let plan = hostPass.newUplinkPlan(of: desired) { agent.uplinks.follow(plan) }
            if let plan = hostPass.newTranslationLog(of: desired) { agent.translations.follow(plan) }
            if let plan = hostPass.newGuestServices(of: desired) { agent.guestServices.follow(plan) }
            agent.balancers.follow(desired.topology.httpBalancers(on: desired.host))
            publication.passed(result, for: desired, hostPass.ledger.alarms(at: agent.clock.now))
            return .success(result)
        } catch {
            hostPass.fail()
            publication.failed(error, revision: desired.revision.number, retryIn: waiting.scheduleRetry())
            return .failure(AgentError(.kernel, "\(error)"))
        }
    }

    /// Decides when the next pass is made.
    private func schedule(after state: HostPass.State) {
        switch state {
        case .settled, .new: waiting.cancelRetry()
        case .disturbed: requestPass()
        case .failed: waiting.scheduleRetry()
        }
    }
}
