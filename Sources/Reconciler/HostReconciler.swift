public import IPAddressing
public import KernelModel
public import VPCCompiler
public import VPCTopology
import KernelNames
import VPCModel

/// Makes this machine one host of a topology: observe, compile, diff, commit, verify.
public struct HostReconciler: Sendable {
    /// With the network namespace that is the host's own.
    public let kernel: any KernelAccess

    /// - Parameter namespace: What the host's own is called, or shall be; one of ours by another name is found, too.
    public init(kernel: any KernelAccess, namespace: String) {
        self.kernel = kernel.serving(NamespaceName(namespace), of: Conventions.ownership)
    }

    /// - Parameter host: a number of `topology.hosts`.
    public init(kernel: any KernelAccess, for host: Int, in topology: Topology) {
        self.init(kernel: kernel, namespace: topology.hosts[host].networkNamespace)
    }

    /// For what versions have left that gave a host no network namespace of its own; nil where there is nothing of it.
    /// - Throws: when the kernel cannot be read.
    public init?(formerLayoutOf kernel: any KernelAccess) throws {
        let serving = HostReconciler(kernel: kernel).kernel
        let request = ObservationRequest(owner: Conventions.ownership, guestScope: .nothing)
        guard try serving.observe(request).hasFormerLayout else { return nil }
        self.kernel = kernel
    }

    /// For the host that this machine is, whatever its name; where it is none there is nothing of ours.
    public init(kernel: any KernelAccess) { self.init(kernel: kernel, namespace: "vpc") }

    /// What `apply` would do. Reads only.
    /// - Parameter host: a number of `topology.hosts`.
    public func plan(_ topology: Topology, host: Int) throws -> HostPlan {
        var request = Self.observation(of: topology, host: host)
        request.likelyRoutes = topology.interfaces.count
        return try plan(topology, host: host, from: kernel.observe(request))
    }

    /// What of the kernel a plan is made from.
    public static func observation(of topology: Topology, host: Int) -> ObservationRequest {
        var request = ObservationRequest.ours(guests: topology.guests(of: host))
        request.paths = PathRequest(
            from: topology.hosts[host].underlayAddress, to: topology.hosts.map(\.underlayAddress))
        return request
    }

    /// What has to be done where the kernel is as `snapshot` says.
    public func plan(_ topology: Topology, host: Int, from snapshot: KernelSnapshot) throws -> HostPlan {
        let facts = try facts(of: host, in: topology, from: snapshot)
        return try plan(compile(topology, host, facts, snapshot.host), from: snapshot)
    }

    /// `plan` of what was compiled before.
    /// - Parameter suspects: Where the kernel may not be as it shall be.
    public func plan(
        _ compilation: Compilation, from snapshot: KernelSnapshot, suspects: SuspectObjects = .everything
    ) throws -> HostPlan {
        var changes = compilation.intent.changes(
            from: snapshot, owner: Conventions.ownership, suspects: suspects, renewed: compilation.renewedFlows)
        let isTightened = changes.mayTightenPolicy && !compilation.policy.isEmpty
        let arriving = changes.arrivingPorts
        let isJudging = isTightened || !arriving.isEmpty && !compilation.policy.isEmpty
        let isTaking = changes.takesPublicAddresses
        let isEnding = changes.endsConnections(of: compilation)
        let connections = isJudging || isTaking || isEnding ? try kernel.connections() : []
        if isJudging {
            let forbidden = isTightened ? compilation.policy.forbidden(connections) : []
            let others = Set(connections).subtracting(forbidden)
            changes = changes.cutting(forbidden + compilation.policy.outdated(Array(others), arriving: arriving))
        }
        if isTaking { changes = changes.forgetting(compilation.outdated(connections)) }
        if isEnding { changes = changes.forgetting(compilation.balancedConnections.ended(connections)) }
        return HostPlan(
            intent: compilation.intent, unattached: compilation.unattached, unreachable: compilation.unreachable,
            disconnected: compilation.disconnected, changes: changes,
            aggregation: compilation.aggregation, tightenedPolicy: isTightened ? compilation.policy : nil)
    }

