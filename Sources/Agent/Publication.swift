import HTTPBalancer
import VPCCompiler
import KernelModel
import Liveness
import Logging
import Netlink
import Reconciler
import Synchronization
import VPCManifest
import VPCModel

/// What others are told of the loop's work: status, events and metrics as values behind a lock, and the log. Whoever hears
/// of an event finds it in the status as well.
final class Publication: Sendable {
    let events = EventLog()
    let log: Logger
    private let published = Mutex(Published())

    private struct Published {
        var status = AgentStatus()
        var metrics = AgentMetrics()
        var desired: DesiredState?
        var pendingChanges = 0
        /// When connections have found no public port; nil: not lately.
        var withoutPort: ContinuousClock.Instant?
        /// What the last pass has left; nil where something else is the case since.
        var leftOver: (problems: [ResourceReference: ResourceProblem], phase: AgentStatus.Phase, reason: String?)?
        var balancers: [String: BalancerKeeper.Report] = [:]

        /// What keeps resources from being ready, of passes and of load balancers.
        mutating func judge() {
            guard let leftOver else { return }
            (status.problems, status.phase, status.reason) = leftOver
            for (name, report) in balancers.sorted(by: { $0.key < $1.key }) {
                guard let problem = report.problem else { continue }
                let resource = ResourceReference(.networkInterface, name).declared
                status.problems[resource] = ResourceProblem(phase: .failed, reason: problem)
                if status.phase != .failed { (status.phase, status.reason) = (.failed, "\(resource): \(problem)") }
            }
        }
    }

    init(_ log: Logger) { self.log = log }

    // MARK: - Reading

    var status: AgentStatus { published.withLock { $0.status } }
    var metrics: AgentMetrics { published.withLock { $0.metrics } }
    /// Nil until a valid one is known.
    var desired: DesiredState? { published.withLock { $0.desired } }
    /// Changes that are prepared or wait for it.
    var pendingChanges: Int {
        get { published.withLock { $0.pendingChanges } }
        set { published.withLock { $0.pendingChanges = newValue } }
    }

    // MARK: - The desired state

    /// - Parameter started: Seconds since 1970.
    func begin(started: Int, source: String?) {
        published.withLock { ($0.status.started, $0.status.source) = (started, source) }
    }

    /// Publishes what becomes of the desired state; until then none, because who changes its topology in place must be the
    /// only one who has it.
    func change(_ desired: inout Desired?, _ change: (inout Desired?) -> Void) {
        published.withLock { published in
            published.desired = nil
            change(&desired)
            published.desired = desired.map(DesiredState.init)
        }
    }

    /// There is a new desired state.
    func accepted(_ desired: Desired) {
        let (number, cause) = (desired.revision.number, desired.revision.cause)
        published.withLock { published in
            published.status.desiredRevision = number
            published.status.host = desired.hostName
            (published.status.phase, published.status.reason) = (.pending, "revision \(number) is being applied")
            published.leftOver = nil
            published.status.confirmation = nil
            published.metrics.revisionsAccepted += 1
        }
        log.notice("revision \(number) accepted (\(cause))")
        events.add(.revisionAccepted, "\(cause)", revision: number)
    }

    /// What is wrong with what the source holds now; nothing where it is all right.
    /// - Parameter isIdle: No desired state is known, and that is why.
    func rejected(_ diagnostics: [LocatedDiagnostic], isIdle: Bool) {
        let isNews = published.withLock { published -> Bool in
            let isNews = published.status.rejected != diagnostics
            published.status.rejected = diagnostics
            if isNews, !diagnostics.isEmpty { published.metrics.revisionsRejected += 1 }
            if isIdle { published.status.reason = diagnostics.first?.description }
            return isNews
        }
        guard isNews, let first = diagnostics.first else { return }
        for diagnostic in diagnostics.prefix(20) { log.error("\(diagnostic)") }
        let more = diagnostics.count > 1 ? " (and \(diagnostics.count - 1) more)" : ""
        events.add(.revisionRejected, "\(first)\(more)")
    }

