import Agent
import IPAddressing
import TestSupport
import Testing
import VPCCompiler
import VPCManifest
import VPCModel

@testable import VPCLab

extension Scenario {
    /// Those of ``balanced`` whose targets are asked.
    fileprivate static let asked: Scenario = {
        var scenario = Scenario.balanced
        for index in scenario.model.targetGroups.indices {
            scenario.model.targetGroups[index].healthCheck = .init(
                transport: scenario.model.targetGroups[index].transport == .udp ? .udp : .tcp, interval: .seconds(1),
                timeout: .milliseconds(500), healthy: 2, unhealthy: 2)
        }
        for index in scenario.model.hosts.indices {
            scenario.model.hosts[index].dataPlane.namespace = "vpc-h\(index + 1)"
        }
        return scenario
    }()
}

extension LabTests {
    /// Targets that fall ill, and recover, and the daemons of three hosts that tell each other.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct HealthTests {
        /// Its services answer nobody any more.
        private static let hang = """
            nft -f - <<END
            table inet hung {
                chain in { type filter hook input priority -500; udp dport 1-65535 drop; tcp dport 1-65535 drop; }
            }
            END
            """

        private final class World {
            let lab: TestLab
            var agents: [String: AgentRun] = [:]

            init() throws {
                lab = try TestLab(.asked)
                do {
                    for host in ["h1", "h2", "h3"] { try start(host) }
                } catch {
                    tearDown()
                    throw error
                }
            }

            func start(_ host: String, folder: String? = nil) throws {
                agents[host] = try AgentRun(
                    namespace: lab.namespace(host), host: host,
                    folder == nil ? Scenario.asked.text(prefix: lab.prefix) : nil, folder: folder)
            }

            func tearDown() {
                for agent in agents.values { agent.remove() }
                lab.tearDown()
            }

            /// Whether a host holds these for healthy, and no others, in both groups that have them.
            func holds(_ names: Set<String>, _ host: String) -> Bool {
                let targets = (agents[host]?.agent.status.targets ?? []).filter(\.isHealthy)
                return ["shop", "shop-tcp"].allSatisfy { group in
                    Set(targets.filter { $0.group == group }.map(\.interface)) == names
                }
            }

            /// Waits until all hosts hold these for healthy, and have told the kernel.
            func waitUntilHealthy(_ names: Set<String>, sourceLocation: SourceLocation = #_sourceLocation) async throws
            {
                let end = ContinuousClock.now + .seconds(60)
                while !agents.keys.allSatisfy({ holds(names, $0) }) {
                    let states = agents.mapValues { "\($0.agent.status.targets)" }
                    try #require(ContinuousClock.now < end, "\(names): \(states)", sourceLocation: sourceLocation)
                    try await Task.sleep(for: .milliseconds(20))
                }
            }

            func shares(of client: String, _ sources: ClosedRange<UInt16>) throws -> [String: Int] {
                let answers = try lab.station(client).askMany(
                    "10.0.9.80", port: 53, sourcePorts: Array(sources), timeout: .seconds(2), attempts: 3)
                return answers.values.reduce(into: [:]) { $0[$1.name, default: 0] += 1 }
            }
        }

        @Test func whoFallsIllIsLeftOutUntilHeRecovers() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilHealthy(["app1", "app2", "app3"])
            let all = try world.shares(of: "web1", 30000...30089)
            #expect(Set(all.keys) == ["app1", "app2", "app3"] && all.values.reduce(0, +) == 90)
            let topology = world.lab.lab.plan.topology
            let balancer = try #require(topology.loadBalancers.first { $0.name == "main" })
            let service = try #require(topology.services(of: balancer).first { $0.port == 53 })
            let port = try #require(
                (UInt16(30000)...30089).first {
                    topology.interfaces[service.target(from: "10.0.1.11", port: $0).target.interface].name == "app3"
                })

            let last = try #require(world.agents["h1"]).lastEvent
            _ = try world.lab.shell("app3", Self.hang)
            try await world.waitUntilHealthy(["app1", "app2"])
            let agent = try #require(world.agents["h1"])
            let event = try await agent.event(after: last) {
                $0.type == .targetUnhealthy && $0.message.contains("shop is unhealthy: no answer within 500ms")
            }
            #expect(event.message.hasPrefix("target app3 of shop"))
            // Its connections are over: what goes on by the same ports gets to others, at once.
            for client in ["web1", "web2"] {
                let left = try world.shares(of: client, 30000...30089)
                #expect(Set(left.keys) == ["app1", "app2"] && left.values.reduce(0, +) == 90, "\(client): \(left)")
            }
            let moved = try world.lab.station("web1").ask("10.0.9.80", port: 53, sourcePort: port)?.name
            #expect(moved == "app1" || moved == "app2")

            _ = try world.lab.shell("app3", "nft delete table inet hung")
            try await world.waitUntilHealthy(["app1", "app2", "app3"])
            #expect(Set(try world.shares(of: "web1", 31000...31089).keys) == ["app1", "app2", "app3"])
        }

        @Test func whereNobodyIsHealthyNobodyIsLetConnect() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilHealthy(["app1", "app2", "app3"])
            let connects = { () throws in
                if case .answered = try world.lab.station("web1").connect("10.0.9.80") { true } else { false }
            }
            #expect(try connects())
            for name in ["app1", "app2", "app3"] { _ = try world.lab.shell(name, Self.hang) }
            try await world.waitUntilHealthy([])
            #expect(try world.shares(of: "web1", 30000...30009).isEmpty)
            #expect(try world.lab.station("web1").connect("10.0.9.80") == .failed("Connection refused"))
            // A daemon that begins anew knows what was known.
            let agent = try #require(world.agents["h1"])
            let folder = agent.folder
            for name in ["app1", "app2"] { _ = try world.lab.shell(name, "nft delete table inet hung") }
            try await world.waitUntilHealthy(["app1", "app2"])
            let before = try world.shares(of: "web1", 31000...31059)
            agent.stop()
            try world.start("h1", folder: folder)
            let again = try #require(world.agents["h1"])
            while again.agent.status.phase != .ready { try await Task.sleep(for: .milliseconds(5)) }
            let after = try world.shares(of: "web1", 31000...31059)
            #expect(before == after && Set(after.keys) == ["app1", "app2"])
        }
    }
}
