import AgentClient
import ArgumentParser
import CommandOptions
import Console
import Presentation
import VPCManifest

struct History: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the revisions that the agent keeps, or print the manifests of one.")

    @Argument(help: "The number of a revision: its manifests are printed.") var revision: Int?
    @OptionGroup var socket: SocketOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        if let revision { return try showManifests(revision) }
        let list = try askingAgent(global) { () throws(AgentClientError) in
            try socket.quickClient.get("/v1/revisions")
        }
        let items = list["items"]?.elements ?? []
        switch output.format {
        case .json: Streams.output(list.json)
        case .yaml: Streams.output(list.yaml)
        case .name: for item in items { Streams.outputLine("\(item["number"]?.number ?? 0)") }
        case .table, .wide:
            let isWide = output.format == .wide
            var table = TextTable(["REVISION", "TIME", "CAUSE", "STATE"] + (isWide ? ["FILES"] : []))
            table.rows = items.map { item in
                let files = item["files"]?.texts.joined(separator: ",") ?? ""
                return [
                    "\(item["number"]?.number ?? 0)", item["time"]?.text ?? "?", item["cause"]?.text ?? "?",
                    state(item, list),
                ] + (isWide ? [files] : [])
            }
            for line in table.lines(style: global.outputStyle) { Streams.outputLine(line) }
        }
    }

    private func state(_ item: StructuredValue, _ list: StructuredValue) -> String {
        let number = item["number"]?.number
        if let deadline = item["confirmBy"]?.text, number == list["desired"]?.number {
            return "confirm by \(deadline)"
        }
        if number == list["desired"]?.number { return number == list["observed"]?.number ? "in force" : "desired" }
        return "-"
    }

    private func showManifests(_ number: Int) throws {
        let value = try askingAgent(global) { () throws(AgentClientError) in
            try socket.quickClient.get("/v1/revisions/\(number)")
        }
        switch output.format {
        case .json: Streams.output(value.json)
        case .name: for name in value["files"]?.texts ?? [] { Streams.outputLine(name) }
        case .table, .wide, .yaml:
            for manifest in value["manifests"]?.elements ?? [] {
                let text = manifest["text"]?.text ?? ""
                Streams.output("# \(manifest["name"]?.text ?? "?")\n---\n\(text)\(text.hasSuffix("\n") ? "" : "\n")")
            }
        }
    }
}

struct Rollback: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make an earlier revision the desired state again, as a new one.",
        discussion: "It stays in force until the manifest directory changes. 'vpcctl history' lists the revisions.")

    @Argument(help: "The number of the revision.") var revision: Int
    @OptionGroup var socket: SocketOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let status = try askingAgent(global) { () throws(AgentClientError) in
            try socket.quickClient.get("/v1/status")
        }
        let agent = LocalAgent(options: socket, host: status["host"]?.text, status: status)
        let outcome = try agent.rollback(to: revision, global)
        try Change(format: output.format, global: global).report(outcome, subject: agent.subject(outcome))
    }
}

struct Confirm: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Keep the revision that 'vpcctl apply --confirm' has brought.")

    @OptionGroup var socket: SocketOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let value = try askingAgent(global) { () throws(AgentClientError) in
            try socket.quickClient.post("/v1/confirm")
        }
        switch output.format {
        case .json: Streams.output(value.json)
        case .yaml: Streams.output(value.yaml)
        case .name, .table, .wide: Streams.outputLine("revision \(value["revision"]?.number ?? 0) is confirmed")
        }
    }
}
