import Glibc
import KernelDriver
import KernelModel
import Netlink
public import Reconciler
import VPCCompiler
import VPCTopology

/// A manifest's hosts and guests as network namespaces of this machine.
///
/// The names are those of the manifest, so that `ip netns exec h1 …` and `ip netns exec web1 ping …` are what they
/// say. A namespace that somebody else made is never taken over and never removed.
public struct Lab: Sendable {
    public let plan: LabPlan
    /// Where labs are recorded.
    public let store: LabStore

    public init(_ plan: LabPlan, store: LabStore = LabStore()) {
        self.plan = plan
        self.store = store
    }

    /// How much of a lab there is.
    public enum Presence: Sendable, Hashable {
        case absent
        /// `up` was cut off.
        case interrupted
        /// `up` came to its end; what the manifest has beyond that, or somebody has removed since, is missing.
        case complete(missing: [LabPlan.Node])
    }

    public var presence: Presence {
        guard let record = store.record(of: plan.name) else { return .absent }
        return record.isComplete ? .complete(missing: missing(in: record)) : .interrupted
    }

    /// Whether `up` came to its end, and everything that it made is still there.
    public var isUp: Bool { presence == .complete(missing: []) }

    /// The namespaces that the lab should have and has not.
    private func missing(in record: LabRecord) -> [LabPlan.Node] {
        let present = Set(record.entries.filter(\.isPresent).map(\.namespace))
        return plan.nodes.filter { !present.contains($0.namespace) }
    }

    /// - Throws: `LabError` with the code `.notUp`, naming what is missing.
    public func requireUp() throws(LabError) {
        switch presence {
        case .absent: throw LabError(.notUp, "lab \(plan.name) is not up", hint: "run vpclab up")
        case .interrupted:
            throw LabError(.notUp, "lab \(plan.name) is not complete: vpclab up was interrupted", hint: "run it again")
        case .complete(let missing):
            guard let first = missing.first else { return }
            throw LabError(
                .notUp, "lab \(plan.name) does not have \(first.role.rawValue) \(first.name)",
                hint: "bring it to the manifests with vpclab up")
        }
    }

    // MARK: Up

    /// Makes what is missing, joins it, applies every host's part, and removes what the manifest no longer has.
    ///
    /// Where this throws after having made the lab's first namespace, what it made is removed again; where it is
    /// killed, `down` or another `up` finds the record.
    /// - Parameter applying: False leaves the hosts bare, for who wants to apply himself.
    public func up(
        applying: Bool = true, progress: @escaping @Sendable (String) -> Void = { _ in }
    ) throws -> [HostReport] {
        try changing { () throws -> [HostReport] in
            try makeMissing(progress)
            if applying { progress("applying to \(plan.hosts.count) host\(plan.hosts.count == 1 ? "" : "s")") }
            let reports = applying ? try apply() : []
            var record = try store.openRecord(of: plan.name, plan.options)
            try removeAbandoned(record)
            try record.markComplete(true, in: store.recordPath(of: plan.name))
            return reports
        }
    }

    /// The part of `up` that disturbs nothing that is there: makes and joins what is missing, and applies nothing. For
    /// bringing a change to one host after the other.
    public func prepare() throws {
        try changing { try makeMissing { _ in } }
    }

    private func changing<Result>(_ body: () throws -> Result) throws -> Result {
        let lock = try LabLock(store, plan.name)
        defer { lock.unlock() }
        let isNew = store.record(of: plan.name) == nil
        do {
            return try body()
        } catch {
            if isNew { _ = try? store.removeEverything(of: plan.name, lock) }
            throw error
        }
    }

