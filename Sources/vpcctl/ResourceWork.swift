import AgentClient
import ArgumentParser
import CommandOptions
import Console
import Presentation
import VPCManifest
import VPCModel

/// Changes of resources through the agent, from files to a report: what `apply --merge`, `delete -f` and `edit` have in
/// common.
struct ResourceWork {
    let agent: LocalAgent
    let change: Change
    /// To find places in.
    let set: ManifestSet

    var global: GlobalOptions { change.global }

    /// Has changes made that are found out anew as long as somebody else changes the same resources.
    /// - Parameters:
    ///   - isDryRun: Only what would be done is shown.
    ///   - yes: Whether nobody is asked.
    func carryOut(
        isDryRun: Bool, unless yes: Bool, _ request: () throws -> ResourceRequest
    ) throws -> (ResourceRequest, ChangeOutcome)? {
        var wanted = try request()
        if isDryRun || (!yes && Change.isInteractive) || global.verbose {
            let plan = PlanDisplay(try asking { () throws(AgentClientError) in try agent.plan(wanted) })
            for change in wanted.changes { global.note("\(change.reference): \(change.verb())") }
            if isDryRun {
                plan.show(change.format, global)
                return nil
            }
            try change.ask(plan, unless: yes)
        }
        while true {
            switch send(wanted) {
            case .success(let outcome): return (wanted, outcome)
            case .failure(let error):
                // Where somebody else was quicker, the versions are others now.
                let again = error.status == 409 ? try request() : wanted
                guard again != wanted else { throw failed(error) }
                wanted = again
            }
        }
    }

    private func send(_ request: ResourceRequest) -> Result<ChangeOutcome, AgentClientError> {
        let progress = Progress(agent, global)
        defer { progress.clear() }
        return Result { () throws(AgentClientError) in try agent.change(request, while: progress.update) }
    }

    /// Prints what became of it.
    /// - Throws: `ExitCode` 3 or 4 when not everything is as it should be.
    func report(_ request: ResourceRequest, _ outcome: ChangeOutcome, hasWaited: Bool = false) throws {
        switch change.format {
        case .json: Streams.output(outcome.structured.json)
        case .yaml: Streams.output(outcome.structured.yaml)
        case .name: for change in request.changes { Streams.outputLine(change.reference.description) }
        case .table, .wide:
            for change in request.changes {
                let address = outcome.addresses[change.reference.description].map { ", address \($0)" } ?? ""
                Streams.outputLine("\(change.reference) \(change.verb(outcome))\(address)")
            }
            let applied = outcome.applied
            Streams.outputLine(
                "\(agent.host.map { "host \($0)" } ?? "this host"): created \(applied.created), changed \(applied.changed), deleted \(applied.deleted) (revision \(outcome.revision))"
            )
        }
        let obstacles = hasWaited ? [] : outcome.obstacles
        for line in obstacles + outcome.failures { global.error(line) }
        if !obstacles.isEmpty || !outcome.failures.isEmpty { throw ExitStatus.partlyApplied.code }
        if outcome.remaining.total > 0, !hasWaited { throw ExitStatus.verificationFailed.code }
    }

    /// Runs `body`, and turns what the agent says into messages and an exit code.
    func asking<Result>(_ body: () throws(AgentClientError) -> Result) throws -> Result {
        do {
            return try body()
        } catch {
            throw failed(error)
        }
    }

    private func failed(_ error: AgentClientError) -> ExitCode { agentExitCode(for: error, global, in: set) }

    // MARK: What is asked for

    /// Resources of the files are made, or take the place of what is there; where a file says what it is to take the place
    /// of, of nothing else.
    func merged() throws -> ResourceRequest {
        ResourceRequest(
            changes: try set.model.resources.map { resource in
                let (reference, kept) = (resource.reference, try present(resource.reference))
                let stated = set.versions[reference]
                if let stated, kept == nil {
                    global.error(
                        "there is no \(reference) any more: the manifest states its resourceVersion \(stated.prefix(64)); without that it is made anew"
                    )
                    throw ExitStatus.failed.code
                }
                return .init(reference: reference, resource: resource, version: stated ?? kept?.version)
            })
    }

    /// Resources that the files name are deleted, whatever else the files say of them.
    func deleted() throws -> ResourceRequest {
        ResourceRequest(
            changes: try set.model.resources.map { resource in
                guard let kept = try present(resource.reference) else {
                    global.error("there is no \(resource.reference)")
                    throw ExitStatus.failed.code
                }
                return .init(reference: resource.reference, resource: nil, version: kept.version)
            })
    }

    private func present(_ reference: ResourceReference) throws -> LocalAgent.Kept? {
        let kept = try asking { () throws(AgentClientError) in try agent.kept(reference) }
        if let file = kept?.file { throw Self.isInManifests(reference, file, global) }
        return kept
    }

    /// Resources of manifests are changed where they are.
    static func isInManifests(_ reference: ResourceReference, _ file: String, _ global: GlobalOptions) -> ExitCode {
        global.error("\(reference) is in the agent's manifests, not made by API: change it in \(file)")
        return ExitStatus.failed.code
    }
}
