import Agent
import AgentServer
import ArgumentParser
import CLinux
import CommandOptions
import Console
import Glibc
import Logging
import VPCManifest

@main
struct VPCD: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vpcd", abstract: "Keeps a host equal to its manifests.",
        discussion: """
            Runs in the foreground until SIGTERM or SIGINT; SIGHUP has everything read again. Ending it, however, leaves \
            the kernel as it is: traffic goes on, and the next start takes over what is there.
            """,
        version: Program.version)

    @Option(
        name: .customLong("config"), help: "The configuration file.",
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var config = "/etc/vpcctl/vpcd.yaml"

    @Option(name: .customLong("log-format"), help: "text or json, whatever the configuration says.")
    var logFormat: LogFormat?

    @Flag(help: "Only check the configuration: exit code 0, or 65 with what is wrong.")
    var check = false

    func run() throws {
        let (configuration, diagnostics) = AgentConfiguration.load(path: config)
        let style: DiagnosticStyle = Style.automatic(for: STDERR_FILENO).isColored ? .colored : .plain
        for diagnostic in diagnostics { Streams.error(diagnostic.rendered(style: style)) }
        guard var configuration else { throw ExitStatus.invalidManifest.code }
        if check { return Streams.outputLine("\(config) is valid") }
        if let logFormat { configuration.log.format = logFormat.format }
        Daemon.blockSignals()
        // Around a page in use the kernel makes a huge page of what was given back: 107 MB instead of 93 with a hundred
        // thousand interfaces.
        linux_use_small_pages()
        let handler = DaemonLogHandler(configuration.log.format, level: configuration.log.level)
        let log = Logger(label: "vpcd") { _ in handler }
        guard Self.work(configuration, log) else { throw ExitStatus.failed.code }
    }

    private static func work(_ configuration: AgentConfiguration, _ log: Logger) -> Bool {
        do {
            let agent = try Agent(configuration, log: log)
            let server = try AgentServer(agent, version: Program.version, log: log)
            log.notice("vpcd \(Program.version) begins")
            return Daemon(agent: agent, server: server, manager: ServiceManager(), log: log).run()
        } catch {
            log.critical("\(error)")
            return false
        }
    }
}

/// A word of the command line.
enum LogFormat: String, ExpressibleByArgument, CaseIterable {
    case text
    case json

    var format: AgentConfiguration.Log.Format {
        switch self {
        case .text: .text
        case .json: .json
        }
    }
}
