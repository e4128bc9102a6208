import Foundation
import IPAddressing
import KernelModel
import Logging
import Reconciler
import VPCManifest
import VPCModel
import VPCTopology

extension ReconcileLoop {
    // MARK: - Beginning

    /// Takes up what was in force, or what the source has if that has changed since.
    func start() {
        let latest: Revision?
        do {
            latest = try agent.revisions.latest()
        } catch {
            agent.log.error("\(error)")
            latest = nil
        }
        if let latest { resume(latest) }
        loadSource()
        if desired == nil {
            agent.log.warning("no valid desired state is known yet: nothing is touched")
        }
        requestPass()
    }

    private func resume(_ revision: Revision) {
        do {
            let set = ManifestSet(try agent.revisions.sources(of: revision))
            take(try resolved(set, revision))
            if let seconds = revision.confirmBy { resumeConfirmation(of: revision, by: seconds) }
        } catch {
            agent.log.error("revision \(revision.number) cannot be taken up: \(error)")
        }
    }

    /// The clock may have been set while nobody looked: no more time is left than there was in the beginning.
    private func resumeConfirmation(of revision: Revision, by seconds: Int) {
        guard let previous = (try? agent.revisions.numbers())?.last(where: { $0 < revision.number }) else { return }
        let left = min(max(seconds - time(nil), 0), seconds - revision.time)
        confirmation = Confirmation(
            revision: revision, previous: previous, deadline: .now + .seconds(left))
        publishConfirmation(seconds)
    }

    // MARK: - The source

    /// Reads the source and accepts what it holds, if it is valid and not what was accepted before.
    func loadSource() {
        guard let source else { return }
        hasReadWholeSet = true
        let files = source.read(known: [:])
        directory = DirectoryContent(files)
        if let desired, desired.revision.directoryDigest == directory.files.digest, files.diagnostics.isEmpty {
            return noteRejected([])
        }
        do {
            // A revision that awaits confirmation gives way: somebody has changed the manifests meanwhile.
            endProbing()
            confirmation = nil
            try accept(ManifestSet(files), cause: .directory, directoryDigest: directory.files.digest)
        } catch {
            agent.log.error("manifests in \(source.name) are not accepted: \(error)")
            noteRejected(
                error.diagnostics.isEmpty
                    ? [LocatedDiagnostic(rule: "rejected", message: error.message)] : error.diagnostics)
        }
    }

    func noteRejected(_ diagnostics: [LocatedDiagnostic]) {
        let isNews = agent.shared.withLock { state -> Bool in
            let isNews = state.status.rejected != diagnostics
            state.status.rejected = diagnostics
            if isNews, !diagnostics.isEmpty { state.metrics.revisionsRejected += 1 }
            if desired == nil { state.status.reason = diagnostics.first?.description }
            return isNews
        }
        guard isNews, let first = diagnostics.first else { return }
        for diagnostic in diagnostics.prefix(20) { agent.log.error("\(diagnostic)") }
        let more = diagnostics.count > 1 ? " (and \(diagnostics.count - 1) more)" : ""
        agent.events.add(.revisionRejected, "\(first)\(more)")
    }

    /// Makes a set the desired state: only when it is valid as a whole, and on the disk.
    @discardableResult
    func accept(
        _ set: ManifestSet, cause: Revision.Cause, directoryDigest: UInt64?, confirmBy: Int? = nil
    ) throws(AgentError) -> Desired {
        let provisional = Revision(
            number: 0, time: 0, cause: cause, digest: 0, directoryDigest: nil, files: [], confirmBy: nil)
        var next = try resolved(set, provisional)
        next.revision = try agent.revisions.add(
            set.sources, cause: cause, directoryDigest: directoryDigest, confirmBy: confirmBy,
            keeping: confirmBy == nil ? nil : desired?.revision.number)
        take(next)
        announce(next)
        return next
    }

