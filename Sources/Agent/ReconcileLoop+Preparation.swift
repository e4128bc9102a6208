import VPCManifest

/// New sets are prepared one at a time beside the loop, in the order in which they came; the loop goes on repairing
/// meanwhile, and makes a set the desired state when it is ready.
extension ReconcileLoop {
    /// A set that is to become the desired state.
    struct Proposal {
        var origin: Origin
        /// Run on the worker's thread, with what is in force when its turn comes.
        var load: @Sendable (KeptFiles) throws(AgentError) -> ManifestSet
        /// The revision that was in force when its turn came.
        var base: Int?
        /// Told when it has become the desired state, or not.
        var whenDone: [Agent.Reply<Void>] = []

        init(
            origin: Origin, load: @escaping @Sendable (KeptFiles) throws(AgentError) -> ManifestSet
        ) {
            (self.origin, self.load) = (origin, load)
        }

        enum Origin {
            case request(confirmSeconds: Int?, Agent.Reply<AppliedRevision>)
            case changes([ResourceChange], ChangeReply)
            case rollback(Int, Agent.Reply<AppliedRevision>)
            /// With the digest of what the source held.
            case source(digest: UInt64)
        }

        var isOfSource: Bool { if case .source = origin { true } else { false } }
    }

    /// Whether what the source holds is about to become the desired state.
    var isSourceProposed: Bool { proposal?.isOfSource == true || proposals.contains(where: \.isOfSource) }

    var isPreparing: Bool { proposal != nil || !proposals.isEmpty }

    func notePending() {
        let count = proposals.count + (proposal == nil ? 0 : 1)
        publication.pendingChanges = count
    }

    /// Has a set prepared, after those that came before.
    func propose(_ proposal: Proposal) {
        var proposal = proposal
        if proposal.isOfSource, let index = proposals.firstIndex(where: \.isOfSource) {
            // What the source held before, and nobody has looked into yet, is of no interest any more.
            proposal.whenDone += proposals.remove(at: index).whenDone
        }
        if proposals.count >= Self.longestQueue, !proposal.isOfSource {
            return refuse(proposal, AgentError(.busy, "too many changes wait already; try again later"))
        }
        proposals.append(proposal)
        prepareNext()
    }

    /// Has a set prepared before those that came later.
    func proposeFirst(_ proposal: Proposal) {
        proposals.insert(proposal, at: 0)
        prepareNext()
    }

    private static let longestQueue = 32

    private func prepareNext() {
        guard proposal == nil, var next = nextToPrepare() else { return }
        next.base = desired?.revision.number
        proposal = next
        let (agent, load, base) = (agent, next.load, preparationBase(for: next))
        let kept = KeptFiles(agent.revisions, desired?.revision)
        _ = agent.preparer.post {
            let result = Result { () throws(AgentError) in try agent.prepare(load(kept), base) }
            _ = agent.mailbox.post(.prepared(result))
        }
    }

    /// The next that cannot be done at once.
    private func nextToPrepare() -> Proposal? {
        while !proposals.isEmpty {
            let next = proposals.removeFirst()
            guard case .changes(let changes, let reply) = next.origin, changeAtOnce(changes, reply) else { return next }
        }
        return nil
    }

    /// Takes what the worker has come to.
    func take(_ result: Result<PreparedSet, AgentError>) {
        guard let proposal = proposal.take() else { return }
        if case .changes(let changes, let reply) = proposal.origin, proposal.base != desired?.revision.number {
            // The manifests have changed meanwhile: it is these that the resources have to fit.
            return proposeFirst(.changes(changes, reply))
        }
        if case .success(let prepared) = result, prepared.hasChosenAddresses, proposal.base != desired?.revision.number
        {
            // What was chosen was chosen beside addresses that others have by now, or have no more.
            return proposeFirst(proposal)
        }
        do throws(AgentError) {
            let prepared = try result.get()
            switch proposal.origin {
            case .request(let seconds, let reply): try apply(prepared, confirmSeconds: seconds, reply)
            case .changes(_, let reply): try takeChanged(prepared, reply)
            case .rollback(let number, let reply): reply(.success(try rollback(to: number, prepared)))
            case .source(let digest): try takeSource(prepared, digest)
            }
            for reply in proposal.whenDone { reply(.success(())) }
        } catch {
            refuse(proposal, error)
        }
        prepareNext()
    }

    /// A request that was accepted has read the source, too: only what it holds later counts.
    func dropSourceProposals() {
        for proposal in proposals where proposal.isOfSource {
            for reply in proposal.whenDone { reply(.success(())) }
        }
        proposals.removeAll { $0.isOfSource }
    }

    private func refuse(_ proposal: Proposal, _ error: AgentError) {
        switch proposal.origin {
        case .request(_, let reply), .rollback(_, let reply): reply(.failure(error))
        case .changes(_, let reply): reply(.failure(error))
        case .source: rejectSource(error)
        }
        for reply in proposal.whenDone { reply(.success(())) }
    }

    /// Nothing comes of what is not the desired state by now.
    func endPreparing() {
        let error = AgentError(.stopping, "the agent is about to end")
        for proposal in [proposal].compactMap(\.self) + proposals {
            switch proposal.origin {
            case .request(_, let reply), .rollback(_, let reply): reply(.failure(error))
            case .changes(_, let reply): reply(.failure(error))
            case .source: break
            }
            for reply in proposal.whenDone { reply(.failure(error)) }
        }
        (proposal, proposals) = (nil, [])
    }

    /// Answers when what the source held when it was read last has become the desired state, or was refused.
    func whenSourceIsTaken(_ reply: @escaping Agent.Reply<Void>) {
        if let index = proposals.firstIndex(where: \.isOfSource) {
            proposals[index].whenDone.append(reply)
        } else if proposal?.isOfSource == true {
            proposal?.whenDone.append(reply)
        } else {
            reply(.success(()))
        }
    }
}
