import AgentClient
import ArgumentParser
import CommandOptions
import Console
import Glibc
import Netlink
import Presentation
import VPCManifest
import VPCModel
import VPCTopology

/// Where the agent is.
struct SocketOptions: ParsableArguments {
    @Option(
        name: .customLong("socket"),
        help: "The agent's socket; else VPCCTL_SOCKET of the environment, or \(AgentClient.defaultSocket).",
        completion: .file())
    var socket: String?

    @Option(help: "How long to wait for the agent, such as 30s or 5m.")
    var timeout: Seconds?

    private static var environment: String? {
        getenv("VPCCTL_SOCKET").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Whether somebody has named one, rather than there being one by chance.
    var isNamed: Bool { socket != nil || Self.environment != nil }

    /// - Parameter patience: Without `--timeout`; nil: as long as it takes.
    func client(patience: Duration?) -> AgentClient {
        AgentClient(
            socket: socket ?? Self.environment ?? AgentClient.defaultSocket,
            timeout: timeout.map { .seconds($0.count) } ?? patience)
    }

    /// What the agent has chosen that has the usual socket, or that of the environment; nil where there is none.
    static var chosenAddresses: KeptAddresses? {
        let client = AgentClient(socket: environment ?? AgentClient.defaultSocket, timeout: .seconds(30))
        guard let status = try? client.get("/v1/status"), let number = status["desiredRevision"]?.number,
            let revision = try? client.get("/v1/revisions/\(number)")
        else { return nil }
        return KeptAddresses(revision.chosenAddresses)
    }

    /// For what is answered at once.
    var quickClient: AgentClient { client(patience: .seconds(30)) }
    /// For what takes as long as the kernel takes.
    var patientClient: AgentClient { client(patience: nil) }
}

/// Whether to work through the agent.
struct AgentOptions: ParsableArguments {
    @OptionGroup var socket: SocketOptions

    @Flag(name: .customLong("no-agent"), help: "Work on the kernel directly, even where an agent runs.")
    var noAgent = false

    /// The agent that looks after the network namespace this process is in; nil where there is none, and the kernel is
    /// worked on directly.
    /// - Parameters:
    ///   - host: The Host that the user means.
    ///   - toModify: Whether to go on without an agent that cannot be asked would be a mistake.
    /// - Throws: `ExitCode` 69, 75 or 77.
    func find(_ global: GlobalOptions, host: String?, toModify: Bool) throws -> LocalAgent? {
        if noAgent { return nil }
        let client = socket.quickClient
        let status: StructuredValue
        do {
            status = try client.get("/v1/status")
        } catch {
            if error.code == .unreachable, !socket.isNamed { return nil }
            if error.code == .notPermitted, !toModify, !socket.isNamed { return nil }
            throw agentExitCode(for: error, global)
        }
        let agent = LocalAgent(options: socket, host: status["host"]?.text, status: status)
        // Whoever names the socket on the command line means that agent, wherever it is.
        let own = (try? NetworkNamespace.current.identity()).map { Int(clamping: $0) }
        guard socket.socket != nil || status["networkNamespace"]?.number == own else {
            if global.verbose {
                global.note("the agent at \(client.socket) looks after another network namespace: working without it")
            }
            return nil
        }
        if let host, let present = agent.host, host != present {
            global.error("the agent here keeps host \(present), not \(host); --no-agent works without it")
            throw ExitStatus.failed.code
        }
        return agent
    }

    /// `find`, for what cannot be done without an agent.
    func require(_ global: GlobalOptions, host: String?, _ what: String) throws -> LocalAgent {
        if let agent = try find(global, host: host, toModify: true) { return agent }
        global.error(
            "\(what) needs the agent, and none looks after this network namespace; start vpcd, or name its socket with --socket"
        )
        throw ExitStatus.agentUnreachable.code
    }
}

/// An agent that answers.
struct LocalAgent {
    let options: SocketOptions
    /// Nil as long as it does not know.
    let host: String?
    let status: StructuredValue

    var quickClient: AgentClient { options.quickClient }
    var patientClient: AgentClient { options.patientClient }
    /// `host h1`, of what came back.
    func subject(_ outcome: PresentedOutcome) -> String { (outcome.host ?? host).map { "host \($0)" } ?? "this host" }
}

/// Runs `body` and turns what the agent says into messages and an exit code.
func askingAgent<Result>(
    _ global: GlobalOptions, _ body: () throws(AgentClientError) -> Result
) throws -> Result {
    do {
        return try body()
    } catch {
        throw agentExitCode(for: error, global)
    }
}

/// Prints what the agent says.
/// - Parameter set: What was sent as resources: complaints about these are given their places there.
func agentExitCode(for error: AgentClientError, _ global: GlobalOptions, in set: ManifestSet? = nil) -> ExitCode {
    for line in error.messages(in: set) { global.error(line) }
    if error.diagnostics.isEmpty { global.error(error.message) }
    switch error.code {
    case .unreachable: return ExitStatus.agentUnreachable.code
    case .notPermitted: return ExitStatus.notPermitted.code
    case .timedOut, .abandoned: return ExitStatus.timedOut.code
    case .protocol: return ExitStatus.failed.code
    case .refused: return error.status == 422 ? ExitStatus.invalidManifest.code : ExitStatus.failed.code
    }
}

extension AgentClientError {
    /// What is wrong with manifests, a line each.
    /// - Parameter set: What was sent as resources.
    func messages(in set: ManifestSet? = nil) -> [String] {
        diagnostics.prefix(100).map { diagnostic in
            let message = diagnostic["message"]?.text ?? ""
            if let place = set.flatMap({ diagnostic.place(in: $0) }) { return "\(place): \(message)" }
            guard let file = diagnostic["file"]?.text else { return message }
            return "\(file):\(diagnostic["line"]?.number ?? 0):\(diagnostic["column"]?.number ?? 0): \(message)"
        }
    }
}

extension StructuredValue {
    /// Where a diagnostic's field is in what was sent; nil where it is about something else.
    fileprivate func place(in set: ManifestSet) -> SourcePosition? {
        guard self["file"]?.text.map({ $0 == "request" || $0.hasPrefix(ManifestSource.madeByAPI) }) ?? true,
            let kind = self["resource"]?["kind"]?.text.flatMap({ ResourceKind(rawValue: $0) }),
            let name = self["resource"]?["name"]?.text
        else { return nil }
        return set.locate(ResourceReference(kind, name), FieldPath(self["path"]?.text ?? ""))
    }
}

extension FieldPath {
    /// Reads its description back.
    fileprivate init(_ text: String) {
        self.init(
            text.split(separator: ".").flatMap { part -> [Component] in
                let pieces = part.split(separator: "[")
                return pieces.enumerated().map { position, piece in
                    position > 0 ? Int(piece.dropLast()).map { .index($0) } ?? .key(String(piece)) : .key(String(piece))
                }
            })
    }
}

/// `90`, `60s`, `5m` or `1h` of the command line.
struct Seconds: ExpressibleByArgument {
    let count: Int

    init?(argument: String) {
        let units: [Character: Int] = ["s": 1, "m": 60, "h": 3600]
        let unit = argument.last.flatMap { units[$0] }
        guard let number = Int(unit == nil ? argument : String(argument.dropLast())), number > 0,
            number <= 86_400
        else { return nil }
        count = number * (unit ?? 1)
    }
}
