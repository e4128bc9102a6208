import Agent
import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel

@testable import VPCLab

extension LabTests {
    /// Targets that leave the groups of load balancers, and the daemon that ends their connections.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct DrainTests {
        private static let drain = Duration.seconds(4)

        private static let draining: Scenario = {
            var scenario = Scenario.balanced
            for index in scenario.model.targetGroups.indices { scenario.model.targetGroups[index].drain = drain }
            return scenario
        }()

        private func name(_ lab: TestLab, _ port: UInt16) throws -> String? {
            try lab.station("web1").ask(
                "10.0.9.80", port: 53, sourcePort: port, timeout: .milliseconds(500), attempts: 4)?.name
        }

        /// Asks by the same connection until somebody else answers.
        /// - Returns: how long that took; nil: it is still the same after half a minute.
        private func timeUntilAnother(
            than former: String, _ lab: TestLab, _ port: UInt16, since begin: ContinuousClock.Instant
        ) throws -> Duration? {
            while ContinuousClock.now < begin + .seconds(30) {
                if let now = try name(lab, port), now != former { return begin.duration(to: .now) }
            }
            return nil
        }

        @Test func connectionsEndWhenTheirTargetsAreDrained() async throws {
            let lab = try TestLab(Self.draining)
            defer { lab.tearDown() }
            var run = try AgentRun(lab, Self.draining)
            try await run.event(after: 0) { $0.type == .revisionApplied }
            let folder = run.folder
            defer { run.remove() }
            let topology = lab.lab.plan.topology
            let balancer = try #require(topology.loadBalancers.first { $0.name == "main" })
            let service = try #require(topology.services(of: balancer).first { $0.port == 53 })
            let port = try #require(
                (UInt16(40000)...40099).first { port in
                    let target = service.target(from: "10.0.1.11", port: port).target
                    return topology.interfaces[target.interface].name == "app3"
                })
            let kept = try #require(
                (UInt16(40100)...40199).first { port in
                    let target = service.target(from: "10.0.1.11", port: port).target
                    return topology.interfaces[target.interface].name == "app1"
                })
            #expect(try name(lab, port) == "app3")
            let stream = try Stream(from: lab.station("web1"), to: "10.0.9.80", port: 53)
            #expect(stream.waitForAnswers(5))
            #expect(try name(lab, kept) == "app1")

            var last = run.lastEvent
            var begin = ContinuousClock.now
            let without = Self.draining.leaving("app3")
            try AgentRun.write(
                ManifestHead.placed(without.text(prefix: lab.prefix), on: lab.namespace("h1")),
                to: run.manifests + "/all.json")
            try await run.event(after: last) { $0.type == .revisionApplied }
            #expect(try name(lab, port) == "app3", "it drains")
            let time = try #require(try timeUntilAnother(than: "app3", lab, port, since: begin))
            #expect(time >= Self.drain, "\(time)")
            #expect(time < .seconds(25), "\(time)")
            #expect(try name(lab, kept) == "app1")

            // One that begins anew in the middle of it gives them their time once more, and no longer.
            #expect(try name(lab, kept) == "app1")
            last = run.lastEvent
            try AgentRun.write(
                ManifestHead.placed(without.leaving("app1").text(prefix: lab.prefix), on: lab.namespace("h1")),
                to: run.manifests + "/all.json")
            try await run.event(after: last) { $0.type == .revisionApplied }
            run.stop()
            #expect(try name(lab, kept) == "app1")
            begin = .now
            run = try AgentRun(lab, folder: folder)
            let again = try #require(try timeUntilAnother(than: "app1", lab, kept, since: begin))
            #expect(again >= Self.drain, "\(again)")
            #expect(again < .seconds(25), "\(again)")
            _ = stream.finish()
        }
    }
}

extension Scenario {
    /// The same with one interface that has no labels.
    fileprivate func leaving(_ name: String) -> Scenario {
        var changed = self
        for index in model.interfaces.indices where model.interfaces[index].metadata.name == name {
            changed.model.interfaces[index].metadata.labels = [:]
        }
        return changed
    }
}
