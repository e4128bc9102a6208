import AgentClient
import ArgumentParser
import CommandOptions
import Console
import Presentation
import VPCManifest
import VPCModel

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Say how the agent and its host are, and what is not ready.")

    @OptionGroup var socket: SocketOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let status = try askingAgent(global) { () throws(AgentClientError) in
            try socket.quickClient.get("/v1/status")
        }
        switch output.format {
        case .json: Streams.output(status.json)
        case .yaml: Streams.output(status.yaml)
        case .name: Streams.outputLine(status["host"]?.text ?? "-")
        case .table, .wide:
            show(status)
            try showProblems()
        }
    }

    private func show(_ status: StructuredValue) {
        let style = global.outputStyle
        func row(_ name: String, _ value: String) {
            Streams.outputLine(style.bold(name) + String(repeating: " ", count: 11 - name.count) + value)
        }
        let phase = status["phase"]?.text ?? "?"
        row("HOST", status["host"]?.text ?? "-")
        row("PHASE", colored(phase) + (status["reason"]?.text.map { ": " + $0 } ?? ""))
        row("REVISION", revisions(status))
        let resources = status["resources"]
        func count(_ name: String) -> Int { resources?[name]?.number ?? 0 }
        row("RESOURCES", "\(count("ready")) ready, \(count("pending")) pending, \(count("failed")) failed")
        row("SOURCE", status["source"]?.text ?? "only 'vpcctl apply'")
        row(
            "AGENT",
            "vpcd \(status["version"]?.text ?? "?"), pid \(status["pid"]?.number ?? 0), since \(status["started"]?.text ?? "?")"
        )
        for pair in PairStatuses.all.values.sorted(by: { $0.network < $1.network }) {
            let active =
                pair.active.map { $0 == pair.own ? "this host is active" : "\($0) is active" } ?? "nobody is active"
            row("GATEWAY", "\(pair.network): \(active), since \(WallClock.text(secondsSince1970: pair.since))")
            for problem in pair.problems { global.warning("\(pair.network): \(problem)") }
        }
        if let confirmation = status["confirmation"], let revision = confirmation["revision"]?.number {
            global.warning(
                "revision \(revision) goes back to \(confirmation["previous"]?.number ?? 0) at \(confirmation["deadline"]?.text ?? "?"), unless 'vpcctl confirm' comes before"
            )
        }
        for alarm in status["alarms"]?.elements ?? [] {
            global.warning(
                "somebody else changes \(alarm["object"]?.text ?? "?") again and again (\(alarm["repairs"]?.number ?? 0) repairs)"
            )
        }
        for gateway in status["gateways"]?.elements ?? [] where gateway["up"] == .boolean(false) {
            global.warning(
                "gateway \(gateway["interface"]?.text ?? "?") on \(gateway["host"]?.text ?? "?") is down: \(gateway["reason"]?.text ?? "?")"
            )
        }
        for target in status["targets"]?.elements ?? [] where target["healthy"] == .boolean(false) {
            global.warning(
                "target \(target["interface"]?.text ?? "?") of \(target["group"]?.text ?? "?") on \(target["host"]?.text ?? "?") is unhealthy: \(target["reason"]?.text ?? "?")"
            )
        }
        if let complaint = status["livenessComplaint"]?.text {
            global.warning("next hops and targets: \(complaint)")
        }
        for obstacle in status["obstacles"]?.elements ?? [] {
            global.warning(obstacle["message"]?.text ?? "?")
            Streams.errorLine("  remedy: \(obstacle["remedy"]?.text ?? "?")")
        }
        for alarm in status["connections"]?["alarms"]?.elements ?? [] {
            let isRefused = alarm["refused"] == .boolean(true)
            global.warning(
                "\(Self.owner(of: alarm)) has \(alarm["tracked"]?.number ?? 0) of at most "
                    + "\(alarm["limit"]?.number ?? 0) tracked connections\(isRefused ? "; new ones are refused" : "")")
        }
        for gateway in status["natGateways"]?.elements ?? [] where gateway["alarming"] == .boolean(true) {
            global.warning(
                "NATGateway/\(gateway["name"]?.text ?? "?") translates \(gateway["sessions"]?.number ?? 0) sessions; to one"
                    + " destination there are \(gateway["ports"]?.number ?? 0) ports: give it another address")
        }
        for uplink in status["uplinks"]?.elements ?? [] where uplink["up"] == .boolean(false) {
            global.warning(
                "ExternalNetwork/\(uplink["network"]?.text ?? "?") cannot be reached: \(uplink["reason"]?.text ?? "?")")
        }
        let rejected = status["rejected"]?.elements ?? []
        if !rejected.isEmpty {
            global.warning("the manifests there now are not valid; the last good ones stay in force:")
        }
        for diagnostic in rejected.prefix(Self.limit) { Streams.errorLine("  " + text(of: diagnostic)) }
    }

    /// Whose connections an alarm is about.
    private static func owner(of alarm: StructuredValue) -> ResourceReference {
        alarm["vpc"]?.text.map { ResourceReference(.vpc, $0) }
            ?? ResourceReference(.natGateway, alarm["natGateway"]?.text ?? "?")
    }

    private func colored(_ phase: String) -> String {
        let style = global.outputStyle
        return switch phase {
        case "Ready": style.green(phase)
        case "Failed": style.red(phase)
        default: style.yellow(phase)
        }
    }

    private func revisions(_ status: StructuredValue) -> String {
        guard let desired = status["desiredRevision"]?.number else { return "none yet" }
        let observed = status["observedRevision"]?.number
        if observed == desired { return "\(desired)" }
        return "\(desired), " + (observed.map { "the kernel was equal to \($0) last" } ?? "not in the kernel yet")
    }

    private func text(of diagnostic: StructuredValue) -> String {
        let place = diagnostic["file"]?.text.map { "\($0):\(diagnostic["line"]?.number ?? 0): " } ?? ""
        return place + (diagnostic["message"]?.text ?? "?")
    }

    /// More only with `-o wide`.
    private static let limit = 20

    private func showProblems() throws {
        var rows: [[String]] = []
        for phase in ["Failed", "Pending"] {
            let path = AgentPath.path("/v1/resources", [("phase", phase)])
            let items = try askingAgent(global) { () throws(AgentClientError) in
                try socket.quickClient.get(path)["items"]?.elements ?? []
            }
            rows += items.map { item in
                let name = "\(item["kind"]?.text ?? "?")/\(item["metadata"]?["name"]?.text ?? "?")"
                return [name, phase, item["status"]?["reason"]?.text ?? "-"]
            }
        }
        if rows.isEmpty { return }
        var table = TextTable(["RESOURCE", "STATUS", "REASON"])
        table.rows = output.format == .wide ? rows : Array(rows.prefix(Self.limit))
        Streams.outputLine("")
        for line in table.lines(style: global.outputStyle) { Streams.outputLine(line) }
        if rows.count > table.rows.count { global.note("… and \(rows.count - table.rows.count) more: -o wide") }
    }
}
