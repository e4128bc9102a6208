import IPAddressing
import KernelModel
import Reconciler
import VPCCompiler
import VPCManifest
import VPCModel
import VPCTopology

/// A set of manifests as far as it can be got without touching anything: what takes long is done here, away from the loop.
struct PreparedSet: Sendable {
    var set: ManifestSet
    /// For this host; nil where the set is that which is in force.
    var desired: Desired?
    /// What its revision keeps beside the manifests.
    var addresses = AddressFiles()
    /// What it is compiled to where the kernel is as it was then; nil where that could not be told.
    var compiled: (facts: HostFacts, compilation: Compilation)?
    /// The revision that was in force then: numbers that were given since are not known.
    var base: Int?
    /// Whether interfaces have addresses in it that were chosen by what was in force then.
    var hasChosenAddresses: Bool { desired != nil && set.model.leavesAddressesOut }
}

/// What the loop knows when it has a set prepared.
struct PreparationBase: Sendable {
    var revision: Int?
    var digest: UInt64?
    var snapshot: KernelSnapshot?
    var liveness = KnownLiveness()
    /// Whose numbers resources keep.
    var topology: Topology?
    /// What interfaces keep that leave their addresses out.
    var addresses: AddressMemory
}

/// Where the addresses are known that interfaces keep: read where somebody needs one.
enum AddressMemory: Sendable {
    case ofTopology(Topology)
    case ofRevision(Int)
    /// Whether or not it can be taken up.
    case ofNewestRevision

    /// - Throws: where they were kept, and are not known any more.
    func read(from store: RevisionStore) throws(AgentError) -> KeptAddresses {
        switch self {
        case .ofTopology(let topology): return KeptAddresses(of: topology)
        case .ofRevision(let number): return KeptAddresses(try store.addresses(of: store.revision(number)))
        case .ofNewestRevision:
            guard let number = try store.newest() else { return KeptAddresses() }
            do throws(AgentError) {
                return KeptAddresses(try store.addresses(of: store.revision(number)))
            } catch {
                let back = store.intact(before: number).map { "go back with 'vpcctl rollback \($0)', or " } ?? ""
                throw AgentError(
                    .storage,
                    "\(error); the addresses that were chosen for interfaces were in it: \(back)state them in the manifests"
                )
            }
        }
    }
}

extension Agent {
    /// Reads, validates, resolves and compiles a set. Touches nothing, and may be called on any thread.
    /// - Throws: where the set is not valid as a whole, or cannot be read.
    func prepare(_ set: ManifestSet, _ base: PreparationBase) throws(AgentError) -> PreparedSet {
        beforePreparation.withLock { $0 }?()
        var prepared = PreparedSet(set: set, base: base.revision)
        if let digest = base.digest, digest == set.sources.digest { return prepared }
        let none = Revision(
            number: 0, time: 0, cause: .apply, digest: 0, directoryDigest: nil, files: [], confirmBy: nil)
        let desired = try resolved(set, none, numbering: base.topology, keeping: base.addresses)
        prepared.desired = desired
        prepared.addresses = AddressFiles(desired.topology.chosenAddresses)
        guard let snapshot = base.snapshot,
            var facts = try? HostFacts(of: desired.host, in: desired.topology, from: snapshot)
        else { return prepared }
        facts.liveness = base.liveness
        guard
            let compilation = try? HostReconciler(kernel: kernel, for: desired.host, in: desired.topology).compile(
                desired.topology, desired.host, facts, snapshot.host)
        else { return prepared }
        prepared.compiled = (facts, compilation)
        return prepared
    }

