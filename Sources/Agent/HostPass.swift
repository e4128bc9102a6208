import KernelModel
import KernelNames
import Netlink
import Reconciler
import VPCCompiler
import VPCModel
import VPCTopology

/// Brings the kernel of one host to its desired state, pass by pass: observe, compile, plan, commit, and judge what is left.
/// Here is what a pass has to remember of those before. When one is made, and who is told of it, is not known here.
struct HostPass {
    /// How the last pass ended, of this desired state.
    private(set) var state = State.new
    private(set) var ledger = RepairLedger()
    var compiled = CompiledHost()
    /// Who answers of those that are watched; what is told of them asks for a pass by itself.
    var liveness = KnownLiveness()

    private let kernel: any KernelAccess
    /// For the host that the desired state says this machine is.
    private(set) var reconciler: HostReconciler
    private var namespace: String?
    private var mirror: (any KernelMirroring)?
    /// Where the kernel may not be as was compiled; of all else the last passes have seen that it is.
    private var suspects = SuspectObjects.everything
    /// What the compiler has to know of the machine; nil where that may be another by now.
    private var facts: HostFacts?
    /// Others' addresses when they were found out.
    private var foreignAddresses: [Address] = []
    /// Whether this desired state was reached once: what is found to do since was done by somebody else.
    private var wasReached = false
    /// Whether something else was compiled since somebody asked.
    private var isIntentNew = true
    private var isBalancingNew = true
    /// The namespace in which guests are answered.
    private var servedNamespace: UInt64?
    private var watchedUplinks = UplinkPlan()
    /// Whose translations are recorded.
    private var recorded = TranslationLogPlan()
    /// Since something was settled last: then no short cut is taken.
    private var hasFailed = false

    enum State: Equatable {
        /// A desired state that no pass was made for yet.
        case new
        /// Reading back found the kernel as it shall be.
        case settled
        /// While the pass was under way somebody changed something: so many times in a row.
        case disturbed(Int)
        /// The kernel refused something.
        case failed
    }

    /// What is looked at though the kernel has told of nothing.
    struct Scope: OptionSet {
        let rawValue: UInt8

        /// Parameters, settings of devices, ways to other hosts.
        static let untold = Scope(rawValue: 1 << 0)
        static let everything = Scope(rawValue: 1 << 1)
    }

    /// What one pass came to.
    struct Result {
        var plan: HostPlan
        var outcome: HostOutcome
        var update: KernelUpdate
        /// How it ended.
        var state: State
        /// What was done because somebody else had changed it.
        var repaired: [Operation]
        /// About what a fight has just begun.
        var fights: [RepairLedger.Subject]
        var duration: Duration
    }

    init(_ kernel: any KernelAccess) {
        self.kernel = kernel
        reconciler = HostReconciler(kernel: kernel)
    }

    /// What there is to count, and where; nil as long as nothing was compiled.
    func connectionShares(in topology: Topology) -> (shares: [ConnectionShare], kernel: any KernelAccess)? {
        guard let compilation = compiled.compilation else { return nil }
        let shares = compilation.zones.map { vpc, zone in
            let own = topology.vpcs[vpc]
            return ConnectionShare(ResourceReference(.vpc, own.name), zone: zone, maximum: own.maxConnections)
        }
        let ofGateways = compilation.zonesOfNATGateways.map { number, zone in
            let own = topology.natGateways[number]
            return ConnectionShare(
                ResourceReference(.natGateway, own.name), zone: zone, maximum: own.limits.maxConnections,
                ports: own.pool.ports.reduce(0) { $0 + $1.ports.count })
        }
        return (shares + ofGateways, reconciler.kernel)
    }

    /// Whose guests are answered when they ask; nil where that is as it was when this was asked last.
    mutating func newGuestServices(of desired: Desired) -> GuestServicePlan? {
        guard let compilation = compiled.compilation else { return nil }
        // Another one may have got the name: sockets are in the one that they were made in.
        let identity = compilation.servesDHCP ? namespace.flatMap { try? NetworkNamespace.named($0).identity() } : nil
        if !isIntentNew, identity == servedNamespace { return nil }
        (isIntentNew, servedNamespace) = (false, identity)
        return GuestServicePlan(
            compilation.servedPorts, in: desired.topology, namespace: namespace ?? "", identity: identity ?? 0)
    }

    /// Where load balancers lead; nil where that is as it was when this was asked last.
    mutating func newBalancing() -> BalancedConnections? {
        guard isBalancingNew, let compilation = compiled.compilation else { return nil }
        isBalancingNew = false
        return compilation.balancedConnections
    }