    /// The newest revision cannot be taken up.
    func unusable(_ revision: Int, _ reason: String) {
        log.critical("\(reason)")
        published.withLock { published in
            (published.status.phase, published.status.reason) = (.failed, reason)
            published.leftOver = nil
        }
        events.add(.revisionRejected, reason, revision: revision)
    }

    // MARK: - Confirmation

    /// A revision goes back unless somebody confirms it.
    func awaitsConfirmation(_ confirmation: AgentStatus.Confirmation) {
        published.withLock { $0.status.confirmation = confirmation }
    }

    func confirmed(_ revision: Int) {
        published.withLock { $0.status.confirmation = nil }
        log.notice("revision \(revision) is confirmed")
        events.add(.confirmed, "it stays in force", revision: revision)
    }

    func reverted(_ revision: Int, _ reason: String) {
        log.warning("revision \(revision) is taken back: \(reason)")
        events.add(.reverted, reason, revision: revision)
        published.withLock { $0.metrics.reverts += 1 }
    }

    func notReverted(_ revision: Int, _ error: any Error) {
        log.critical("revision \(revision) cannot be taken back: \(error)")
        events.add(.applyFailed, "revision \(revision) cannot be taken back: \(error)", revision: revision)
    }

    func probed(_ outcomes: [ProbeOutcome], revision: Int) {
        for outcome in outcomes {
            events.add(
                .probeFinished, "\(outcome.verdict.rawValue): \(outcome.reason)",
                resource: "Probe/\(outcome.name)", revision: revision)
        }
    }

    // MARK: - Who is watched

    func watched(
        _ gateways: [AgentStatus.Gateway], _ targets: [AgentStatus.Target], notes: [ResourceReference: String]
    ) {
        published.withLock {
            ($0.status.gateways, $0.status.targets, $0.status.notes) = (gateways, targets, notes)
        }
    }

    /// - Parameter reason: Nil: they are watched.
    func watchingFailed(_ reason: String?) {
        let isNews = published.withLock { published -> Bool in
            defer { published.status.livenessComplaint = reason }
            return published.status.livenessComplaint != reason
        }
        if let reason, isNews { log.error("next hops: \(reason)") }
    }

    /// Tells of next hops that went down or came up. What is known for the first time is news only where it is bad.
    func turned(from former: LivenessReport, to now: LivenessReport) {
        for (key, verdict) in now.verdicts.sorted(by: { $0.key < $1.key }) {
            let before = former.verdicts[key]
            guard before?.isAlive != verdict.isAlive, before != nil || !verdict.isAlive else { continue }
            if let target = WatchedTarget(key) {
                // Nobody has asked yet.
                if before == nil, verdict.reason == LivenessVerdict.unknown { continue }
                let text =
                    "target \(target.interface) of \(target.group) is \(verdict.isAlive ? "healthy" : "unhealthy: \(verdict.reason)")"
                note(text, isGood: verdict.isAlive)
                events.add(
                    verdict.isAlive ? .targetHealthy : .targetUnhealthy, text, resource: "TargetGroup/\(target.group)")
            } else {
                let text = "gateway \(key.name) is \(verdict.isAlive ? "up" : "down: \(verdict.reason)")"
                note(text, isGood: verdict.isAlive)
                events.add(
                    verdict.isAlive ? .gatewayUp : .gatewayDown, text, resource: "NetworkInterface/\(key.name)")
            }
        }
    }

    private func note(_ text: String, isGood: Bool) {
        if isGood { log.notice("\(text)") } else { log.warning("\(text)") }
    }

    // MARK: - Passes

    /// The kernel threw notifications away.
    func overrun() {
        events.add(.resynchronized, "notifications of the kernel were lost; everything was read again")
    }

    /// The kernel could not be read.
    func failed(_ error: any Error, revision: Int?, retryIn delay: Duration) {
        log.error("\(error); trying again in \(delay.components.seconds) s")
        let isNews = published.withLock { published -> Bool in
            if let error = error as? NetlinkError {
                published.metrics.netlinkErrors[error.errnoName, default: 0] += 1
            }
            let isNews = published.status.reason != "\(error)"
            (published.status.phase, published.status.reason) = (.failed, "\(error)")
            published.leftOver = nil
            return isNews
        }
        if isNews { events.add(.applyFailed, "\(error)", revision: revision) }
    }

