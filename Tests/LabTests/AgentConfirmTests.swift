import Agent
import TestSupport
import Testing
import VPCManifest
import VPCModel

extension LabTests {
    /// Revisions that have to be confirmed, with probes that send real packets.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct AgentConfirmTests {
        /// Probes of everything that two guests of one host, and one of another, can say to each other.
        private static let probed: Scenario = {
            var scenario = Scenario.agents
            scenario.probe("a-same-host", "web1", to: "web2", .icmp, .allow)
            scenario.probe("b-other-host", "web1", to: "web3", .tcp(port: 7001), .allow)
            scenario.probe("c-nobody-listens", "web1", to: "web2", .tcp(port: 9), .allow)
            scenario.probe("d-closed-port", "web1", to: "web3", .udp(port: 9), .allow)
            scenario.probe("e-nobody-there", "web1", toAddress: "10.0.1.99", .icmp, .deny)
            scenario.probe("f-elsewhere", "web3", to: "web1", .icmp, .allow)
            return scenario
        }()

        @Test func probesDecide() async throws {
            let lab = try TestLab(.agents)
            defer { lab.tearDown() }
            let run = try AgentRun(lab, .agents)
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }

            // All is well: it stays until somebody says something.
            let good = try await run.agent.apply(Self.sources(Self.probed, lab), confirmSeconds: 600)
            #expect(!good.isReverted)
            #expect(
                good.probes.map { "\($0.name) \($0.verdict.rawValue)" } == [
                    "a-same-host passed", "b-other-host passed", "c-nobody-listens passed", "d-closed-port passed",
                    "e-nobody-there passed", "f-elsewhere skipped",
                ], "\(good.probes)")
            #expect(try await run.agent.confirm() == good.revision.number)

            // A blackhole in the way of one of them: the probe fails, and what was in force is in force again.
            var broken = Self.probed
            broken.table("hole", "blue", Scenario.blackhole("10.0.1.13/32"))
            broken.model.subnets[0].routeTable = "hole"
            let bad = try await run.agent.apply(Self.sources(broken, lab), confirmSeconds: 600)
            #expect(bad.isReverted)
            #expect(Set(bad.probes.filter { $0.verdict == .failed }.map(\.name)) == ["b-other-host", "d-closed-port"])
            #expect(run.agent.status.confirmation == nil)
            #expect(try run.agent.history().last?.cause == .revert(good.revision.number))
            #expect(try lab.station("web1").ask("10.0.1.13")?.name == "web3")
        }

        private static func sources(_ scenario: Scenario, _ lab: TestLab) -> [ManifestSource] {
            [ManifestSource(name: "all.json", text: scenario.text(prefix: lab.prefix))]
        }
    }
}
