import Foundation
import Glibc
import Synchronization
import TestSupport
import Testing
import VPCManifest

@testable import Agent

private final class Flag: Sendable {
    let value = Atomic(true)
}

/// Holds up whoever prepares a set or makes a plan, until it is told to go on.
final class Holdup: Sendable {
    private let entered = DispatchSemaphore(value: 0)
    private let go = DispatchSemaphore(value: 0)

    init(_ agent: Agent) {
        agent.beforePreparation.withLock { hook in
            hook = { [entered, go] in
                entered.signal()
                go.wait()
            }
        }
    }

    /// Waits until somebody is held up.
    func enter() async {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { [entered] in
                entered.wait()
                continuation.resume()
            }
        }
    }

    /// Lets one piece of work go on.
    func release() { go.signal() }

    /// Lets everything go on, from now on.
    func end(_ agent: Agent) {
        agent.beforePreparation.withLock { $0 = nil }
        for _ in 0..<64 { go.signal() }
    }
}

/// What takes long holds up neither repairs nor answers, and what is accepted is accepted in order.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct PreparationTests {
    private func sources(_ vpcs: Int) -> [ManifestSource] {
        [ManifestSource(name: "mine.yaml", text: AgentTests.text(vpcs: vpcs))]
    }

    private func withAgent(
        _ body: (AgentRun, _ namespace: String, Holdup) async throws -> Void
    ) async throws {
        try await AgentTests.withHost { name in
            let run = try AgentRun(namespace: name, host: "h1", AgentTests.text(vpcs: 0))
            defer { run.remove() }
            _ = try await run.agent.settled()
            let holdup = Holdup(run.agent)
            defer { holdup.end(run.agent) }
            try await body(run, name, holdup)
        }
    }

    /// A rule of ours, which somebody has deleted, is there again.
    private func expectRepair(_ name: String) throws {
        func hasRule() throws -> Bool { try Run.checked("ip", "-n", ManifestHead.own(name), "rule").contains("32765:") }
        try #require(try hasRule())
        try Run.checked("ip", "-n", ManifestHead.own(name), "rule", "del", "priority", "32765")
        while try !hasRule() { usleep(10_000) }
    }

    @Test func aSetThatTakesLongHoldsUpNoRepair() async throws {
        try await withAgent { run, name, holdup in
            async let applied = run.agent.apply(sources(1))
            await holdup.enter()
            try expectRepair(name)
            try await run.agent.ping()
            #expect(run.agent.status.desiredRevision == 1)
            holdup.end(run.agent)
            #expect(try await applied.revision.number == 2)
        }
    }

    @Test func aPlanThatTakesLongHoldsUpNoRepairAndNoChange() async throws {
        try await withAgent { run, name, holdup in
            async let planned = run.agent.plan(sources(1))
            await holdup.enter()
            try expectRepair(name)
            async let applied = run.agent.apply(sources(2))
            await holdup.enter()
            // The plan is still held up when the change goes on; who of the two is let go first does not matter.
            holdup.end(run.agent)
            #expect(try await applied.revision.number == 2)
            #expect(try await planned.topology.vpcs.count == 1)
        }
    }

    @Test func aDirectoryThatTakesLongHoldsUpNoRepair() async throws {
        try await withAgent { run, name, holdup in
            let last = run.lastEvent
            // What is worth a warning is resolved as a whole.
            let table = "---\nkind: RouteTable\nmetadata: {name: t}\nspec: {vpc: v0, routes: []}\n"
            try AgentRun.write(AgentTests.text(vpcs: 3) + table, to: run.manifests + "/all.json")
            await holdup.enter()
            try expectRepair(name)
            // What comes meanwhile is not forgotten.
            try AgentRun.write(AgentTests.text(vpcs: 4), to: run.manifests + "/all.json")
            holdup.end(run.agent)
            try await run.event(after: last) { $0.type == .revisionAccepted && $0.revision == 3 }
            #expect(run.agent.desired?.topology.vpcs.count == 4)
        }
    }

    /// In the order in which they came, each with its answer.
    @Test func changesAreAcceptedInOrder() async throws {
        try await withAgent { run, _, holdup in
            let agent = run.agent
            async let first = agent.apply(sources(1))
            await holdup.enter()
            var tasks: [Task<Int, any Error>] = []
            for vpcs in 2...4 {
                let sources = sources(vpcs)
                tasks.append(Task { try await agent.apply(sources).revision.number })
                while agent.pendingChanges < vpcs { try await agent.ping() }
            }
            async let back = agent.rollback(to: 1)
            while agent.pendingChanges < 5 { try await agent.ping() }
            holdup.end(agent)
            #expect(try await first.revision.number == 2)
            for (index, task) in tasks.enumerated() { #expect(try await task.value == 3 + index) }
            #expect(try await back.revision.number == 6)
            #expect(agent.desired?.topology.vpcs.isEmpty == true)
        }
    }

    /// What is in force already makes no new revision, whatever came in between.
    @Test func whatIsInForceIsNoNewRevision() async throws {
        try await withAgent { run, _, holdup in
            holdup.end(run.agent)
            let first = try await run.agent.apply(sources(1)).revision.number
            #expect(try await run.agent.apply(sources(1)).revision.number == first)
            let hold = Holdup(run.agent)
            async let again = run.agent.apply(sources(1))
            await hold.enter()
            async let other = run.agent.apply(sources(2))
            hold.end(run.agent)
            #expect(try await again.revision.number == first)
            #expect(try await other.revision.number == first + 1)
        }
    }

    /// A plan that nobody waits for any more is not made.
    @Test func anAbandonedPlanIsNotMade() async throws {
        try await withAgent { run, _, holdup in
            let agent = run.agent
            let isWanted = Flag()
            let sources = sources(1)
            let wanted: @Sendable () -> Bool = { isWanted.value.load(ordering: .relaxed) }
            let planned = Task { try await agent.plan(sources, while: wanted) }
            await holdup.enter()
            isWanted.value.store(false, ordering: .relaxed)
            holdup.end(agent)
            let error = await #expect(throws: AgentError.self) { try await planned.value }
            #expect(error?.message == "the client has gone")
        }
    }

    /// Whoever waits when the agent ends is told.
    @Test func theEndIsTold() async throws {
        try await withAgent { run, _, holdup in
            let (agent, sources) = (run.agent, sources(1))
            let first = Task { try await agent.apply(sources) }
            await holdup.enter()
            let second = Task { try await agent.apply(sources) }
            agent.stop()
            for task in [first, second] {
                let error = await #expect(throws: AgentError.self) { try await task.value }
                #expect(error?.code == .stopping)
            }
        }
    }
}
