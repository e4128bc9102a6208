import AgentClient
import ArgumentParser
import CommandOptions
import Console
import VPCManifest

struct Watch: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what happens as it happens: revisions, repairs, alarms.",
        discussion:
            "Ends with the agent (exit code 69), or when it is interrupted. -o json prints a JSON object a line.")

    @Option(help: "How many events of before to begin with.") var tail = 10
    @OptionGroup var socket: SocketOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if tail < 0 { throw ValidationError("--tail takes a number from 0 up.") }
        if output.format == .name { throw ValidationError("-o name does not go with events.") }
    }

    func run() throws {
        // As long as it takes, unless told otherwise.
        let deadline = socket.timeout.map { ContinuousClock.now + .seconds($0.count) }
        let isInTime = { deadline.map { ContinuousClock.now < $0 } ?? true }
        try askingAgent(global) { () throws(AgentClientError) in
            let kept = try socket.quickClient.get("/v1/events")["items"]?.elements ?? []
            let first = kept.dropLast(tail).last?["sequence"]?.number ?? 0
            let path = AgentPath.path("/v1/events", [("after", String(first)), ("follow", "true")])
            let isOver = try socket.quickClient.follow(path, while: isInTime) { event in
                show(event)
                return isInTime()
            }
            if isOver { throw AgentClientError(.unreachable, "the agent has ended") }
        }
        throw ExitStatus.timedOut.code
    }

    private func show(_ event: StructuredValue) {
        switch output.format {
        case .json: Streams.outputLine(event.compactJSON)
        case .yaml: Streams.output("---\n" + event.yaml)
        case .name, .table, .wide:
            var text = event["time"]?.text ?? "?"
            let type = event["type"]?.text ?? "?"
            text += "  " + colored(type) + String(repeating: " ", count: max(0, 17 - type.count))
            if let revision = event["revision"]?.number { text += " revision \(revision):" }
            if let resource = event["resource"]?.text { text += " \(resource):" }
            if let object = event["object"]?.text { text += " \(object):" }
            Streams.outputLine(text + " " + (event["message"]?.text ?? ""))
        }
    }

    private func colored(_ type: String) -> String {
        let style = global.outputStyle
        return switch type {
        case "ApplyFailed", "RevisionRejected", "AlarmRaised", "Reverted": style.red(type)
        case "DriftRepaired", "Resynchronized": style.yellow(type)
        default: style.green(type)
        }
    }
}