    /// What `delete` would do. Reads only.
    public func removalPlan() throws -> HostPlan {
        var request = ObservationRequest.ours()
        (request.guestScope, request.readsFirewall) = (.rules, false)
        let snapshot = try kernel.observe(request)
        let intent = KernelIntent.removal(from: snapshot)
        let changes = intent.changes(from: snapshot, owner: Conventions.ownership)
        var plan = HostPlan(intent: intent, unattached: [], changes: changes)
        plan.presentHost = snapshot.hostName
        return plan
    }

    /// Carries out a plan and reads the result back. A plan without changes writes and reads nothing.
    public func apply(_ plan: HostPlan) throws -> HostOutcome {
        try converge(plan) { _ in try remainingChanges(of: plan) }
    }

    /// Carries out a plan and says what is left of it. Where somebody else's transaction of nf_tables came in between, what
    /// is left is tried again, from what is there then; any other failure is in the report. What was forbidden is cut even
    /// if it began after the plan was made.
    /// - Parameter remaining: Reads back, after these changes, what is still to be done.
    /// - Throws: what `remaining` throws, and when connections cannot be listed: what has been done stays done.
    public func converge(_ plan: HostPlan, remaining: (ChangePlan) throws -> ChangePlan) throws -> HostOutcome {
        var outcome = HostOutcome()
        if plan.changes.counts.total == 0 { return outcome }
        outcome.report = kernel.commit(plan.changes, owner: Conventions.ownership)
        outcome.remaining = try remaining(plan.changes)
        for _ in 1..<Self.attempts where outcome.report.isStale {
            let again = outcome.remaining
            outcome.report = outcome.report.retried(by: kernel.commit(again, owner: Conventions.ownership))
            outcome.remaining = try remaining(again)
        }
        try cutLateConnections(plan, &outcome.report)
        return outcome
    }

    /// How often a plan is made again because somebody else changed nf_tables meanwhile.
    private static var attempts: Int { 8 }

    /// Ends the forbidden connections that began after the plan was made, while the old policy was still in.
    /// - Parameter report: of carrying the plan out.
    private func cutLateConnections(_ plan: HostPlan, _ report: inout CommitReport) throws {
        guard let policy = plan.tightenedPolicy,
            !report.failures.contains(where: { $0.operation.kind == .firewall })
        else { return }
        let late = policy.forbidden(try kernel.connections())
        if late.isEmpty { return }
        var changes = ChangePlan()
        changes.steps = ChangePlan.Step.cutting(late)
        // One that is kept closed by its mark may be in a flowtable by now, where nobody looks at marks.
        if plan.intent.host.firewall.contains(where: \.leadsByFlowtables),
            changes.steps.contains(where: \.marksConnections)
        {
            changes.steps.append(.init(.judgeAnew))
        }
        report = report.followed(by: kernel.commit(changes, owner: Conventions.ownership))
    }

    private func remainingChanges(of plan: HostPlan) throws -> ChangePlan {
        var request = ObservationRequest.ours(guests: plan.intent.guests.map(\.namespace))
        request.readsFirewall = !plan.intent.host.firewall.isEmpty
        request.likelyRoutes = plan.intent.host.routes.count
        let snapshot = try kernel.observe(request)
        return plan.intent.changes(from: snapshot, owner: Conventions.ownership, renewed: Self.allRenewed)
    }

    /// For what is left of a plan that others came between: whatever it forbids, all connections are judged anew.
    public static let allRenewed: FlowRenewal = { changes in
        changes.contains { $0.table == FirewallTables.filter && !$0.isEmpty } ? .any : .none
    }

    /// Follows a change, see ``Compilation/take(_:in:_:from:)``.
    /// - Returns: nil where everything has to be compiled, also because somebody else has a table that was taken.
    public func follow(
        _ change: TopologyChange, in topology: Topology, _ facts: HostFacts, _ snapshot: NamespaceSnapshot,
        _ compilation: inout Compilation
    ) throws -> SuspectObjects? {
        let known = compilation.tables
        guard let suspects = compilation.take(change, in: topology, facts, from: snapshot) else { return nil }
        let new = Set(compilation.tables).subtracting(known)
        return try new.isEmpty || kernel.occupied(Array(new)).isEmpty ? suspects : nil
    }

