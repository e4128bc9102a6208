import Agent
import Foundation
import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel

@testable import VPCLab

extension LabTests {
    /// `Examples/third-party-firewall.yaml` with BIRD in both firewalls, as docs/liveness.md has it, and the daemons of its
    /// hosts, while one of the firewalls dies under traffic.
    @Suite(.needsOverlay, .timeLimit(minutes: 20)) struct ThirdPartyFirewallTests {
        private static let database: IPAddress = "10.0.2.21"
        private static let internet: IPAddress = "198.51.100.7"
        private static let firewalls = ["fw-a": "10.0.9.21", "fw-b": "10.0.9.22"]
        private static let step = Duration.milliseconds(20)

        /// By which firewall a flow goes there and back.
        private struct Way: Hashable {
            var there: Set<String> = []
            var back: Set<String> = []
        }

        private final class World {
            let lab: TestLab
            private(set) var agents: [String: AgentRun] = [:]
            private var birds: [Program] = []
            private let folder: String

            init() throws {
                let path = checkout.appendingPathComponent("Examples/third-party-firewall.yaml").path
                var scenario = Scenario()
                scenario.model = ManifestSet.load(paths: [path]).model
                lab = try TestLab(scenario)
                folder = "/tmp/\(lab.prefix)birds"
                do {
                    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                    for (name, address) in ThirdPartyFirewallTests.firewalls { try start(name, address) }
                    for host in ["h1", "h2", "h3"] {
                        agents[host] = try AgentRun(
                            namespace: lab.namespace(host), host: host, scenario.text(prefix: lab.prefix))
                    }
                } catch {
                    tearDown()
                    throw error
                }
            }

            func tearDown() {
                for agent in agents.values { agent.remove() }
                for bird in birds {
                    bird.send(SIGKILL)
                    bird.wait()
                }
                lab.tearDown()
                try? FileManager.default.removeItem(atPath: folder)
            }

            private func start(_ name: String, _ address: String) throws {
                let text = """
                    router id \(address);
                    protocol device {}
                    protocol bfd {
                        interface "eth0" { interval 200 ms; multiplier 3; };
                        neighbor 10.0.9.1 dev "eth0" local \(address);
                    }
                    """
                try text.write(toFile: "\(folder)/\(name).conf", atomically: false, encoding: .utf8)
                birds.append(
                    try Program([
                        "ip", "netns", "exec", lab.namespace(name), "bird", "-f", "-c", "\(folder)/\(name).conf", "-s",
                        "\(folder)/\(name).ctl", "-P", "\(folder)/\(name).pid",
                    ]))
                // It looks at what passes, as a firewall does.
                try lab.shell(
                    name,
                    """
                    nft -f - <<END
                    table ip firewall {
                        set there { type inet_service; flags dynamic; size 65535; }
                        set back { type inet_service; flags dynamic; size 65535; }
                        chain passing {
                            type filter hook forward priority 0;
                            ip daddr 10.0.2.21 add @there { udp sport }
                            ip saddr 10.0.2.21 add @back { udp dport }
                        }
                    }
                    END
                    """)
            }

            func up(_ host: String) -> Set<String> {
                Set(
                    (agents[host]?.agent.status.gateways ?? []).filter { $0.isUp && $0.reason == "up" }.map(\.interface)
                )
            }

            func waitUntilUp(_ wanted: Set<String>) async throws {
                let end = ContinuousClock.now + .seconds(60)
                while !agents.keys.allSatisfy({ up($0) == wanted }) {
                    try #require(ContinuousClock.now < end, "\(agents.mapValues(\.agent.status.gateways))")
                    try await Task.sleep(for: .milliseconds(20))
                }
            }

            private var nextPort: UInt16 = 20000

            /// Source ports that no flow has had.
            func fresh(_ count: UInt16) -> Range<UInt16> {
                defer { nextPort += count }
                return nextPort..<nextPort + count
            }

            /// New flows to the internet, by source port: whose internet has answered.
            func flows(_ count: UInt16) throws -> [UInt16: String] {
                try lab.station("web1").askMany(ThirdPartyFirewallTests.internet, sourcePorts: fresh(count)).mapValues(
                    \.name)
            }

            /// New flows to the database, by source port.
            func ways(_ count: UInt16) throws -> [UInt16: Way] {
                try forget()
                let answers = try lab.station("web1").askMany(
                    ThirdPartyFirewallTests.database, sourcePorts: fresh(count))
                return try seen().filter { answers[$0.key] != nil }
            }

            func forget() throws {
                for name in ThirdPartyFirewallTests.firewalls.keys {
                    try lab.shell(name, "nft flush set ip firewall there; nft flush set ip firewall back")
                }
            }

            func seen() throws -> [UInt16: Way] {
                var ways: [UInt16: Way] = [:]
                for name in ThirdPartyFirewallTests.firewalls.keys {
                    for (set, path) in [("there", \Way.there), ("back", \Way.back)] {
                        let text = try lab.shell(name, "nft -n list set ip firewall \(set)")
                        guard let list = text.split(separator: "elements = {").dropFirst().first else { continue }
                        for port in list.split(whereSeparator: { !$0.isNumber }).compactMap({ UInt16($0) }) {
                            ways[port, default: Way()][keyPath: path].insert(name)
                        }
                    }
                }
                return ways
            }
        }

        /// By source port, the internet that answered.
        private func flows(_ world: World, _ ports: ClosedRange<UInt16>) throws -> [UInt16: String] {
            let answers = try world.lab.station("web1").askMany(Self.internet, sourcePorts: ports)
            #expect(answers.count == ports.count, "flows without an answer")
            return answers.mapValues(\.name)
        }

        /// What the death and the return of one firewall came to.
        private struct Death {
            /// Datagrams of its flows, of each.
            var lost: [Int] = []
            /// Of flows that went by the other firewall, and of what they became.
            var strays = 0
            /// Of flows that began while it was dead.
            var unanswered = 0
            /// Whether flows go by it again.
            var isBack = false

            var isGood: Bool { lost.allSatisfy { $0 > 0 } && strays == 0 && unanswered == 0 && isBack }
        }

        @Test func whatOneFirewallHadTheOtherOneTakesOver() async throws {
            let world = try World()
            defer { world.tearDown() }
            let death = try await Stalls.undisturbed(\Death.isGood) { try await self.death(in: world) }
            guard let death else { return }
            print("firewall: \(death)")
            #expect(death.isGood, "\(death)")
            #expect(!GatewayPairTests.isTimed || death.lost.allSatisfy { Self.step * $0 < .seconds(1) }, "\(death)")
        }

        private func death(in world: World) async throws -> Death {
            var death = Death()
            try await world.waitUntilUp(["fw-a", "fw-b"])
            let before = try world.flows(40)
            let doomed = before.filter { $0.value == "fw-a-inet" }.keys.sorted().prefix(3)
            let steady = before.filter { $0.value == "fw-b-inet" }.keys.sorted().prefix(3)
            try #require(steady.count == 3 && doomed.count == 3, "\(before)")
            func streams(_ target: IPAddress, _ ports: some Collection<UInt16>) throws -> [VPCLab.Stream] {
                try ports.map {
                    try VPCLab.Stream(from: world.lab.station("web1"), to: target, sourcePort: $0, every: Self.step)
                }
            }
            let its = try streams(Self.internet, doomed)
            let others = try streams(Self.internet, steady)
            // Between two subnets, where an answer may come by the other firewall than the question.
            let inside = try streams(Self.database, world.fresh(2))
            for stream in its + others + inside { #expect(stream.waitForAnswers(20)) }

            let last = world.agents.mapValues(\.lastEvent)
            try world.lab.shell(
                "fw-a",
                """
                nft -f - <<END
                table inet hung {
                    chain in { type filter hook prerouting priority -500; drop; }
                    chain out { type filter hook output priority -500; drop; }
                }
                END
                """)
            for (host, run) in world.agents {
                try await run.event(after: last[host] ?? 0) {
                    $0.type == .gatewayDown && $0.message.contains("gateway fw-a is down")
                }
            }
            for stream in its + inside { #expect(stream.waitForAnswers(30, timeout: .seconds(60))) }
            death.lost = (its + inside).map { $0.finish().lost.count }
            let outside = try world.flows(20)
            death.unanswered = 20 - outside.count
            death.strays = outside.values.count { $0 != "fw-b-inet" }
            let ways = try world.ways(20)
            death.unanswered += 20 - ways.count
            death.strays += ways.values.count { $0 != Way(there: ["fw-b"], back: ["fw-b"]) }

            try world.lab.shell("fw-a", "nft delete table inet hung")
            try await world.waitUntilUp(["fw-a", "fw-b"])
            // Flows that are new go by either again.
            for _ in 0..<20 where !death.isBack { death.isBack = try world.flows(20).values.contains("fw-a-inet") }
            for stream in others {
                #expect(stream.waitForAnswers(20))
                let report = stream.finish()
                death.strays +=
                    report.lost.count + (report.sent - report.lost.count - (report.answeredBy["fw-b-inet"] ?? 0))
            }
            return death
        }
    }
}