    private func makeMissing(_ progress: (String) -> Void) throws {
        try checkThatNamesAreFree()
        let hadNodes = store.record(of: plan.name) != nil
        var factory = try NamespaceFactory(store, plan)
        let present = factory.presentNamespaces
        let missing = plan.nodes.filter { !present.contains($0.namespace) }
        if !missing.isEmpty { progress("making \(missing.count) network namespaces") }
        for node in missing {
            try Interruption.check()
            try factory.make(node)
        }
        // The others too: they may have become gateways.
        for node in plan.nodes { try configure(node) }
        progress("joining them by an underlay of MTU \(plan.options.underlayMTU)")
        for wiring in [plan.underlayWiring] + plan.tapWirings(ofAllHosts: hadNodes) + plan.internetWirings
            + plan.blockWirings + plan.providerWirings
        {
            try Interruption.check()
            try commit(wiring)
        }
    }

    private func removeAbandoned(_ record: LabRecord) throws {
        let wanted = Set(plan.nodes.map(\.namespace))
        for entry in record.entries where !wanted.contains(entry.namespace) && entry.isPresent {
            // The kernel takes a namespace's devices away when it has time: until then their other ends are there.
            try commit(
                LabPlan.Wiring(
                    namespace: entry.namespace, intent: KernelIntent(), ownership: LabPlan.providerOwnership),
                in: entry.namespace)
            try LabStore.remove(entry)
        }
    }

    /// All complaints before the first namespace is made.
    private func checkThatNamesAreFree() throws(LabError) {
        let ours = Set((store.record(of: plan.name)?.entries ?? []).filter(\.isPresent).map(\.namespace))
        let leftovers = Set(store.record(of: plan.name)?.entries.map(\.namespace) ?? [])
        var taken: [String] = []
        for node in plan.nodes where !ours.contains(node.namespace) {
            let isLeftover = leftovers.contains(node.namespace) && !NetworkNamespace.named(node.namespace).exists
            if !isLeftover, NetworkNamespace.isNameInUse(node.namespace) { taken.append(node.namespace) }
        }
        guard let first = taken.first else { return }
        let others =
            taken.count == 1 ? "" : " (and \(taken.count - 1) more: \(taken.dropFirst().joined(separator: ", ")))"
        if let owner = store.lab(thatMade: first) {
            throw LabError(
                .nameTaken, "network namespace \(first)\(others) belongs to lab \(owner)",
                hint: "take that down with 'vpclab down --name \(owner)', or give this one other names with --prefix")
        }
        throw LabError(
            .nameTaken, "network namespace \(first)\(others) exists and was not made by vpclab",
            hint: "remove it (ip netns del \(first)), or give the lab other names with --prefix")
    }

    private func configure(_ node: LabPlan.Node) throws {
        var parameters: [(path: String, value: String)] = []
        // The controller decides on its devices; everywhere else IPv6 would only add packets nobody looks at.
        if node.role != .host {
            parameters += ["all", "default"].map { ("net/ipv6/conf/\($0)/disable_ipv6", "1") }
        }
        let guest = node.role == .guest ? plan.guests.first { $0.namespace == node.namespace } : nil
        let isGateway = guest?.isGateway ?? false
        if node.role == .internet || isGateway || (guest?.interfaces.count ?? 1) > 1 {
            // What leaves by one interface may come back by another.
            parameters += ["all", "default"].map { ("net/ipv4/conf/\($0)/rp_filter", "0") }
        }
        if isGateway || plan.providers.contains(where: { $0.namespace == node.namespace }) {
            parameters += [("net/ipv4/ip_forward", "1")]
            parameters += ["all", "default"].map { ("net/ipv4/conf/\($0)/send_redirects", "0") }
        }
        try NetworkNamespace.named(node.namespace).run {
            for (path, value) in parameters { try KernelParameter.set(path, value) }
            try Loopback.setUp()
        }
    }

    // MARK: Wires