    /// A pass has come to its end.
    func passed(_ result: HostPass.Result, for desired: Desired, _ alarms: [AgentStatus.Alarm]) {
        let number = desired.revision.number
        let problems = Problems(result, desired.topology)
        let isClean = result.state == .settled
        let (wasObserved, wasFailed) = published.withLock { published -> (Int?, Bool) in
            let before = (published.status.observedRevision, published.status.phase == .failed)
            published.metrics.note(result)
            published.status.host = desired.hostName
            published.status.desiredRevision = number
            if isClean { published.status.observedRevision = number }
            published.status.examinedRevision = number
            published.status.resourceCount = desired.resourceCount
            published.leftOver = (problems.byResource, problems.summary.0, problems.summary.1)
            published.judge()
            published.status.alarms = alarms
            return before
        }
        repaired(result.repaired, desired)
        for subject in result.fights { alarmRaised(subject, number) }
        if result.state == .failed {
            for failure in problems.failures { log.error("\(failure)") }
        }
        if isClean, wasObserved != number {
            let applied = result.outcome.report.applied
            let text = "created \(applied.created), changed \(applied.changed), deleted \(applied.deleted)"
            log.notice("revision \(number) is in force: \(text)")
            events.add(.revisionApplied, text, revision: number)
        } else if result.state == .failed, !wasFailed {
            events.add(
                .applyFailed, problems.failures.first ?? "reading back found a difference", revision: number)
        }
    }

    // MARK: - Load balancers

    /// How this host's instances of load balancers are, by the names of their interfaces.
    func balanced(_ reports: [String: BalancerKeeper.Report]) {
        let former = published.withLock { published in
            defer {
                published.balancers = reports
                published.judge()
            }
            return published.balancers
        }
        for (name, report) in reports.sorted(by: { $0.key < $1.key }) where report.problem != former[name]?.problem {
            let resource = ResourceReference(.networkInterface, name).declared
            if let problem = report.problem {
                log.error("\(resource): \(problem)")
                events.add(.alarmRaised, problem, resource: "\(resource)")
            } else {
                log.notice("\(resource): it serves")
                events.add(.alarmCleared, "it serves", resource: "\(resource)")
            }
        }
    }

    // MARK: - Connections

    /// The host's connections were counted.
    func counted(_ uses: [ConnectionUse], _ table: TrackingTable) {
        let uses = uses.sorted { $0.owner < $1.owner }
        let (before, revision) = published.withLock { published -> ([ConnectionUse], Int?) in
            let before = published.status.connections
            (published.status.connections, published.status.trackingTable) = (uses, table)
            return (before, published.status.observedRevision)
        }
        let known = Dictionary(before.map { ($0.owner, $0) }, uniquingKeysWith: { first, _ in first })
        for use in uses {
            note(use, since: known[use.owner], revision)
            notePorts(of: use, since: known[use.owner], revision)
        }
    }

    /// How many connections have found no public port.
    /// - Parameter more: Since the last look.
    func unplaced(_ count: Int, more: Int, _ uses: [ConnectionUse]) {
        let (isNews, isOver) = published.withLock { published in
            published.status.unplaced = count
            let before = published.withoutPort
            if more >= Self.unplacedThatMatter { published.withoutPort = .now }
            let isOver = before.map { $0 + Self.patience < .now } ?? false && more < Self.unplacedThatMatter
            if isOver { published.withoutPort = nil }
            return (before == nil && more >= Self.unplacedThatMatter, isOver)
        }
        if isNews {
            let gateways = uses.filter { $0.ports != nil }.sorted { $0.tracked > $1.tracked }.prefix(3)
            let most = gateways.map { "\($0.owner.name) with \($0.tracked) connections and \($0.ports ?? 0) ports" }
            let text =
                "\(more) connections have found no free public port; most has \(most.joined(separator: ", then "))"
            log.warning("\(text)")
            events.add(
                .alarmRaised, text,
                resource: uses.count { $0.ports != nil } == 1 ? gateways.first.map { "\($0.owner)" } : nil)
        } else if isOver {
            log.notice("connections find public ports again")
            events.add(.alarmCleared, "connections find public ports again")
        }
    }

