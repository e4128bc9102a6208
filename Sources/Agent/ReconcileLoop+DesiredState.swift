import Foundation
import Logging
import VPCManifest
import VPCModel
import VPCTopology

extension ReconcileLoop {
    // MARK: - The source

    /// Reads the source and has what it holds prepared, if that is not what was accepted before.
    /// - Parameter unlessWritten: Leaves what was read where somebody has written to it meanwhile: it is read again when
    ///   that is done.
    func loadSource(unlessWritten: Bool = false) {
        let former = directory
        guard let (files, digest) = readSource() else { return }
        if unlessWritten {
            takeSourceChanges()
            // As if nothing had been read: what is new in it is new to the next reading.
            if waiting.load != nil { return directory = former }
        }
        propose(
            Proposal(origin: .source(digest: digest)) { kept throws(AgentError) in
                ManifestSet(files, and: try kept.madeByAPI())
            })
    }

    /// - Returns: nil where there is nothing to take in.
    func readSource() -> (ManifestFiles, digest: UInt64)? {
        guard let source else { return nil }
        hasReadWholeSet = true
        let files = source.read(known: [:])
        noteWarnings(of: source)
        directory = DirectoryContent(files)
        let digest = directory.files.digest
        if unusable?.givesWay(to: digest) == false { return nil }
        if let desired, desired.revision.directoryDigest == digest, files.diagnostics.isEmpty {
            noteRejected([])
            return nil
        }
        return (files, digest)
    }

    /// Makes what the source holds the desired state.
    func takeSource(_ prepared: PreparedSet, _ digest: UInt64) throws(AgentError) {
        try accept(prepared, cause: .directory, directoryDigest: digest)
        // A revision that awaits confirmation gives way: somebody has changed the manifests meanwhile.
        endProbing()
        confirmation = nil
    }

    /// What does not hold together may be half of a change, such as the first of two files that are renamed: nothing is
    /// said before the other half would have come.
    func rejectSource(_ error: AgentError) {
        guard let source, agent.clock.now < source.isWholeFrom else { return publishRejection(error) }
        rejection = error
        waiting.rejection = source.isWholeFrom
    }

    func publishRejection(_ error: AgentError) {
        publication.log.error("manifests in \(source?.name ?? "-") are not accepted: \(error)")
        noteRejected(
            error.diagnostics.isEmpty
                ? [LocatedDiagnostic(rule: "rejected", message: error.message)] : error.diagnostics)
    }

    /// Each once, until it is gone.
    func noteWarnings(of source: any DesiredStateSource) {
        for warning in source.warnings where !sourceWarnings.contains(warning) {
            publication.log.warning("\(warning)")
        }
        sourceWarnings = Set(source.warnings)
    }

    func noteRejected(_ diagnostics: [LocatedDiagnostic]) {
        (rejection, waiting.rejection) = (nil, nil)
        publication.rejected(diagnostics, isIdle: desired == nil && unusable == nil)
    }

    /// Makes a set the desired state: only when it is valid as a whole, and on the disk.
    @discardableResult
    func accept(
        _ prepared: PreparedSet, cause: Revision.Cause, directoryDigest: UInt64?, confirmBy: Int? = nil
    ) throws(AgentError) -> Desired {
        guard var next = prepared.desired else {
            throw AgentError(.conflict, "the manifests are in force already")
        }
        hasReadWholeSet = true
        let former = desired?.revision.number
        next.revision = try agent.revisions.add(
            prepared.set.sources, prepared.addresses, cause: cause,
            directoryDigest: directoryDigest, confirmBy: confirmBy,
            keeping: confirmBy == nil ? nil : former)
        take(next)
        // Numbers that another revision was given since are not in it.
        if let (facts, compilation) = prepared.compiled, prepared.base == former {
            hostPass.compiled.expect(compilation, of: facts, for: next.revision.number)
        }
        announce(next)
        return next
    }

    /// Says that there is a new desired state, and has a pass made for it.
    func announce(_ next: Desired) {
        unusable = nil
        noteRejected([])
        publication.accepted(next)
        noteNewDesiredState()
    }

    // MARK: - Requests

    /// Why a revision cannot be tried now.
    func checkTrial(_ confirmSeconds: Int?) throws(AgentError) {
        guard confirmSeconds != nil else { return }
        if let confirmation {
            throw AgentError(
                .conflict,
                "revision \(confirmation.revision.number) still awaits its confirmation; 'vpcctl confirm' it or roll it back first"
            )
        }
        if desired == nil, !isPreparing {
            throw AgentError(
                .conflict, "there is no revision to go back to: apply the first one without a confirmation")
        }
    }

    func apply(
        _ prepared: PreparedSet, confirmSeconds: Int?, _ reply: @escaping Agent.Reply<AppliedRevision>
    ) throws(AgentError) {
        try checkTrial(confirmSeconds)
        let set = prepared.set
        if let desired, confirmSeconds == nil, confirmation == nil, desired.revision.digest == set.sources.digest {
            return reply(.success(try bring(desired, set)))
        }
        if prepared.desired == nil {
            // It was in force when it came, and is not any more.
            return proposeFirst(Proposal(origin: .request(confirmSeconds: confirmSeconds, reply)) { _ in set })
        }
        let previous = desired?.revision.number
        if confirmSeconds != nil, previous == nil {
            throw AgentError(
                .conflict, "there is no revision to go back to: apply the first one without a confirmation")
        }
        let deadline = confirmSeconds.map { time(nil) + $0 }
        let accepted = try accept(
            prepared, cause: .apply, directoryDigest: readDirectory(), confirmBy: deadline)
        dropSourceProposals()
        endProbing()
        confirmation = nil
        guard let confirmSeconds, let previous else { return reply(.success(try bring(accepted, set))) }
        confirmation = Confirmation(
            revision: accepted.revision, previous: previous, deadline: agent.clock.now + .seconds(confirmSeconds))
        publishConfirmation(deadline ?? 0)
        confirmation?.waiting = (try bring(accepted, set), reply)
        probe(accepted)
    }

    func rollback(to number: Int, _ prepared: PreparedSet) throws(AgentError) -> AppliedRevision {
        let accepted = try accept(prepared, cause: .rollback(number), directoryDigest: readDirectory())
        dropSourceProposals()
        endProbing()
        confirmation = nil
        return try bring(accepted, prepared.set)
    }

    /// Makes a pass for a revision that somebody waits for.
    private func bring(_ accepted: Desired, _ set: ManifestSet) throws(AgentError) -> AppliedRevision {
        guard let result = try pass(isAwaited: true)?.get() else {
            throw AgentError(.notFound, "no desired state is known yet")
        }
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
        publication.probed(outcomes, revision: revision)
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
        publication.confirmed(revision.number)
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
                agent.prepare(set, PreparationBase(addresses: .ofRevision(previous.number))),
                cause: .revert(previous.number),
                directoryDigest: confirmation.revision.directoryDigest)
            publication.reverted(number, reason)
        } catch {
            publication.notReverted(number, error)
        }
    }

    func publishConfirmation(_ deadline: Int) {
        guard let confirmation else { return }
        publication.awaitsConfirmation(
            AgentStatus.Confirmation(
                revision: confirmation.revision.number, previous: confirmation.previous, deadline: deadline))
    }
}