    /// Compiles with numbers that nobody else uses: a table that was taken for a new context is looked into, and left
    /// to its user where it is not empty.
    public func compile(
        _ topology: Topology, _ host: Int, _ facts: HostFacts, _ snapshot: NamespaceSnapshot
    ) throws -> Compilation {
        var foreign: Set<TableID> = []
        let ours = Set(
            snapshot.links.compactMap { seen -> TableID? in
                if seen.isOwned, case .vrf(let table) = seen.link.kind { table } else { nil }
            })
        while true {
            let numbering = Numbering(from: snapshot, foreignTables: foreign)
            let compilation = topology.compiled(for: host, facts: facts, numbering: numbering)
            let taken = try kernel.occupied(compilation.tables.filter { !ours.contains($0) })
            if taken.isSubset(of: foreign) { return compilation }
            foreign.formUnion(taken)
        }
    }
}

/// What shall be, and what has to be done for it.
public struct HostPlan: Sendable {
    public var intent: KernelIntent
    public var unattached: [Compilation.Unattached]
    /// See ``Compilation/unreachable``.
    public var unreachable: [Int] = []
    /// See ``Compilation/disconnected``.
    public var disconnected: [Int] = []
    public var changes: ChangePlan
    /// What the aggregation of routes saves; nil where it is not asked for.
    public var aggregation: RouteAggregation?
    /// What connections are judged by when they were planned under another policy; nil where nothing is tightened.
    var tightenedPolicy: HostPolicy?
    /// Which host the namespace is now; nil where it is none, or where nobody asked.
    public var presentHost: String?

    /// What is said of ``disconnected`` networks.
    public static let disconnectedReason =
        "the device that leads to it does not exist on this machine: nothing gets there or comes from there"

    /// What is said of ``unreachable`` hosts.
    public static func unreachableReason(_ address: IPAddress) -> String {
        "this machine has no route to its underlay address \(address): no interface there can be reached from here"
    }
}

extension KernelSnapshot {
    /// The host that the mark of the namespace names, or where there is none the alias of a device of ours.
    var hostName: String? {
        let prefix = Conventions.ownership.aliasPrefix + "Host/"
        var alias = host.links.first { $0.isOwned && $0.link.alias.hasPrefix(prefix) }?.link.alias
        if case .own(let namespace) = standing, namespace.alias.hasPrefix(prefix) { alias = namespace.alias }
        return alias.map { String($0.dropFirst(prefix.count)) }
    }
}

/// What became of a plan.
public struct HostOutcome: Sendable {
    public var report: CommitReport
    /// What reading back found still to be done.
    public var remaining: ChangePlan

    public init(report: CommitReport = CommitReport(), remaining: ChangePlan = ChangePlan()) {
        self.report = report
        self.remaining = remaining
    }
}

extension Topology {
    /// The namespaces of a host's guests, by name.
    func guests(of host: Int) -> [NamespaceName] {
        var names: Set<NamespaceName> = []
        for index in interfacesOfHost[host] {
            if case .namespace(let name, _) = interfaces[index].attachment { names.insert(NamespaceName(name)) }
        }
        return names.sorted()
    }
}

extension ObservationRequest {
    /// All that is ours: parameters and tables that have names of their own.
    fileprivate static func ours(guests: [NamespaceName] = []) -> ObservationRequest {
        var request = ObservationRequest(
            owner: Conventions.ownership, sysctls: Conventions.sysctlPaths, guests: guests,
            firewall: FirewallTables.all)
        request.underlayFirewall = [FirewallTables.underlay]
        return request
    }
}

extension CommitReport {
    fileprivate var isStale: Bool { failures.contains { $0.reason == .stale } }

    /// The sum of both.
    fileprivate func followed(by second: CommitReport) -> CommitReport {
        var sum = retried(by: second)
        sum.failures = failures + second.failures
        return sum
    }

    /// The sum of both, with the failures of the second: it tried again what had failed.
    fileprivate func retried(by second: CommitReport) -> CommitReport {
        var sum = second
        sum.writes += writes
        sum.applied.created += applied.created
        sum.applied.changed += applied.changed
        sum.applied.deleted += applied.deleted
        return sum
    }
}