    private func commit(_ wiring: LabPlan.Wiring) throws {
        guard wiring.devicesAreAdopted,
            let own = try KernelDriver(namespace: .named(wiring.namespace)).ownNamespace(of: Conventions.ownership)
        else { return try commit(wiring, in: wiring.namespace) }
        // Those that the controller has adopted are with the host's VPCs.
        let request = ObservationRequest(owner: wiring.ownership, guestScope: .nothing)
        let there = try KernelDriver(namespace: .named(own.rawValue)).observe(request).host.links
        let adopted = Set(there.filter(\.isOwned).map(\.link.name))
        try commit(wiring.limited { adopted.contains($0) }, in: own.rawValue)
        try commit(wiring.limited { !adopted.contains($0) }, in: wiring.namespace)
    }

    private func commit(_ wiring: LabPlan.Wiring, in namespace: String) throws {
        let kernel = KernelDriver(namespace: .named(namespace))
        let request = ObservationRequest(
            owner: wiring.ownership, guests: wiring.intent.guests.map(\.namespace))
        let snapshot = try kernel.observe(request)
        var intent = wiring.intent
        for index in intent.host.links.indices {
            // A device that the controller has adopted since keeps what it was given.
            guard let seen = snapshot.host.link(named: intent.host.links[index].object.name), seen.isOwned,
                wiring.devicesAreAdopted
            else { continue }
            intent.host.links[index].object.master = seen.link.master
            intent.host.links[index].object.group = seen.link.group
        }
        let report = kernel.commit(intent.changes(from: snapshot, owner: wiring.ownership), owner: wiring.ownership)
        guard let failure = report.failures.first else { return }
        let place = failure.operation.place.guest.map(\.rawValue) ?? namespace
        throw LabError(.system, "\(failure.operation.object) in \(place): \(failure.reason)")
    }

    // MARK: Apply

    /// What became of one host's part.
    public struct HostReport: Sendable {
        public var host: String
        public var result: Result<Applied, LabError>

        public struct Applied: Sendable {
            public var plan: HostPlan
            public var outcome: HostOutcome
        }

        /// Whether all that was wanted is there.
        public var isClean: Bool { problems.isEmpty }

        /// What is not as it should be, in words.
        public var problems: [String] {
            switch result {
            case .failure(let error): return [error.description]
            case .success(let applied):
                var list = applied.plan.unattached.map(\.reason.description)
                list += applied.plan.changes.conflicts.map { "\($0.object): \($0.reason)" }
                list += applied.outcome.report.failures.map { failure in
                    let operation = failure.operation
                    return "\(operation.action.rawValue) \(operation.object)\(operation.place.suffix):"
                        + " \(failure.reason)"
                }
                if list.isEmpty {
                    list = applied.outcome.remaining.operations.map {
                        "still to do after all: \($0.action.rawValue) \($0.object)"
                    }
                }
                return list
            }
        }
    }

    /// Applies the topology to its hosts, all at once; each in its own namespace, as `vpcctl apply` would.
    /// - Parameter hosts: Names; all hosts when nil.
    public func apply(hosts names: [String]? = nil) throws -> [HostReport] {
        let indexes = plan.hosts.indices.filter { names?.contains(plan.hosts[$0].name) ?? true }
        return try onThreads(indexes) { index in
            let host = plan.hosts[index]
            do {
                let kernel = KernelDriver(namespace: .named(host.namespace))
                let reconciler = HostReconciler(kernel: kernel, for: index, in: plan.topology)
                let hostPlan = try reconciler.plan(plan.topology, host: index)
                let outcome = try reconciler.apply(hostPlan)
                return HostReport(host: host.name, result: .success(.init(plan: hostPlan, outcome: outcome)))
            } catch {
                return HostReport(host: host.name, result: .failure(LabError(.system, "host \(host.name): \(error)")))
            }
        }
    }

    /// Removes from one host all that the controller owns there.
    @discardableResult
    public func delete(host name: String) throws -> HostOutcome {
        guard let host = plan.hosts.first(where: { $0.name == name }) else {
            throw LabError(.unknownNode, "there is no host \(name)")
        }
        let reconciler = HostReconciler(kernel: KernelDriver(namespace: .named(host.namespace)))
        return try reconciler.apply(reconciler.removalPlan())
    }
}
