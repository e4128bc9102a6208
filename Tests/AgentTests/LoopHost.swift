import FakeKernel
import Foundation
import IPAddressing
import KernelModel
import KernelNames
import Logging
import Synchronization
import TestSupport
import Testing
import VPCCompiler
import VPCManifest

@testable import Agent

/// A host with one guest, and a loop that looks after it.
final class LoopHost {
    let kernel: FakeKernel
    let clock = VirtualClock()
    let agent: Agent
    let loop: ReconcileLoop
    let folder: String
    /// Whose folder it goes on with.
    private let former: LoopHost?

    /// - Parameter former: A loop that has ended; this one begins with what it has left on the disk.
    init(interfaces: Int = 1, others: [Int] = [], settles: Bool = true, after former: LoopHost? = nil) throws {
        self.former = former
        folder = former?.folder ?? "/tmp/vpcd-loop-\(UUID().uuidString)"
        kernel = FakeKernel(
            FakeWorld(
                owner: Conventions.ownership, parameters: Conventions.sysctlPaths,
                uplink: try #require(InterfaceName("eth0")), address: try #require(IPAddress("172.31.0.1")),
                guests: [NamespaceName("web")]))
        var configuration = AgentConfiguration()
        configuration.host = "h1"
        configuration.manifests = folder + "/manifests"
        configuration.stateDirectory = folder + "/state"
        // So long that nothing but what is told of, and what is looked at for that, is found.
        configuration.resyncSeconds = 1_000_000
        for path in [configuration.manifests, configuration.stateDirectory].compactMap(\.self) {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        let file = URL(filePath: folder + "/manifests/all.yaml")
        if former == nil { try Data(Self.text(interfaces, others: others).utf8).write(to: file) }
        agent = try Agent(
            configuration, kernel: kernel, nil, clock, log: Logger(label: "vpcd") { _ in SwiftLogNoOpLogHandler() })
        loop = try ReconcileLoop(agent)
        loop.start()
        if settles { try settle() }
    }

    deinit { if former == nil { try? FileManager.default.removeItem(atPath: folder) } }

    /// - Parameter others: Hosts whose names come before that of this one.
    static func text(_ interfaces: Int, others: [Int] = []) -> String {
        var text = others.map {
            """
            apiVersion: vpcctl.dev/v1
            kind: Host
            metadata: {name: a\($0)}
            spec: {underlay: {address: 172.31.0.\(10 + $0)}}
            ---

            """
        }.joined()
        text += ManifestHead.subnet("10.0.1.0/24", of: "10.0.0.0/16") + ManifestHead.guests(interfaces)
        return text
    }

    var status: AgentStatus { agent.status }

    func events(_ type: AgentEvent.Kind) -> [AgentEvent] { agent.events.events().filter { $0.type == type } }

    /// Turns until nothing happens but waiting, and takes the look that was waited for.
    func settle() throws {
        for _ in 0..<100 {
            let count = clock.waits.count
            loop.turn()
            if clock.waits.count > count { return _ = loop.pass() }
        }
        Issue.record("the loop does not come to rest: \(status)")
    }

    /// Turns until that much time has passed.
    func pass(_ duration: Duration) throws {
        let end = clock.now + duration
        for _ in 0..<10_000 where clock.now < end { loop.turn() }
        try #require(clock.now >= end)
        loop.pass()
    }

    var rule: Rule? {
        kernel.world.host.state.rules.first { $0.routeProtocol == Conventions.ownership.routeProtocol }
    }

    // MARK: - Requests

    /// What an answer said, once it has come.
    final class Answer<Value: Sendable>: Sendable {
        private let result = Mutex<Result<Value, AgentError>?>(nil)

        var reply: Agent.Reply<Value> { { result in self.result.withLock { $0 = result } } }

        func get() throws -> Value { try #require(result.withLock { $0 }, "no answer").get() }
    }

    /// Asks, and waits for what is prepared for that.
    func ask<Value: Sendable>(_ command: (@escaping Agent.Reply<Value>) -> Agent.Command) throws -> Value {
        let answer = Answer<Value>()
        loop.carryOut(command(answer.reply))
        finishPreparing()
        return try answer.get()
    }

    // MARK: - Manifests

    /// Takes in what has changed; what has to be resolved as a whole is prepared beside the loop.
    func accept(_ revision: Int) {
        for _ in 0..<10_000 where status.desiredRevision != revision { turn() }
    }

    private func turn() {
        if agent.pendingChanges == 0 { return loop.turn() }
        takeMail()
    }

    /// A set is prepared by another thread: time stands still for it.
    private func takeMail() {
        usleep(100)
        for command in agent.mailbox.take() { loop.carryOut(command) }
    }

    /// Has a set prepared, whatever becomes of it.
    func prepare() {
        repeat { turn() } while agent.pendingChanges == 0
        finishPreparing()
    }

    /// Waits for what is prepared already.
    func finishPreparing() {
        while agent.pendingChanges > 0 { takeMail() }
    }

    /// As an editor does it: a file beside, renamed into its place.
    func put(_ text: String, as name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: folder + "/new"))
        try #require(rename(folder + "/new", folder + "/manifests/" + name) == 0)
    }
}