    /// Two that take a port at the same moment lose one of them now and then.
    private static let unplacedThatMatter = 4
    /// Without one that finds none.
    private static let patience = Duration.seconds(60)

    private func notePorts(of use: ConnectionUse, since former: ConnectionUse?, _ revision: Int?) {
        guard let ports = use.ports, use.isShortOfPorts != former?.isShortOfPorts ?? false else { return }
        let text = "it has \(use.tracked) connections with \(ports) public ports"
        if use.isShortOfPorts {
            log.warning("\(use.owner): \(text): to one destination there may soon be none left")
        } else {
            log.notice("\(use.owner): \(text)")
        }
        events.add(
            use.isShortOfPorts ? .alarmRaised : .alarmCleared, text, resource: "\(use.owner)", revision: revision)
    }

    private func note(_ use: ConnectionUse, since former: ConnectionUse?, _ revision: Int?) {
        let (wasAlarming, wasRefused) = (former?.isAlarming ?? false, former?.isRefused ?? false)
        let resource = "\(use.owner)"
        let numbers = "\(use.tracked) of at most \(use.limit) tracked connections"
        if use.isAlarming && !wasAlarming || use.isRefused && !wasRefused {
            let text = "it has \(numbers)\(use.isRefused ? "; new ones are refused" : "")"
            log.warning("\(resource): \(text)")
            events.add(.alarmRaised, text, resource: resource, revision: revision)
        } else if wasAlarming, !use.isAlarming {
            log.notice("\(resource): it has \(numbers)")
            events.add(.alarmCleared, "it has \(numbers)", resource: resource, revision: revision)
        }
    }

    // MARK: - Uplinks

    /// How the ways to external networks are.
    func uplinks(_ uplinks: [AgentStatus.Uplink]) {
        let before = published.withLock { published in
            defer { published.status.uplinks = uplinks }
            return Dictionary(
                published.status.uplinks.map { ($0.network, $0) }, uniquingKeysWith: { first, _ in first })
        }
        for uplink in uplinks where uplink != before[uplink.network] {
            let resource = "ExternalNetwork/\(uplink.network)"
            if let reason = uplink.reason {
                log.warning("\(resource) cannot be reached: \(reason)")
                events.add(.alarmRaised, "it cannot be reached: \(reason)", resource: resource)
            } else if before[uplink.network]?.isUp == false {
                log.notice("\(resource) is reached again")
                events.add(.alarmCleared, "it is reached again", resource: resource)
            }
        }
    }

    // MARK: - Translations

    func translationsRecorded(_ count: Int, lost: Int = 0) {
        published.withLock { published in
            published.metrics.translations.recorded += count
            published.metrics.translations.unwritten += lost
        }
    }

    /// The kernel has thrown away news of connections.
    func translationsLost() {
        published.withLock { $0.metrics.translations.overruns += 1 }
        log.warning("translations are missing from their record: the kernel threw news of connections away")
    }

    /// - Parameter reason: Nil: they are recorded again.
    func translationsUnrecorded(_ reason: String?) {
        let text = reason.map { "translations are not recorded: \($0)" } ?? "translations are recorded again"
        if reason == nil { log.notice("\(text)") } else { log.error("\(text)") }
        events.add(reason == nil ? .alarmCleared : .alarmRaised, text)
    }

    // MARK: - Pairs of gateways

    /// What is said of the pairs that this host is in.
    func told(_ pairs: [AgentStatus.GatewayPair]) {
        let (before, revision) = published.withLock { published -> ([AgentStatus.GatewayPair], Int?) in
            let before = published.status.gatewayPairs
            published.status.gatewayPairs = pairs
            return (before, published.status.observedRevision)
        }
        let known = Dictionary(before.map { ($0.network, $0) }, uniquingKeysWith: { first, _ in first })
        for pair in pairs { note(pair, since: known[pair.network], revision) }
    }

