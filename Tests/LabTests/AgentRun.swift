import Agent
import Foundation
import KernelDriver
import Logging
import Netlink
import Reconciler
import Testing
import VPCManifest
import VPCTopology

/// An agent for one host of a lab, on a thread of its own.
final class AgentRun: Sendable {
    let agent: Agent
    let kernel: KernelDriver
    /// The manifest directory.
    let manifests: String
    private let folder: String
    private let topology: Topology
    private let host: String
    private let ended = DispatchSemaphore(value: 0)

    /// - Parameter resyncSeconds: So long that what is repaired was heard of.
    init(_ lab: TestLab, host: String, _ scenario: Scenario, resyncSeconds: Int = 86_400) throws {
        self.host = host
        kernel = KernelDriver(namespace: .named(lab.namespace(host)), operationalTimeout: .seconds(10))
        folder = "/tmp/\(lab.prefix)\(host)-agent-\(UUID().uuidString)"
        manifests = folder + "/manifests"
        try FileManager.default.createDirectory(atPath: manifests, withIntermediateDirectories: true)
        let text = scenario.text(prefix: lab.prefix)
        topology = try #require(Topology.resolve(ManifestSet(text: text, name: "all.json").model).topology)
        try Self.write(text, to: manifests + "/all.json")
        var configuration = AgentConfiguration()
        configuration.host = host
        configuration.manifests = manifests
        configuration.stateDirectory = folder + "/state"
        configuration.resyncSeconds = resyncSeconds
        agent = try Agent(configuration, kernel: kernel, log: Logger(label: "vpcd") { _ in SwiftLogNoOpLogHandler() })
        let (agent, ended) = (agent, ended)
        Thread.detachNewThread {
            do { try agent.run() } catch { Issue.record("the agent ended: \(error)") }
            ended.signal()
        }
    }

    func stop() {
        agent.stop()
        ended.wait()
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// As an editor does it: a file beside, renamed into its place.
    static func write(_ text: String, to path: String) throws {
        let temporary = path + ".tmp"
        try text.write(toFile: temporary, atomically: false, encoding: .utf8)
        try #require(rename(temporary, path) == 0)
    }

    /// The sequence number of the last event.
    var lastEvent: Int { agent.events.events().last?.sequence ?? 0 }

    /// Waits for an event; a minute is more than any takes.
    @discardableResult
    func event(
        after sequence: Int, _ isWanted: @escaping @Sendable (AgentEvent) -> Bool, about subject: String = "",
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> AgentEvent {
        let stream = agent.events.stream(after: sequence)
        let found = try await withThrowingTaskGroup(of: AgentEvent?.self) { group in
            group.addTask {
                for await event in stream where isWanted(event) { return event }
                return nil
            }
            group.addTask {
                try await Task.sleep(for: .seconds(60))
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
        let seen = agent.events.events(after: sequence).map { "\($0.type.rawValue) \($0.object ?? "") \($0.message)" }
        return try #require(found, "\(subject): \(seen)", sourceLocation: sourceLocation)
    }

    /// What is still to be done, seen by somebody else.
    func difference() throws -> [String] {
        let index = try #require(topology.hosts.firstIndex { $0.metadata.name == host })
        let plan = try HostReconciler(kernel: kernel).plan(topology, host: index)
        return plan.changes.operations.map { "\($0.action.rawValue) \($0.object)" }
    }

    /// Waits until everything that was damaged is repaired.
    /// - Parameter damage: To say what it was about.
    func repaired(
        after sequence: Int, of damage: String, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> [AgentEvent] {
        var last = sequence
        while true {
            last = try await event(
                after: last, { $0.type == .driftRepaired }, about: damage, sourceLocation: sourceLocation
            ).sequence
            if try difference().isEmpty { return agent.events.events(after: sequence) }
        }
    }
}
