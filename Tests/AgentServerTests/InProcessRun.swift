import Agent
import AgentClient
import Foundation
import KernelDriver
import Logging
import Netlink
import ServiceLifecycle
import TestSupport
import Testing
import VPCManifest

@testable import AgentServer

/// An agent with its API, in a namespace of its own that has the address of host h1.
///
/// The kernel that the tests run on may have no GRE and no VRF: then the agent says so of its resources, which is as good
/// an answer as any.
final class InProcessRun: Served {
    let agent: Agent
    let namespace: String
    /// State, socket and manifests; gone afterwards.
    let folder: String
    let socket: String
    private let agentEnd = DispatchSemaphore(value: 0)
    private let services: ServiceGroup
    private let served: Task<Void, any Error>

    /// One host, nothing else.
    static var manifest: String { ManifestHead.host() }

    /// Makes one, and takes it away when `body` has ended.
    static func with<Result>(
        _ change: (inout AgentConfiguration) -> Void = { _ in }, limits: ServerLimits = ServerLimits(),
        _ body: (InProcessRun) async throws -> Result
    ) async throws -> Result {
        let namespace = "api-\(UUID().uuidString.prefix(8))"
        try NetworkNamespace.create(named: namespace)
        defer { for name in [namespace, ManifestHead.own(namespace)] { try? NetworkNamespace.remove(named: name) } }
        try await waiting {
            try Run.checked("ip", "-n", namespace, "link", "add", "u0", "type", "veth", "peer", "name", "u1")
            try Run.checked("ip", "-n", namespace, "addr", "add", "172.31.0.1/24", "dev", "u0")
            try Run.checked("ip", "-n", namespace, "link", "set", "u0", "up")
        }
        let run = try InProcessRun(namespace, change, limits)
        do {
            let result = try await ManifestHead.$machine.withValue(namespace) { try await body(run) }
            try await run.remove()
            return result
        } catch {
            try await run.remove()
            throw error
        }
    }

    private init(
        _ namespace: String, _ change: (inout AgentConfiguration) -> Void, _ limits: ServerLimits
    ) throws {
        self.namespace = namespace
        folder = FileManager.default.temporaryDirectory.appending(path: "vpcd-\(UUID().uuidString)").path()
        var configuration = AgentConfiguration()
        configuration.host = "h1"
        configuration.stateDirectory = folder + "/state"
        configuration.socket.path = folder + "/run/vpcd.sock"
        configuration.resyncSeconds = 86_400
        change(&configuration)
        socket = configuration.socket.path
        let log = Logger(label: "vpcd") { _ in SwiftLogNoOpLogHandler() }
        let kernel = KernelDriver(namespace: .named(namespace), operationalTimeout: .seconds(10))
        agent = try Agent(configuration, kernel: kernel, log: log)
        let server = try AgentServer(agent, version: "0.0.0-test", log: log, limits: limits)
        let services = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: server)], gracefulShutdownSignals: [], logger: log))
        self.services = services
        served = Task { try await services.run() }
        let (agent, agentEnd) = (agent, agentEnd)
        Thread.detachNewThread {
            do { try agent.run() } catch { Issue.record("the agent ended: \(error)") }
            agentEnd.signal()
        }
    }

    /// Ends the agent; the API goes on.
    func stopAgent() async throws {
        let (agent, agentEnd) = (agent, agentEnd)
        try await waiting {
            agent.stop()
            agentEnd.wait()
            agentEnd.signal()
        }
    }

    private func remove() async throws {
        try await stopAgent()
        await services.triggerGracefulShutdown()
        try await served.value
        #expect(access(socket, F_OK) != 0, "the socket's file is still there")
        try FileManager.default.removeItem(atPath: folder)
    }
}

/// What has an API.
protocol Served: Sendable {
    /// The host's.
    var namespace: String { get }
    var folder: String { get }
    /// The path of the API's.
    var socket: String { get }
}

extension Served {
    var client: AgentClient { AgentClient(socket: socket, timeout: .seconds(600)) }

    /// `vpcctl` inside the namespace.
    func vpcctl(
        _ arguments: String..., input: String = "", before: [String] = []
    ) async throws -> Run {
        try await vpcctl(arguments, input: input, before: before)
    }

    func vpcctl(_ arguments: [String], input: String = "", before: [String] = []) async throws -> Run {
        try await waiting {
            try Run(
                ["ip", "netns", "exec", self.namespace] + before + [Run.program("vpcctl")] + arguments,
                input: Data(input.utf8),
                environment: ["VPCCTL_SOCKET": self.socket])
        }
    }

    /// What an independent client gets.
    /// - Parameter before: What to run it with, such as setpriv(1).
    func curl(
        _ path: String, _ method: String = "GET", body: Data? = nil, type: String? = nil, headers: [String] = [],
        before: [String] = [], tcp: String? = nil
    ) async throws -> Answer {
        var command =
            before + [
                "curl", "--silent", "--show-error", "--max-time", "600", "--write-out",
                "\n%{http_code} %{content_type}",
            ]
        command += method == "HEAD" ? ["--head"] : ["--request", method]
        if tcp == nil { command += ["--unix-socket", socket] }
        for header in headers + (type.map { ["Content-Type: \($0)"] } ?? []) { command += ["--header", header] }
        if body != nil { command += ["--data-binary", "@-"] }
        // A daemon listens in its own namespace.
        if tcp != nil, self is DaemonRun { command = ["ip", "netns", "exec", namespace] + command }
        let whole = command + ["http://\(tcp ?? "vpcd")\(path)"]
        let run = try await waiting { try Run(whole, input: body ?? Data()) }
        try #require(run.status == 0, "\(command) \(path): \(run.error)")
        return try #require(Answer(run.output, path: path, method: method))
    }

    /// Waits until somebody follows the events.
    func followed(by count: Int = 1) async throws {
        while !(try await curl("/metrics").body.contains("\nvpcctl_event_followers \(count)\n")) {}
    }

    func post(_ path: String, _ json: String) async throws -> Answer {
        try await curl(path, "POST", body: Data(json.utf8), type: "application/json")
    }

    /// The body of a request with one manifest.
    static func sources(_ text: String, name: String = "all.yaml") -> String {
        let value: StructuredValue = ["sources": [["name": .string(name), "text": .string(text)]]]
        return value.json
    }
}

/// What curl got.
struct Answer: Codable {
    var path: String
    var method: String
    var status: Int
    var contentType: String
    var body: String

    init?(_ output: String, path: String, method: String) {
        guard let end = output.lastIndex(of: "\n") else { return nil }
        let words = output[output.index(after: end)...].split(separator: " ", maxSplits: 1)
        guard let status = words.first.flatMap({ Int($0) }) else { return nil }
        self.path = path
        self.method = method
        self.status = status
        contentType = words.count > 1 ? String(words[1]) : ""
        body = String(output[..<end])
    }

    /// The body as JSON.
    var json: StructuredValue {
        get throws { try StructuredValue(json: Array(body.utf8)) }
    }
}