    /// Says that there is a new desired state, and has a pass made for it.
    func announce(_ next: Desired) {
        noteRejected([])
        agent.shared.withLock { state in
            state.status.desiredRevision = next.revision.number
            state.status.host = next.hostName
            (state.status.phase, state.status.reason) = (.pending, "revision \(next.revision.number) is being applied")
            state.status.confirmation = nil
            state.metrics.revisionsAccepted += 1
        }
        let cause = next.revision.cause
        agent.log.notice("revision \(next.revision.number) accepted (\(cause))")
        agent.events.add(.revisionAccepted, "\(cause)", revision: next.revision.number)
        noteNewDesiredState()
    }

    /// A set that is valid as a whole, for this host.
    func resolved(_ set: ManifestSet, _ revision: Revision) throws(AgentError) -> Desired {
        hasReadWholeSet = true
        let resolution = Topology.resolve(set.model)
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
        return Desired(
            revision: revision, files: set.sources.fileDigests, resourceCount: set.model.resourceCount,
            topology: topology, host: try host(in: topology))
    }

    private func host(in topology: Topology) throws(AgentError) -> Int {
        let names = topology.hosts.map(\.metadata.name)
        if let name = agent.configuration.host {
            if let index = names.firstIndex(of: name) { return index }
            throw AgentError(
                .invalidManifest,
                "no Host is named \(name), as this machine shall be; there are: \(names.prefix(20).joined(separator: ", "))"
            )
        }
        let local: Set<IPAddress>
        do {
            local = try agent.kernel.localAddresses()
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

    // MARK: - Requests

    func plan(_ sources: [ManifestSource]?) throws(AgentError) -> PlannedRevision {
        let (wanted, set) = try wanted(sources)
        do {
            let plan = try reconciler.plan(wanted.topology, host: wanted.host)
            return PlannedRevision(host: wanted.host, topology: wanted.topology, manifests: set, plan: plan)
        } catch {
            throw AgentError(.kernel, "\(error)")
        }
    }

    /// What these manifests say; without any, the desired state, whose manifests are on the disk.
    private func wanted(_ sources: [ManifestSource]?) throws(AgentError) -> (Desired, ManifestSet) {
        if let sources {
            let none = Revision(
                number: 0, time: 0, cause: .apply, digest: 0, directoryDigest: nil, files: [], confirmBy: nil)
            let set = ManifestSet(sources)
            return (try resolved(set, none), set)
        }
        guard let desired else { throw AgentError(.notFound, "no desired state is known yet") }
        hasReadWholeSet = true
        return (desired, ManifestSet(try agent.revisions.sources(of: desired.revision)))
    }

    func apply(
        _ sources: [ManifestSource], confirmSeconds: Int?, _ reply: @escaping Agent.Reply<AppliedRevision>
    ) throws(AgentError) {
        if let confirmation, confirmSeconds != nil {
            throw AgentError(
                .conflict,
                "revision \(confirmation.revision.number) still awaits its confirmation; 'vpcctl confirm' it or roll it back first"
            )
        }
        let set = ManifestSet(sources)
        if let desired, confirmSeconds == nil, confirmation == nil, desired.revision.digest == sources.digest {
            return reply(.success(try bring(desired, set)))
        }
        let previous = desired?.revision.number
        if confirmSeconds != nil, previous == nil {
            throw AgentError(
                .conflict, "there is no revision to go back to: apply the first one without a confirmation")
        }
        let deadline = confirmSeconds.map { time(nil) + $0 }
        let accepted = try accept(
            set, cause: .apply, directoryDigest: readDirectory(), confirmBy: deadline)
        endProbing()
        confirmation = nil
        guard let confirmSeconds, let previous else { return reply(.success(try bring(accepted, set))) }
        confirmation = Confirmation(
            revision: accepted.revision, previous: previous, deadline: .now + .seconds(confirmSeconds))
        publishConfirmation(deadline ?? 0)
        confirmation?.waiting = (try bring(accepted, set), reply)
        probe(accepted)
    }

    func rollback(to number: Int) throws(AgentError) -> AppliedRevision {
        let revision = try agent.revisions.revision(number)
        let set = ManifestSet(try agent.revisions.sources(of: revision))
        endProbing()
        confirmation = nil
        let accepted = try accept(
            set, cause: .rollback(number), directoryDigest: readDirectory())
        return try bring(accepted, set)
    }

    /// Makes a pass for a revision that somebody waits for.
    private func bring(_ accepted: Desired, _ set: ManifestSet) throws(AgentError) -> AppliedRevision {
        guard let result = try pass()?.get() else { throw AgentError(.notFound, "no desired state is known yet") }
        let planned = PlannedRevision(
            host: accepted.host, topology: accepted.topology, manifests: set, plan: result.plan)
        return AppliedRevision(
            revision: accepted.revision, planned: planned, outcome: result.outcome, probes: [], isReverted: false)
    }

    // MARK: - Probes

    /// Runs the probes of a revision on a thread of their own: repairs do not wait for them.
    private func probe(_ accepted: Desired) {
        let (agent, topology, host) = (agent, accepted.topology, accepted.host)
        let number = accepted.revision.number
        // The sockets of the probes belong to guests' namespaces; the thread only waits for them.
        Thread.detachNewThread {
            var probes = HostProbes(topology, host: host)
            _ = agent.mailbox.post(.probed(revision: number, probes.run()))
        }
    }

    /// Takes the revision back where a probe of it failed, and tells whoever waits.
    func take(_ outcomes: [ProbeOutcome], of revision: Int) {
        guard confirmation?.revision.number == revision else { return }
        for outcome in outcomes {
            agent.events.add(
                .probeFinished, "\(outcome.verdict.rawValue): \(outcome.reason)",
                resource: "Probe/\(outcome.name)", revision: revision)
        }
        let failed = outcomes.filter { $0.verdict == .failed }
        let waiting = confirmation?.waiting
        confirmation?.waiting = nil
        if let first = failed.first {
            revert("\(failed.count) of \(outcomes.count) probes failed, the first: \(first.name): \(first.reason)")
            pass()
        }
        guard let (result, reply) = waiting else { return }
        var applied = result
        applied.probes = outcomes
        applied.isReverted = !failed.isEmpty
        reply(.success(applied))
    }

    /// Whoever waits for probes is told that something else has come in between.
    func endProbing() {
        guard let waiting = confirmation?.waiting else { return }
        confirmation?.waiting = nil
        waiting.reply(
            .failure(AgentError(.conflict, "the revision gave way to another one before its probes had ended")))
    }

    // MARK: - Confirmation

    func confirm() throws(AgentError) -> Int {
        guard let confirmation else { throw AgentError(.notFound, "no revision awaits a confirmation") }
        var revision = confirmation.revision
        revision.confirmBy = nil
        try agent.revisions.update(revision)
        self.confirmation = nil
        changeInPlace { $0?.revision = revision }
        agent.shared.withLock { $0.status.confirmation = nil }
        agent.log.notice("revision \(revision.number) is confirmed")
        agent.events.add(.confirmed, "it stays in force", revision: revision.number)
        return revision.number
    }

    /// Back to the revision before.
    func revert(_ reason: String) {
        guard let confirmation else { return }
        endProbing()
        self.confirmation = nil
        let number = confirmation.revision.number
        do {
            let previous = try agent.revisions.revision(confirmation.previous)
            let set = ManifestSet(try agent.revisions.sources(of: previous))
            try accept(
                set, cause: .revert(previous.number), directoryDigest: confirmation.revision.directoryDigest)
            agent.log.warning("revision \(number) is taken back: \(reason)")
            agent.events.add(.reverted, reason, revision: number)
            agent.shared.withLock { $0.metrics.reverts += 1 }
        } catch {
            agent.log.critical("revision \(number) cannot be taken back: \(error)")
            agent.events.add(.applyFailed, "revision \(number) cannot be taken back: \(error)", revision: number)
        }
    }

    private func publishConfirmation(_ deadline: Int) {
        guard let confirmation else { return }
        agent.shared.withLock { state in
            state.status.confirmation = AgentStatus.Confirmation(
                revision: confirmation.revision.number, previous: confirmation.previous, deadline: deadline)
        }
    }
}