    /// Which uplinks are watched; nil where that is as it was when this was asked last.
    mutating func newUplinkPlan(of desired: Desired) -> UplinkPlan? {
        guard let compilation = compiled.compilation else { return nil }
        var plan = UplinkPlan()
        for (number, device, base) in compilation.uplinksAlone {
            let network = desired.topology.externalNetworks[number]
            plan.uplinks[network.name] = UplinkPlan.Uplink(device: device, base: base, router: network.nextHop)
        }
        if !plan.uplinks.isEmpty, let namespace {
            (plan.namespace, plan.identity) = (namespace, (try? NetworkNamespace.named(namespace).identity()) ?? 0)
        }
        if plan == watchedUplinks { return nil }
        watchedUplinks = plan
        return plan
    }

    /// Whose translations are recorded; nil where that is as it was when this was asked last.
    mutating func newTranslationLog(of desired: Desired) -> TranslationLogPlan? {
        guard let compilation = compiled.compilation else { return nil }
        let (topology, zones) = (desired.topology, compilation.zonesOfNATGateways)
        var plan = TranslationLogPlan()
        for (number, zone) in zones where topology.natGateways[number].logsTranslations {
            let gateway = topology.natGateways[number]
            if gateway.recordsConnections {
                plan.gateways[zone] = gateway.name
            } else {
                plan.blocks[gateway.name] = topology.portBlockRuns(ofNATGateway: number)
            }
        }
        if !plan.isEmpty, let namespace {
            plan.host = topology.hosts[desired.host].metadata.name
            (plan.namespace, plan.identity) = (namespace, (try? NetworkNamespace.named(namespace).identity()) ?? 0)
        }
        if plan == recorded { return nil }
        recorded = plan
        return plan
    }

    /// As of the last look.
    var snapshot: KernelSnapshot? { mirror?.snapshot }

    /// Readable when the kernel has told of something; -1 where nobody listens.
    var fileDescriptor: Int32 { mirror?.fileDescriptor ?? -1 }

    /// A new desired state is a new beginning.
    mutating func begin() {
        if !state.isSettled { facts = nil }
        (state, wasReached, hasFailed) = (.new, false, false)
        ledger.reset()
    }

    /// The kernel could not be read: what is known of it is not reliable any more.
    mutating func fail() {
        (mirror, facts) = (nil, nil)
        compiled.forget()
        (state, hasFailed) = (.failed, true)
    }

    /// Takes in what the kernel has told without acting upon it: the queue must not fill up.
    func drain() { _ = try? mirror?.update(after: nil) }

    /// Forgets what has been quiet for a while.
    /// - Returns: about what a fight is over.
    mutating func forgetFights(at now: ContinuousClock.Instant) -> [RepairLedger.Subject] { ledger.forget(at: now) }

    // MARK: - Observe

    /// Takes in what is new of the kernel.
    /// - Throws: when it cannot be read; then ``fail()``.
    mutating func observe(_ desired: Desired, _ scope: Scope) throws -> KernelUpdate {
        let request = { HostReconciler.observation(of: desired.topology, host: desired.host) }
        serve(desired)
        guard let mirror else {
            mirror = try reconciler.kernel.mirror(request())
            suspects = .everything
            var update = KernelUpdate()
            for kind in ObjectKind.allCases { update.insert(kind) }
            return update
        }
        if !compiled.asksSame(of: desired) {
            try mirror.follow(request())
            facts = nil
        }
        // Of what others use devices for not everything is told.
        if scope.contains(.everything) || !state.isSettled || compiled.hasRefusals { facts = nil }
        var update: KernelUpdate
        if scope.contains(.everything) {
            // The safety net looks at everything.
            suspects = .everything
            update = try mirror.resynchronize()
        } else {
            update = try mirror.update(after: nil)
        }
        if scope.contains(.untold) {
            update.add(try mirror.checkParameters())
            update.add(try mirror.checkLinks())
        }
        note(update)
        return update
    }

    /// A host whose namespace is to have another name is looked at anew.
    private mutating func serve(_ desired: Desired) {
        let wanted = desired.topology.hosts[desired.host].networkNamespace
        if wanted == namespace { return }
        namespace = wanted
        reconciler = HostReconciler(kernel: kernel, namespace: wanted)
        (mirror, facts) = (nil, nil)
    }

    private mutating func note(_ update: KernelUpdate) {
        suspects.formUnion(update.suspects)
        // Ways are compared when they are needed.
        guard let facts, let snapshot, let intent = compiled.compilation?.intent.host else { return self.facts = nil }
        let isSame = !update.kinds.contains(.address) || snapshot.host.foreignAddresses == foreignAddresses
        if !isSame || update.isUnderlayConcerned || !facts.hold(after: update, in: snapshot, intent) {
            self.facts = nil
        }
    }