    /// A set that is valid as a whole, for this host.
    /// - Parameter former: A topology whose numbers resources keep.
    func resolved(
        _ set: ManifestSet, _ revision: Revision, numbering former: Topology? = nil, keeping addresses: AddressMemory
    ) throws(AgentError) -> Desired {
        let kept = set.model.leavesAddressesOut ? try addresses.read(from: revisions) : nil
        let resolution = Topology.resolve(set.model, numbering: former, keeping: kept)
        let diagnostics = set.located(resolution.diagnostics)
        guard set.isValid, let topology = resolution.topology,
            !diagnostics.contains(where: { $0.severity == .error })
        else {
            let errors = diagnostics.filter { $0.severity == .error }
            let first = errors.first.map { "\($0)" } ?? "the manifests are not valid"
            throw AgentError(
                .invalidManifest, errors.count > 1 ? "\(first) (and \(errors.count - 1) more)" : first,
                diagnostics: errors)
        }
        var revision = revision
        for (index, source) in set.sources.enumerated() where revision.files.indices.contains(index) {
            revision.files[index].content = source.bytes.contentDigest
        }
        return Desired(
            revision: revision, resourceCount: set.model.count, topology: topology, index: resolution.index,
            host: try host(in: topology))
    }

    private func host(in topology: Topology) throws(AgentError) -> Int {
        if let name = configuration.host {
            if let number = topology.hosts.firstIndex(where: { $0.metadata.name == name }) { return number }
            let names = topology.hosts.map(\.metadata.name)
            throw AgentError(
                .invalidManifest,
                "no Host is named \(name), as this machine shall be; there are: \(names.prefix(20).joined(separator: ", "))"
            )
        }
        let local: Set<IPAddress>
        do {
            local = try kernel.localAddresses()
        } catch {
            throw AgentError(.kernel, "\(error)")
        }
        let here = topology.hosts.indices.filter { local.contains(topology.hosts[$0].underlayAddress) }
        guard let host = here.first, here.count == 1 else {
            throw AgentError(
                .invalidManifest,
                here.isEmpty
                    ? "no Host has its underlay address on this machine; name one with 'host' in the configuration"
                    : "several Hosts have their underlay address on this machine; name one with 'host' in the configuration"
            )
        }
        return host
    }

    /// What would be done.
    func makePlan(_ subject: PlanSubject, while isWanted: () -> Bool) throws(AgentError) -> PlannedRevision {
        beforePreparation.withLock { $0 }?()
        guard isWanted() else { throw Self.abandoned }
        let set: ManifestSet
        var known: DesiredState?
        switch subject {
        case .manifests(let sources):
            try Self.checkNames(of: sources)
            set = ManifestSet(sources + (try keptFiles.madeByAPI()))
        case .changes(let changes): set = try keptFiles.set(changing: changes)
        case .desired:
            guard let desired else { throw AgentError(.notFound, "no desired state is known yet") }
            set = ManifestSet(try revisions.sources(of: desired.revision))
            known = desired
        }
        let (topology, host): (Topology, Int)
        if let known {
            (topology, host) = (known.topology, known.host)
        } else {
            (topology, host) = try resolvedAlone(set)
        }
        guard isWanted() else { throw Self.abandoned }
        do {
            let plan = try HostReconciler(kernel: kernel, for: host, in: topology).plan(topology, host: host)
            return PlannedRevision(host: host, topology: topology, manifests: set, plan: plan)
        } catch {
            throw AgentError(.kernel, "\(error)")
        }
    }

    private func resolvedAlone(_ set: ManifestSet) throws(AgentError) -> (Topology, Int) {
        let none = Revision(
            number: 0, time: 0, cause: .apply, digest: 0, directoryDigest: nil, files: [], confirmBy: nil)
        // The topology is not held longer than it is needed.
        let known = set.model.leavesAddressesOut ? desired?.topology : nil
        let wanted = try resolved(set, none, keeping: known.map { .ofTopology($0) } ?? .ofNewestRevision)
        return (wanted.topology, wanted.host)
    }

    /// Nobody may hand over what looks as if it was made by API.
    static func checkNames(of sources: [ManifestSource]) throws(AgentError) {
        guard let source = sources.first(where: \.isMadeByAPI) else { return }
        throw AgentError(
            .invalidManifest,
            "\(source.name): names that begin with \"\(ManifestSource.madeByAPI)\" are those of resources made by API; call it otherwise"
        )
    }

    /// Nobody reads it.
    private static let abandoned = AgentError(.conflict, "the client has gone")
}
