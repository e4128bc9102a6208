public import KernelModel
public import Reconciler
public import VPCManifest

/// What became of an `apply`: the same from `vpcctl apply -o json` and from the agent.
public struct PresentedOutcome: Sendable, Hashable {
    public var host: String?
    /// The number under which the agent keeps the manifests; nil without an agent.
    public var revision: Int?
    /// Whether a probe failed, so that the revision before is in force again.
    public var isReverted = false
    /// Of a revision that has to be confirmed.
    public var probes: [PresentedProbe] = []
    public var applied = ChangePlan.Counts()
    /// Messages and file writes that can modify the kernel's state.
    public var writes = 0
    /// What was refused, a line each.
    public var failures: [String] = []
    /// What stood in the way, a line each.
    public var obstacles: [String] = []
    /// What is not as it might be and kept nothing from being done, a line each.
    public var warnings: [String] = []
    /// What reading back found still to be done.
    public var remaining = ChangePlan.Counts()
    /// The first of it, where nothing else explains it.
    public var remainingOperations: [PresentedOperation] = []

    public init(_ outcome: HostOutcome, of plan: PlanPresentation) {
        host = plan.host
        applied = outcome.report.applied
        writes = outcome.report.writes
        failures = outcome.report.failures.map { plan.describe($0) }
        obstacles = plan.obstacles
        warnings = plan.warnings
        remaining = outcome.remaining.counts
        guard failures.isEmpty, plan.plan.changes.conflicts.isEmpty else { return }
        outcome.remaining.forEachOperation { operation in
            if remainingOperations.count < Self.limit { remainingOperations.append(plan.presented(operation)) }
        }
    }

    /// More than anybody reads.
    private static let limit = 100

    public var structured: StructuredValue {
        [
            "apiVersion": .apiVersion, "kind": "ApplyResult", "host": .string(orNull: host),
            "revision": .integer(orNull: revision), "reverted": .boolean(isReverted),
            "probes": .list(probes.map(\.structured)), "applied": applied.structured, "writes": .integer(writes),
            "failures": .list(failures.map { .string($0) }), "obstacles": .list(obstacles.map { .string($0) }),
            "warnings": .list(warnings.map { .string($0) }),
            "remaining": remaining.structured, "remainingOperations": .list(remainingOperations.map(\.structured)),
        ]
    }

    public init?(_ value: StructuredValue) {
        guard value["kind"]?.text == "ApplyResult", let applied = value["applied"].flatMap({ ChangePlan.Counts($0) }),
            let remaining = value["remaining"].flatMap({ ChangePlan.Counts($0) }), let writes = value["writes"]?.number
        else { return nil }
        host = value["host"]?.text
        revision = value["revision"]?.number
        isReverted = value["reverted"]?.flag ?? false
        probes = value["probes"]?.elements.compactMap { PresentedProbe($0) } ?? []
        self.applied = applied
        self.writes = writes
        failures = value["failures"]?.texts ?? []
        obstacles = value["obstacles"]?.texts ?? []
        warnings = value["warnings"]?.texts ?? []
        self.remaining = remaining
        remainingOperations = value["remainingOperations"]?.elements.compactMap { PresentedOperation($0) } ?? []
    }
}

/// What became of one Probe.
public struct PresentedProbe: Sendable, Hashable {
    public var name: String
    /// `passed`, `failed` or `skipped`.
    public var verdict: String
    public var reason: String

    public init(name: String, verdict: String, reason: String) {
        self.name = name
        self.verdict = verdict
        self.reason = reason
    }

    var structured: StructuredValue {
        ["name": .string(name), "verdict": .string(verdict), "reason": .string(reason)]
    }

    init?(_ value: StructuredValue) {
        guard let name = value["name"]?.text, let verdict = value["verdict"]?.text else { return nil }
        self.init(name: name, verdict: verdict, reason: value["reason"]?.text ?? "")
    }
}
