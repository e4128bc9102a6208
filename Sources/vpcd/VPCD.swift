import Agent
import ArgumentParser
import CommandOptions
import Console
import Foundation
import Logging
import VPCManifest

@main
struct VPCD: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vpcd", abstract: "Keeps a host equal to its manifests.",
        discussion: """
            Runs in the foreground until SIGTERM or SIGINT. Ending it, however, leaves the kernel as it is: traffic goes \
            on, and the next start takes over what is there.
            """,
        version: "0.1.0")

    @Option(
        name: .customLong("config"), help: "The configuration file.",
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var config = "/etc/vpcctl/vpcd.yaml"

    func run() throws {
        let (configuration, diagnostics) = AgentConfiguration.load(path: config)
        let style: DiagnosticStyle = Style.automatic(for: STDERR_FILENO).isColored ? .colored : .plain
        for diagnostic in diagnostics { Streams.error(diagnostic.rendered(style: style)) }
        guard let configuration else { throw ExitStatus.invalidManifest.code }
        var log = Logger(label: "vpcd") { StreamLogHandler.standardError(label: $0) }
        log.logLevel = .info
        do {
            let agent = try Agent(configuration, log: log)
            try agent.run()
        } catch {
            Streams.errorLine("vpcd: \(error)")
            throw ExitStatus.failed.code
        }
    }
}
