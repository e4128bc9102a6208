import Glibc
public import KernelDriver
import KernelModel
import Liveness
import Netlink
public import Logging
public import Reconciler
import Synchronization
public import VPCManifest
public import VPCTopology

/// Keeps a host equal to its desired state. One thread does all the work, see ``run()``; everything else here may be
/// called from any thread.
///
/// Stopping, crashing and being killed leave the kernel as it is: traffic goes on.
public final class Agent: Sendable {
    public let configuration: AgentConfiguration
    public var events: EventLog { publication.events }

    let kernel: any KernelAccess
    let publication: Publication
    let clock: any WaitingClock
    let revisions: RevisionStore
    let connections: ConnectionWatch
    let filters: FilterWatch
    let drains: DrainWatch
    let guestServices: GuestServices
    let translations: TranslationLog
    let uplinks: UplinkWatch
    let balancers: HostBalancers
    let mailbox: Mailbox<Command>
    /// Nil where nobody is watched.
    let liveness: HostLiveness?
    let pairs: PairWatch
    /// Where the loop has sets prepared.
    let preparer = SerialWorker(limit: 1)
    /// Where plans are made that somebody asks for.
    let planner = SerialWorker(limit: 32)
    /// Called on the threads of these two before each piece of work: tests hold them up.
    let beforePreparation = Mutex<(@Sendable () -> Void)?>(nil)
    /// Held until ``run()`` has ended.
    let claim: Mutex<HostClaim?>

    /// What the thread is asked to do.
    enum Command: Sendable {
        case apply([ManifestSource], confirmSeconds: Int?, Reply<AppliedRevision>)
        case change([ResourceChange], Reply<ChangedRevision>)
        case confirm(Reply<Int>)
        case rollback(Int, Reply<AppliedRevision>)
        /// What has become of the set that was to be prepared.
        case prepared(Result<PreparedSet, AgentError>)
        /// Next hops answer, or do not any more.
        case liveness(LivenessReport)
        /// The probes of a revision have come to their end.
        case probed(revision: Int, [ProbeOutcome])
        /// Answered when the kernel is as it shall be, or cannot be made so.
        case settle(Reply<AgentStatus>)
        case resynchronize
        /// Reads the source again, whether or not it was heard of, and then everything else.
        case reload(Reply<Void>)
        /// Only to be answered.
        case ping(Reply<Void>)
        case stop
    }

    typealias Reply<Value> = @Sendable (Result<Value, AgentError>) -> Void

    /// - Throws: `AgentError` where another agent has this host or its state directory, or that cannot be written.
    public convenience init(
        _ configuration: AgentConfiguration, kernel: KernelDriver = KernelDriver(operationalTimeout: .seconds(2)),
        log: Logger
    ) throws(AgentError) {
        try Files.makeDirectory(configuration.stateDirectory)
        let claim = try HostClaim(stateDirectory: configuration.stateDirectory, namespace: kernel.underlay)
        try self.init(configuration, kernel: kernel, claim, SystemClock(), watchingFrom: kernel.underlay, log: log)
    }

    /// - Parameters:
    ///   - claim: Nil where nobody else can have the host.
    ///   - underlay: Where hosts tell each other which next hops answer; nil: nobody is watched.
    init(
        _ configuration: AgentConfiguration, kernel: any KernelAccess, _ claim: HostClaim?, _ clock: any WaitingClock,
        watchingFrom underlay: NetworkNamespace? = nil, log: Logger
    ) throws(AgentError) {
        self.configuration = configuration
        self.kernel = kernel
        self.clock = clock
        self.claim = Mutex(claim)
        publication = Publication(log)
        connections = ConnectionWatch(publication)
        filters = FilterWatch(publication)
        drains = DrainWatch(publication)
        guestServices = try GuestServices(publication)
        uplinks = try UplinkWatch(publication)
        translations = try TranslationLog(stateDirectory: configuration.stateDirectory, publication)
        balancers = try HostBalancers("\(configuration.stateDirectory)/balancers", publication)
        revisions = try RevisionStore(stateDirectory: configuration.stateDirectory, limit: configuration.revisions)
        let mailbox = try Mailbox<Command>()
        self.mailbox = mailbox
        liveness =
            underlay.map { underlay in
                HostLiveness(
                    stateDirectory: configuration.stateDirectory, underlay: underlay, keyFile: configuration.exchangeKey
                ) { _ = mailbox.post(.liveness($0)) }
            }
        let publication = publication
        pairs = PairWatch(path: configuration.gatewaySocket) { publication.told($0) }
        publication.begin(started: time(nil), source: configuration.manifests)
    }

    /// Works until ``stop()``, on the calling thread.
    public func run() throws(AgentError) {
        let loop = try ReconcileLoop(self)
        connections.start()
        filters.start()
        drains.start()
        loop.run()
        liveness?.stop()
        pairs.stop()
        connections.stop()
        filters.stop()
        drains.stop()
        guestServices.stop()
        translations.stop()
        uplinks.stop()
        balancers.stop()
        for command in mailbox.close() { refuse(command) }
        preparer.close()
        planner.close()
        events.finish()
        claim.withLock { $0 = nil }
    }

    /// Ends ``run()`` after the pass that is under way.
    public func stop() { _ = mailbox.post(.stop) }

    // MARK: State

    public var status: AgentStatus { publication.status }
    public var metrics: AgentMetrics { publication.metrics }

    /// How many changes are being prepared or wait for it.
    var pendingChanges: Int { publication.pendingChanges }

    /// Whether a complete desired state was loaded and brought to the kernel at least once.
    public var isReady: Bool { status.observedRevision != nil }

