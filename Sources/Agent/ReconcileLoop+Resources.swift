public import KernelModel
import VPCManifest
import VPCModel

/// Resources that are made, replaced and deleted by API.
extension ReconcileLoop {
    typealias ChangeReply = Agent.Reply<ChangedRevision>

    /// Takes changes in when their turn has come: at once where that can be told without looking at the whole set.
    /// - Returns: whether they were answered; else the whole set has to be prepared.
    func changeAtOnce(_ changes: [ResourceChange], _ reply: ChangeReply) -> Bool {
        do throws(AgentError) {
            try checkChangeable()
            guard let changed = try changedAtOnce(changes) else { return false }
            reply(.success(changed))
        } catch {
            reply(.failure(error))
        }
        return true
    }

    /// Why no resource can be changed now.
    private func checkChangeable() throws(AgentError) {
        if let confirmation {
            throw AgentError(
                .conflict,
                "revision \(confirmation.revision.number) still awaits its confirmation, and what is changed now would go with it; 'vpcctl confirm' it or roll it back first"
            )
        }
        if let unusable { throw AgentError(.storage, unusable.reason) }
        if desired == nil, let source {
            throw AgentError(
                .conflict,
                "no valid desired state is known yet: what \(source.name) holds has to be valid before resources are changed"
            )
        }
    }

    /// - Returns: nil where the whole set has to be looked at.
    private func changedAtOnce(_ changes: [ResourceChange]) throws(AgentError) -> ChangedRevision? {
        guard let change = try desiredChange(changes) else { return nil }
        if change.resources.isEmpty { return desired.map(ChangedRevision.init) }
        let digest = desired?.revision.directoryDigest
        return try accept(change, cause: .resources, directoryDigest: digest).map { bring($0) }
    }

    /// What changes come to. Apart from taking them in: nobody else may hold the topology then.
    private func desiredChange(_ changes: [ResourceChange]) throws(AgentError) -> DesiredChange? {
        guard let desired else { return nil }
        let kept = KeptFiles(agent.revisions, desired.revision)
        let edit = try ResourceEdit(changes) { name throws(AgentError) in try kept.bytes(name) }
        guard edit.missing.isEmpty, edit.byteCount <= Self.largestChange else { return nil }
        var draft = RevisionDraft(desired.revision)
        for (name, bytes) in edit.files { draft.replaceMadeByAPI(name, with: bytes) }
        return DesiredChange(resources: edit.resources, draft: draft)
    }

    /// Makes a set with changed resources, which was prepared as a whole, the desired state.
    func takeChanged(_ prepared: PreparedSet, _ reply: ChangeReply) throws(AgentError) {
        try checkChangeable()
        let digest = desired?.revision.directoryDigest
        reply(.success(bring(try accept(prepared, cause: .resources, directoryDigest: digest))))
    }

    /// Makes a pass for changes that somebody waits for. They are in force, whatever becomes of it.
    private func bring(_ accepted: Desired) -> ChangedRevision {
        var changed = ChangedRevision(accepted)
        switch pass(isAwaited: true) {
        case .success(let result)?:
            changed.applied = result.outcome.report.applied
            changed.remaining = result.outcome.remaining.counts
            changed.failures = Problems(result, accepted.topology).failures
        case .failure(let error)?: changed.failures = [error.message]
        case nil: break
        }
        return changed
    }
}

extension ReconcileLoop.Proposal {
    static func changes(_ changes: [ResourceChange], _ reply: @escaping ReconcileLoop.ChangeReply) -> Self {
        Self(origin: .changes(changes, reply)) { kept throws(AgentError) in try kept.set(changing: changes) }
    }
}

/// What became of changed resources.
public struct ChangedRevision: Sendable {
    public var revision: Revision
    /// The name of the Host.
    public var host: String
    /// What was done to the kernel; nothing where the resources were as they should be.
    public var applied = ChangePlan.Counts()
    /// What reading back found still to be done.
    public var remaining = ChangePlan.Counts()
    /// What could not be done, a sentence each.
    public var failures: [String] = []

    init(_ desired: Desired) { (revision, host) = (desired.revision, desired.hostName) }
}