    /// Whether an update asks for nothing: of what changed nothing was ours, and nothing was left.
    func isIdle(after update: KernelUpdate) -> Bool {
        update.isEmpty && compiled.liveness == liveness && state == .settled && ledger.entries.isEmpty
            && !compiled.hasRefusals
    }

    // MARK: - Reconcile

    /// Brings the kernel to the desired state, as far as it goes.
    /// - Parameters:
    ///   - update: What ``observe(_:_:)`` has just brought.
    ///   - begin: When that was.
    /// - Throws: when the kernel cannot be read; then ``fail()``.
    mutating func reconcile(
        _ desired: Desired, _ update: KernelUpdate, since begin: ContinuousClock.Instant, _ clock: any WaitingClock
    ) throws -> Result {
        guard let mirror else { throw AgentError(.kernel, "the kernel is not observed") }
        let isSame = try compile(desired, mirror.snapshot)
        guard let compilation = compiled.compilation else { throw AgentError(.kernel, "nothing was compiled") }

        var plan = try reconciler.plan(compilation, from: mirror.snapshot, suspects: suspects)
        let paused = ledger.paused(at: begin)
        // What cannot be had for now is not looked for, and neither is what nobody repairs.
        let isWhole = plan.changes.conflicts.isEmpty && paused.isEmpty
        plan.changes = plan.changes.without(paused)
        let outcome = try reconciler.converge(plan) { changes in
            note(try mirror.update(after: changes))
            return compilation.intent.changes(
                from: mirror.snapshot, owner: Conventions.ownership, suspects: suspects,
                renewed: HostReconciler.allRenewed
            ).without(paused)
        }

        let isDrift = wasReached && isSame
        state = state.following(outcome)
        if state == .settled { (wasReached, hasFailed) = (true, false) }
        if state == .failed { hasFailed = true }
        suspects = state == .settled && isWhole && outcome.remaining.isEmpty ? SuspectObjects() : .everything
        let repaired = isDrift ? outcome.done(of: plan.changes) : []
        let now = clock.now
        let fights = ledger.note(repaired, at: now) { desired.resource(of: $0) }
        return Result(
            plan: plan, outcome: outcome, update: update, state: state, repaired: repaired, fights: fights,
            duration: begin.duration(to: now))
    }

    /// Compiles where that may give another intent.
    /// - Returns: whether the intent is that of the pass before.
    private mutating func compile(_ desired: Desired, _ snapshot: KernelSnapshot) throws -> Bool {
        let known = facts.flatMap { $0.paths == snapshot.outside.paths ? $0 : nil }
        var facts = try known ?? reconciler.facts(of: desired.host, in: desired.topology, from: snapshot)
        facts.liveness = liveness
        (self.facts, foreignAddresses) = (facts, snapshot.host.foreignAddresses)
        let change = try compiled.bring(
            to: desired, facts, reconciler, from: snapshot.host, distrusting: hasFailed)
        if change != .none { (isIntentNew, isBalancingNew) = (true, true) }
        switch change {
        case .none: return true
        case .repeated: suspects = .everything
        case .changed(let objects): suspects.formUnion(objects)
        }
        return change == .repeated
    }
}

extension HostPass.State {
    /// Whether nothing is known to have gone wrong.
    fileprivate var isSettled: Bool { self == .settled || self == .new }

    /// How many passes in a row may be disturbed.
    private static let patience = 8

    func following(_ outcome: HostOutcome) -> HostPass.State {
        let failures = outcome.report.failures
        if failures.contains(where: { !$0.reason.isInterference }) { return .failed }
        if failures.isEmpty, outcome.remaining.counts.total == 0 { return .settled }
        guard case .disturbed(let count) = self else { return .disturbed(1) }
        return count < Self.patience ? .disturbed(count + 1) : .failed
    }
}

extension HostOutcome {
    /// Of a plan what has not failed.
    fileprivate func done(of plan: ChangePlan) -> [Operation] {
        let failed = Set(report.failures.map { RepairLedger.Subject($0.operation) })
        var operations: [Operation] = []
        plan.forEachOperation { operation in
            if operation.action != .wait, !failed.contains(RepairLedger.Subject(operation)) {
                operations.append(operation)
            }
        }
        return operations
    }
}

extension Desired {
    /// The name of the resource that an object comes from.
    func resource(of origin: Origin) -> String? {
        origin == .none ? nil : topology.resource(of: origin)?.description
    }
}