    private func note(_ told: AgentStatus.GatewayPair, since former: AgentStatus.GatewayPair?, _ revision: Int?) {
        let resource = "\(ResourceReference(.externalNetwork, told.network))"
        let (wasActive, isActive) = (former?.pair?.role == "active", told.pair?.role == "active")
        if let pair = told.pair, wasActive != isActive {
            let text =
                isActive ? "this host serves now: \(pair.reason)" : "this host is \(pair.role) now: \(pair.reason)"
            log.notice("\(resource): \(text)")
            events.add(
                isActive ? .gatewayActive : .gatewayInactive, text, resource: resource, revision: revision)
        }
        for problem in told.problems where !(former?.problems.contains(problem) ?? false) {
            log.warning("\(resource): \(problem)")
            events.add(.alarmRaised, problem, resource: resource, revision: revision)
        }
        for problem in former?.problems ?? [] where !told.problems.contains(problem) {
            log.notice("\(resource): no longer so: \(problem)")
            events.add(.alarmCleared, "no longer so: \(problem)", resource: resource, revision: revision)
        }
    }

    // MARK: - Others' filters

    /// The machine's filters were looked through.
    func filtered(_ obstacles: [TunnelObstacle]) {
        let (before, revision) = published.withLock { published -> ([TunnelObstacle], Int?) in
            let before = published.status.obstacles
            published.status.obstacles = obstacles
            return (before, published.status.observedRevision)
        }
        for obstacle in obstacles where obstacle.isCertain && !before.contains(obstacle) {
            log.critical("\(obstacle)")
            events.add(.alarmRaised, "\(obstacle)", revision: revision)
        }
        for obstacle in before where obstacle.isCertain && !obstacles.contains(obstacle) {
            log.notice("no longer so: \(obstacle)")
            events.add(.alarmCleared, "no longer so: \(obstacle)", revision: revision)
        }
    }

    // MARK: - Repairs

    /// What somebody else had changed. One line an object; of very many at once, one a kind.
    private func repaired(_ operations: [KernelModel.Operation], _ desired: Desired) {
        if operations.count > Self.longestListing { return summarize(operations, desired) }
        for operation in operations {
            let resource = desired.resource(of: operation.origin)
            let difference = operation.difference
            log.warning(
                "repaired \(operation.object): \(difference)",
                metadata: [
                    "kind": "\(operation.kind.rawValue)", "resource": "\(resource ?? "-")",
                    "namespace": "\(operation.place.guest?.rawValue ?? "-")",
                ])
            events.add(
                .driftRepaired, difference, object: operation.object, resource: resource,
                revision: desired.revision.number)
        }
    }

    private static let longestListing = 32

    private func summarize(_ operations: [KernelModel.Operation], _ desired: Desired) {
        for kind in ObjectKind.allCases {
            let ofKind = operations.filter { $0.kind == kind }
            // What was gone says more than what gives way for its coming back.
            guard let first = ofKind.first(where: { $0.action == .create }) ?? ofKind.first else { continue }
            let text =
                "\(ofKind.count) changes of kind \(kind.rawValue), among them: \(first.object): \(first.difference)"
            log.warning("repaired \(text)", metadata: ["kind": "\(kind.rawValue)"])
            for operation in ofKind { log.debug("repaired \(operation.object): \(operation.difference)") }
            events.add(
                .driftRepaired, text, object: first.object, resource: desired.resource(of: first.origin),
                revision: desired.revision.number)
        }
    }

    private func alarmRaised(_ subject: RepairLedger.Subject, _ revision: Int) {
        let text =
            "somebody else changes \(subject.object) again and again; it is repaired at longer and longer intervals"
        log.critical("\(text)", metadata: ["kind": "\(subject.kind.rawValue)"])
        events.add(.alarmRaised, text, object: subject.object, revision: revision)
    }

    func alarmCleared(_ subject: RepairLedger.Subject) {
        log.notice("nobody changes \(subject.object) any more")
        events.add(.alarmCleared, "nobody changes it any more", object: subject.object)
        published.withLock { $0.status.alarms.removeAll { $0.object == subject.object } }
    }
}

extension KernelModel.Operation {
    /// What somebody else had done.
    fileprivate var difference: String {
        switch action {
        case .create: "it was missing"
        case .delete: "it did not belong here"
        case .change, .wait: previous.map { "it was \($0)" } ?? "it was different"
        }
    }
}
