import Agent
import Foundation
import GatewayControl
import IPAddressing
import TestSupport
import Testing
import VPCModel

@testable import VPCLab

extension Scenario {
    /// The tenant, with no way out.
    fileprivate static let withoutPair: Scenario = {
        var scenario = Scenario.gatewayPair
        scenario.model.externalNetworks = []
        scenario.model.natGateways = []
        scenario.model.routeTables = []
        scenario.model.probes = []
        for index in scenario.model.subnets.indices { scenario.model.subnets[index].routeTable = nil }
        return scenario
    }()
}

extension LabTests {
    /// What goes wrong with a pair of gateways, beyond the death of one of them, and what whoever looks is told of it.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 30)) struct GatewayPairFaultTests {
        typealias World = GatewayPairTests.World

        private func conversations(_ world: World, _ count: Int = 4) throws -> [LongConnection] {
            try (0..<count).map { _ in
                try LongConnection(from: world.lab.station("blue1"), to: GatewayPairTests.internet)
            }
        }

        /// Either of the two suffices: with one of them nobody is served.
        @Test(arguments: [
            ("u0", "u0, which leads to the other hosts, is down"), ("x0", "the uplink vpc-u"),
        ]) func oneLinkThatGoesDownIsEnough(_ device: String, _ problem: String) async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            let conversations = try conversations(world)
            let before = conversations.map { $0.seen() }
            try await world.waitUntil("copies") { (world.status("gw2")?.connections ?? 0) >= 4 }
            try world.setLinks("gw1", "down", device)
            try await world.waitUntil("gw2 alone") { try world.holders() == ["gw2 endpoint", "gw2 uplink"] }
            #expect(conversations.map { $0.seen() } == before)
            let status = try #require(world.status("gw1"))
            #expect(status.role == "unfit" && status.reason.hasPrefix(problem), "\(status)")
            #expect(status.problems.contains { $0.hasPrefix(problem) }, "\(status)")
            try world.setLinks("gw1", "up", device)
            _ = try world.lab.lab.apply()
            try await world.waitUntilSettled(active: "gw2")
            #expect(conversations.map { $0.seen() } == before)
        }

        /// What the two say of who is active goes on, and what they say of connections does not.
        @Test func whereConnectionsAreNotExchangedNobodyHandsOverUnasked() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            try world.lab.shell(
                "gw2",
                "nft 'table ip cut { chain in { type filter hook input priority -400; tcp dport 14785 drop; tcp sport 14785 drop; }; }'"
            )
            try await world.waitUntil("both say so") {
                ["gw1", "gw2"].allSatisfy { host in
                    world.status(host)?.problems.contains { $0.hasPrefix("no connections are exchanged with") } ?? false
                }
            }
            #expect(world.role("gw1") == "active" && world.role("gw2") == "standby")
            let conversations = try conversations(world)
            let before = conversations.map { $0.seen() }
            #expect(try world.failOver("gw1").error?.contains("--force") ?? false)
            #expect(world.role("gw1") == "active")
            // Where it comes back all of them are sent.
            try world.lab.shell("gw2", "nft delete table ip cut")
            try await world.waitUntilSettled()
            try await world.waitUntil("copies") { (world.status("gw2")?.connections ?? 0) >= 4 }
            #expect(try world.failOver("gw1").error == nil)
            try await world.waitUntilSettled(active: "gw2")
            #expect(conversations.map { $0.seen() } == before)
        }

        /// The whole host: its process, its devices, what its kernel knew of connections.
        @Test func aHostThatRestartsIsGivenAllConnections() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            let conversations = try conversations(world, 6)
            let before = conversations.map { $0.seen() }
            try await world.waitUntil("copies") { (world.status("gw2")?.connections ?? 0) >= 6 }
            world.kill("gw1")
            for name in ["vpc-gw1", "gw1"] { _ = Command.run("ip netns del \(world.lab.namespace(name))") }
            try await world.waitUntil("gw2 active") { world.role("gw2") == "active" }
            try await world.waitUntil("gw2 says so") {
                world.status("gw2")?.problems.contains("the other gateway (172.31.0.11) is silent") ?? false
            }
            #expect(conversations.map { $0.seen() } == before)

            try world.lab.requireClean(try world.lab.lab.up())
            try world.start("gw1")
            try await world.waitUntilSettled(active: "gw2")
            #expect(world.status("gw1")?.connections ?? 0 >= 6)
            #expect(try world.holders() == ["gw2 endpoint", "gw2 uplink"])
            #expect(try world.failOver("gw1").error == nil)
            try await world.waitUntilSettled(active: "gw1")
            #expect(conversations.map { $0.seen() } == before)
            #expect(try world.seen("blue1") == "203.0.113.10")
        }

        // MARK: What is told

        /// The manifests say who is preferred, and `vpcgw` who is active.
        @Test func aTraceNamesBoth() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            let manifest = "/tmp/\(world.lab.prefix)pair.json"
            defer { unlink(manifest) }
            try Scenario.gatewayPair.text(prefix: world.lab.prefix).write(
                toFile: manifest, atomically: true, encoding: .utf8)
            func trace(_ guest: String, on host: String) throws -> String {
                let vpcctl = Run.program("vpcctl")
                let command = "\(vpcctl) trace \(guest) 198.51.100.7 --protocol udp --port 7000 --live -f \(manifest)"
                return try world.lab.shell(
                    host, "VPCGW_SOCKET=\(world.socket(host)) \(command) --host \(host)")
            }
            #expect(try world.failOver("gw1").error == nil)
            try await world.waitUntilSettled(active: "gw2")
            let there = try trace("blue2", on: "gw1")
            #expect(there.contains("goes to NAT gateway blue-nat on gw1, the preferred one of two"), "\(there)")
            #expect(there.contains("external network internet: active is gw2"), "\(there)")
            let elsewhere = try trace("blue1", on: "h1")
            #expect(elsewhere.contains("external network internet: gw1 or gw2 is active"), "\(elsewhere)")
        }

        private func agent(_ world: World, _ host: String) throws -> AgentRun {
            let scenario = Scenario.gatewayPair.text(prefix: world.lab.prefix)
            return try AgentRun(namespace: world.lab.namespace(host), host: host, scenario) {
                $0.gatewaySocket = world.socket(host)
            }
        }

        private func event(
            _ run: AgentRun, after last: Int, _ type: AgentEvent.Kind, _ words: String,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            let event = try await run.event(
                after: last, { $0.type == type && $0.message.contains(words) }, about: "\(type) \(words)",
                sourceLocation: sourceLocation)
            #expect(event.resource == "ExternalNetwork/internet")
        }

        /// Whoever follows the daemon's events hears of everything, without asking `vpcgw`.
        @Test func theDaemonsTellOfIt() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            let runs = try ["gw1": agent(world, "gw1"), "gw2": agent(world, "gw2")]
            defer { for run in runs.values { run.remove() } }
            let (first, second) = try (#require(runs["gw1"]), #require(runs["gw2"]))
            try await event(first, after: 0, .gatewayActive, "this host serves now")
            try await world.waitUntil("well known") {
                runs.values.allSatisfy { $0.agent.status.gatewayPairs.map(\.problems) == [[]] }
            }
            var last = (first.lastEvent, second.lastEvent)
            #expect(try world.failOver("gw1").error == nil)
            try await event(first, after: last.0, .gatewayInactive, "this host is standby now")
            try await event(second, after: last.1, .gatewayActive, "the other gateway hands over")
            try await world.waitUntilSettled(active: "gw2")

            last = (first.lastEvent, second.lastEvent)
            world.kill("gw1")
            try await event(first, after: last.0, .alarmRaised, "no vpcgw answers at \(world.socket("gw1"))")
            try await event(second, after: last.1, .alarmRaised, "the other gateway (172.31.0.11) is silent")
            try world.start("gw1")
            try await event(first, after: last.0, .alarmCleared, "no vpcgw answers")
            try await event(second, after: last.1, .alarmCleared, "is silent")
            try await world.waitUntilSettled(active: "gw2")
            let known = try #require(second.agent.status.gatewayPairs.first?.pair)
            #expect(known.role == "active" && known.takeovers == 1 && known.active == "172.31.0.12")
            // Who has no pair any more is asked nothing.
            try AgentRun.write(
                Scenario.withoutPair.text(prefix: world.lab.prefix), to: second.manifests + "/all.json")
            try await world.waitUntil("no pair") { second.agent.status.gatewayPairs.isEmpty }
        }
    }
}
