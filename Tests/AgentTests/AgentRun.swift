import Agent
import Foundation
import KernelDriver
import Logging
import Netlink
import Reconciler
import TestSupport
import Testing
import VPCCompiler
import VPCManifest
import VPCTopology

/// An agent for one host, on a thread of its own.
final class AgentRun: Sendable {
    let agent: Agent
    let kernel: KernelDriver
    /// The manifest directory.
    let manifests: String
    /// That and the state directory; gone with ``remove()``.
    let folder: String
    private let host: String
    private let ended = DispatchSemaphore(value: 0)

    /// - Parameters:
    ///   - namespace: The host's.
    ///   - text: The first manifests; nil for an empty directory.
    ///   - folder: That of an agent before, to go on from its state.
    ///   - resyncSeconds: So long that what is repaired was heard of.
    init(
        namespace: String, host: String, _ text: String?, folder: String? = nil, resyncSeconds: Int = 86_400,
        change: (inout AgentConfiguration) -> Void = { _ in }
    ) throws {
        self.host = host
        kernel = KernelDriver(namespace: .named(namespace), operationalTimeout: .seconds(10))
        self.folder = folder ?? "/tmp/vpcd-test-\(getpid())-\(UUID().uuidString)"
        manifests = self.folder + "/manifests"
        try FileManager.default.createDirectory(atPath: manifests, withIntermediateDirectories: true)
        if let text { try Self.write(ManifestHead.placed(text, on: namespace), to: manifests + "/all.json") }
        var configuration = AgentConfiguration()
        configuration.host = host
        configuration.manifests = manifests
        configuration.stateDirectory = self.folder + "/state"
        configuration.resyncSeconds = resyncSeconds
        change(&configuration)
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
    }

    func remove() {
        stop()
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

    /// What is still to be done for the latest manifests, seen by somebody else.
    /// - Parameter dead: Next hops that do not answer.
    func difference(dead: Set<WatchedNextHop> = []) throws -> [String] {
        let set = ManifestSet.load(paths: [manifests])
        let topology = try #require(Topology.resolve(set.model).topology)
        let index = try #require(topology.hosts.firstIndex { $0.metadata.name == host })
        let reconciler = HostReconciler(kernel: kernel, for: index, in: topology)
        let snapshot = try reconciler.kernel.observe(HostReconciler.observation(of: topology, host: index))
        var facts = try reconciler.facts(of: index, in: topology, from: snapshot)
        facts.liveness.deadNextHops = dead
        let plan = try reconciler.plan(reconciler.compile(topology, index, facts, snapshot.host), from: snapshot)
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