    /// The revisions that are kept, oldest first.
    public func history() throws(AgentError) -> [Revision] { try revisions.revisions() }

    /// The manifests of a revision.
    public func manifests(of number: Int) throws(AgentError) -> [ManifestSource] {
        try revisions.sources(of: revisions.revision(number))
    }

    // MARK: Requests

    /// What a plan is made for.
    public enum PlanSubject: Sendable {
        /// The desired revision: normally nothing is to be done.
        case desired
        /// These manifests, and the resources that were made by API.
        case manifests([ManifestSource])
        /// The desired revision with some resources changed.
        case changes([ResourceChange])
    }

    /// What would be done to the kernel: for these manifests, or without any for the desired revision.
    public func plan(
        _ sources: [ManifestSource]?, while isWanted: @escaping @Sendable () -> Bool = { true }
    ) async throws(AgentError) -> PlannedRevision {
        try await plan(for: sources.map { .manifests($0) } ?? .desired, while: isWanted)
    }

    /// What would be done to the kernel.
    /// - Parameter isWanted: Whether anybody still waits for it.
    public func plan(
        for subject: PlanSubject, while isWanted: @escaping @Sendable () -> Bool = { true }
    ) async throws(AgentError) -> PlannedRevision {
        // At the beginning there may be a desired state that is not taken up yet.
        if case .manifests = subject {} else { try await ping() }
        let result: Result<PlannedRevision, AgentError> = await withCheckedContinuation { continuation in
            let isTaken = planner.post {
                continuation.resume(
                    returning: Result { () throws(AgentError) in try self.makePlan(subject, while: isWanted) })
            } refuse: {
                continuation.resume(returning: .failure(Self.stopping))
            }
            if !isTaken {
                continuation.resume(
                    returning: .failure(AgentError(.busy, "too many plans wait already; try again later")))
            }
        }
        return try result.get()
    }

    /// Makes manifests the desired state and brings it to the kernel.
    ///
    /// They stay in force until the manifest directory changes.
    /// - Parameter confirmSeconds: Time for ``confirm()``; when it is over, or a probe fails, the revision before comes
    ///   back by itself. Nil: it is for good.
    public func apply(
        _ sources: [ManifestSource], confirmSeconds: Int? = nil
    ) async throws(AgentError) -> AppliedRevision {
        try await ask { .apply(sources, confirmSeconds: confirmSeconds, $0) }
    }

    /// Makes, replaces and deletes resources beside the manifests, all of it or nothing, and brings that to the kernel.
    ///
    /// They stay whatever becomes of the manifests, until they are deleted, or a rollback brings back what was before them.
    public func change(_ changes: [ResourceChange]) async throws(AgentError) -> ChangedRevision {
        try await ask { .change(changes, $0) }
    }

    /// Keeps the revision that awaits it.
    /// - Returns: its number.
    public func confirm() async throws(AgentError) -> Int { try await ask { .confirm($0) } }

    /// Makes an earlier revision the desired state, as a new one.
    public func rollback(to number: Int) async throws(AgentError) -> AppliedRevision {
        try await ask { .rollback(number, $0) }
    }

    /// Waits until what the kernel has told so far is answered.
    /// - Returns: how things are then: ready, or why not.
    public func settled() async throws(AgentError) -> AgentStatus { try await ask { .settle($0) } }

    /// Has everything read again, now.
    public func resynchronize() { _ = mailbox.post(.resynchronize) }

    func ask<Value: Sendable>(
        _ command: @Sendable (@escaping Reply<Value>) -> Command
    ) async throws(AgentError) -> Value {
        let result: Result<Value, AgentError> = await withCheckedContinuation { continuation in
            if !mailbox.post(command({ continuation.resume(returning: $0) })) {
                continuation.resume(returning: .failure(Self.stopping))
            }
        }
        return try result.get()
    }

    private static let stopping = AgentError(.stopping, "the agent is about to end")

    private func refuse(_ command: Command) {
        switch command {
        case .apply(_, _, let reply): reply(.failure(Self.stopping))
        case .change(_, let reply): reply(.failure(Self.stopping))
        case .confirm(let reply): reply(.failure(Self.stopping))
        case .rollback(_, let reply): reply(.failure(Self.stopping))
        case .settle(let reply): reply(.failure(Self.stopping))
        case .reload(let reply), .ping(let reply): reply(.failure(Self.stopping))
        case .prepared, .liveness, .probed, .resynchronize, .stop: break
        }
    }
}

/// A desired state, and what would be done for it.
public struct PlannedRevision: Sendable {
    /// A number of `topology.hosts`.
    public var host: Int
    public var topology: Topology
    /// To find places in.
    public var manifests: ManifestSet
    public var plan: HostPlan
}

/// A revision that was brought to the kernel.
public struct AppliedRevision: Sendable {
    public var revision: Revision
    public var planned: PlannedRevision
    public var outcome: HostOutcome
    /// Of a revision that has to be confirmed.
    public var probes: [ProbeOutcome]
    /// Whether a probe failed, so that the revision before is in force again.
    public var isReverted: Bool
}

/// What became of one Probe of a manifest.
public struct ProbeOutcome: Sendable, Hashable {
    public enum Verdict: String, Sendable {
        case passed
        case failed
        /// It cannot be told from this host.
        case skipped
    }

    public var name: String
    public var verdict: Verdict
    /// One phrase.
    public var reason: String

    public init(name: String, verdict: Verdict, reason: String) {
        self.name = name
        self.verdict = verdict
        self.reason = reason
    }
}
