import AgentClient
import ArgumentParser
import CommandOptions
import Console
import VPCManifest
import VPCModel

struct Edit: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Change a resource that was made by API, in an editor.",
        discussion: """
            The editor is $VISUAL, $EDITOR or vi. What is not valid is shown again, with what is wrong as comments above; \
            nothing is changed until it is right. Where somebody else has changed the resource meanwhile, your text is kept \
            in a file. Exit code 1 where nothing came of it.
            """)

    @Argument(help: "\(KindArgument.help)", completion: .list(KindArgument.allValueStrings))
    var kind: KindArgument
    @Argument(help: "The name of the resource.") var name: String
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        guard kind.kinds.count == 1 else { throw ValidationError("Name one kind: one resource is edited at a time.") }
    }

    func run() throws {
        let agent = try agent.require(global, host: nil, "edit")
        let reference = ResourceReference(kind.kinds[0], name)
        let kept = try askingAgent(global) { () throws(AgentClientError) in try agent.kept(reference) }
        guard let kept else {
            global.error("there is no \(reference)")
            throw ExitStatus.failed.code
        }
        if let file = kept.file { throw ResourceWork.isInManifests(reference, file, global) }
        var draft = try EditedText(ManifestText.yaml([kept.resource]), global)
        var complaints: [EditedText.Complaint] = []
        while true {
            let former = draft.text
            try draft.edit(under: Self.head(reference, complaints))
            guard draft.text != former else {
                draft.remove()
                global.note(complaints.isEmpty ? "nothing was changed" : "nothing was changed: it is not valid")
                if complaints.isEmpty { return }
                throw ExitStatus.failed.code
            }
            switch try attempt(draft, kept, through: agent) {
            case .invalid(let lines): complaints = lines.map { draft.complaint($0) }
            case .done(let work, let request, let outcome):
                draft.remove()
                return try work.report(request, outcome)
            }
        }
    }

    private enum Attempt {
        case done(ResourceWork, ResourceRequest, ChangeOutcome)
        /// What is wrong, a line each.
        case invalid([String])
    }

    private func attempt(
        _ draft: EditedText, _ kept: LocalAgent.Kept, through agent: LocalAgent
    ) throws -> Attempt {
        let set = ManifestSet([ManifestSource(name: draft.path, text: draft.text)])
        let reference = kept.resource.reference
        guard set.isValid else {
            let errors = set.diagnostics.filter { $0.severity == .error }
            return .invalid(errors.map { ($0.position.map { "\($0): " } ?? "") + $0.message })
        }
        guard let resource = set.model.resources.first, set.model.count == 1, resource.reference == reference else {
            return .invalid(["the text has to be \(reference), and nothing else"])
        }
        let request = ResourceRequest(
            changes: [.init(reference: reference, resource: resource, version: kept.version)])
        let work = ResourceWork(agent: agent, change: Change(format: output.format, global: global), set: set)
        do throws(AgentClientError) {
            return .done(work, request, try agent.change(request))
        } catch {
            let lines = error.messages(in: set)
            if error.status == 422 { return .invalid(lines.isEmpty ? [error.message] : lines) }
            let code = agentExitCode(for: error, global, in: set)
            global.error("nothing was changed; your text is in \(draft.path)")
            throw code
        }
    }

    /// What stands above the text.
    private static func head(_ reference: ResourceReference, _ complaints: [EditedText.Complaint]) -> [String] {
        let head = [
            "\(reference): save and leave to have it changed; leave it as it is to change nothing.",
            "Lines like these at the top are not part of it.",
        ]
        // Lines are counted as the editor does.
        let offset = head.count + complaints.count
        return head
            + complaints.map { complaint in
                let line = complaint.line.map { "line \($0 + offset): " } ?? ""
                return "error: " + line + complaint.message.split(separator: "\n").joined(separator: " ")
            }
    }
}
