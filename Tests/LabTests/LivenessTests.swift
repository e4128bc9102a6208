import Agent
import Foundation
import IPAddressing
import Liveness
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension Scenario {
    /// Three gateways on two hosts, one that sends on a third, and what is told of them between the hosts.
    fileprivate static func watched(by liveness: NextHop.Liveness) -> Scenario {
        var scenario = Scenario()
        for number in 1...3 {
            scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number)))
            scenario.model.hosts[number - 1].dataPlane.namespace = "vpc-h\(number)"
        }
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.subnet("app", "blue", "10.0.2.0/24", table: "shared")
        scenario.subnet("edge", "blue", "10.0.9.0/24")
        let hops = ["gw-a", "gw-b", "gw-c"].map { NextHop(interface: $0, liveness: liveness) }
        scenario.table("shared", "blue", CustomRoute(destination: prefix("0.0.0.0/0"), target: .nextHops(hops)))
        scenario.interface("app1", "app", on: "h3", "10.0.2.15")
        scenario.interface("app2", "app", on: "h1", "10.0.2.16")
        scenario.interface("gw-a", "edge", on: "h1", "10.0.9.21", forwards: true)
        scenario.interface("gw-b", "edge", on: "h2", "10.0.9.22", forwards: true)
        scenario.interface("gw-c", "edge", on: "h2", "10.0.9.23", forwards: true)
        scenario.probe("out", "app1", toAddress: "198.51.100.7", .udp(port: 53), .allow)
        return scenario
    }
}

extension LabTests {
    /// Gateways that speak BFD by BIRD, the daemons of three hosts, and what becomes of flows when a gateway dies.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 20)) struct LivenessTests {
        private static let gateways = ["gw-a": "10.0.9.21", "gw-b": "10.0.9.22", "gw-c": "10.0.9.23"]
        private static let flowCount: UInt16 = 90
        /// Nobody is held to a time by a clock that others' work makes run faster: docs/liveness.md says how it is measured.
        fileprivate static let isTimed = ProcessInfo.processInfo.environment["VPCCTL_LAB_CLOCK"] == "instructions"
        private static let soon = Duration.seconds(1)

        /// As a guest whose kernel does nothing any more; a link that is down its host would put right.
        private static let hang = """
            nft -f - <<END
            table inet hung {
                chain in { type filter hook prerouting priority -500; drop; }
                chain out { type filter hook output priority -500; drop; }
            }
            END
            """

        /// A lab, its daemons, and its guests'.
        private final class World {
            let lab: TestLab
            private let scenario: Scenario
            var agents: [String: AgentRun] = [:]
            /// Of the flows that are asked for: others each time, because those that were busy stay where they are.
            var ports: ClosedRange<UInt16> = 20000...(20000 + LivenessTests.flowCount)
            private var birds: [String: Program] = [:]

            init(watchedBy liveness: NextHop.Liveness = .bfd) throws {
                scenario = .watched(by: liveness)
                lab = try TestLab(scenario)
                do {
                    for gateway in LivenessTests.gateways.keys where liveness == .bfd { try startBIRD(in: gateway) }
                    for host in ["h1", "h2", "h3"] { try startAgent(on: host) }
                } catch {
                    tearDown()
                    throw error
                }
            }

            func tearDown() {
                for agent in agents.values { agent.remove() }
                for guest in birds.keys { killBIRD(in: guest) }
                lab.tearDown()
            }

            func startAgent(on host: String, folder: String? = nil) throws {
                let text = folder == nil ? scenario.text(prefix: lab.prefix) : nil
                agents[host] = try AgentRun(
                    namespace: lab.namespace(host), host: host, text, folder: folder)
            }

            func agent(_ host: String) throws -> AgentRun { try #require(agents[host]) }

            func startBIRD(in guest: String) throws {
                killBIRD(in: guest)
                let folder = "/tmp/\(lab.namespace(guest))"
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                let address = try #require(LivenessTests.gateways[guest])
                let text = """
                    router id \(address);
                    protocol device {}
                    protocol bfd {
                        interface "eth0" { interval 200 ms; multiplier 3; };
                        neighbor 10.0.9.1 dev "eth0" local \(address);
                    }
                    """
                try text.write(toFile: folder + "/conf", atomically: false, encoding: .utf8)
                birds[guest] = try Program([
                    "ip", "netns", "exec", lab.namespace(guest), "bird", "-f", "-c", folder + "/conf", "-s",
                    folder + "/ctl", "-P", folder + "/pid",
                ])
            }

            func killBIRD(in guest: String) {
                birds[guest]?.send(SIGKILL)
                birds[guest]?.wait()
                birds[guest] = nil
            }

            /// Which gateways a host holds for up, and says so by somebody's word.
            func up(_ host: String) -> Set<String> {
                let gateways = agents[host]?.agent.status.gateways ?? []
                return Set(gateways.filter { $0.isUp && $0.reason == "up" }.map(\.interface))
            }

            func waitUntil(
                _ what: String, seconds: Double = 60, sourceLocation: SourceLocation = #_sourceLocation,
                _ body: () throws -> Bool
            ) async throws {
                let end = ContinuousClock.now + .seconds(seconds)
                while try !body() {
                    let states = agents.mapValues { "\($0.agent.status.gateways)" }
                    try #require(ContinuousClock.now < end, "\(what): \(states)", sourceLocation: sourceLocation)
                    try await Task.sleep(for: .milliseconds(20))
                }
            }

            func waitUntilAllAreUp() async throws {
                for host in agents.keys.sorted() {
                    try await waitUntil("all up on \(host)") { up(host) == Set(LivenessTests.gateways.keys) }
                }
            }

            /// How many members the group of a host's default route has in the kernel.
            func members(on host: String) throws -> Int {
                let groups = try lab.shell("vpc-\(host)", "ip nexthop show").split(separator: "\n").filter {
                    $0.contains(" group ")
                }
                let group = try #require(groups.first, "no group on \(host)")
                let words = group.split(separator: " ")
                let place = try #require(words.firstIndex(of: "group"))
                return words[place + 1].split(separator: "/").count
            }

            /// By source port, the internet that answered.
            func flows(_ from: String) throws -> [UInt16: String] {
                let answers = try lab.station(from).askMany("198.51.100.7", sourcePorts: ports)
                #expect(answers.count == ports.count, "\(from): flows without an answer")
                return answers.mapValues(\.name)
            }
        }

        /// What one death came to.
        private struct Death {
            /// Until it was out of the groups of all hosts, and they said so.
            var told = Duration.zero
            /// Requests of one stream without an answer, one each 20 ms.
            var lost = 0
            /// Flows of gateways that lived, and moved.
            var strays = 0
            /// Flows of the dead one.
            var moved = 0
            /// What of the kernel was not as it shall be while it was dead.
            var differences: [String] = []

            var isGood: Bool {
                strays == 0 && moved > 0 && differences.isEmpty
            }
        }

        /// Has a gateway hang and come back.
        private func death(in world: World) async throws -> Death {
            var death = Death()
            try await world.waitUntilAllAreUp()
            let first = world.ports.upperBound + 1
            world.ports = first...(first + Self.flowCount)
            let before = try ["app1", "app2"].map(world.flows)
            let streams = try (0..<9).map { _ in
                try Stream(from: world.lab.station("app1"), to: "198.51.100.7", every: .milliseconds(20))
            }
            for stream in streams { #expect(stream.waitForAnswers(20)) }
            let events = world.agents.mapValues(\.lastEvent)
            // What is sent there is lost until it is left out.
            try world.lab.shell("gw-a", Self.hang)
            let begin = ContinuousClock.now
            for host in ["h3", "h2", "h1"] {
                let event = try await world.agent(host).event(after: events[host] ?? 0) {
                    $0.type == .gatewayDown && $0.message.contains("gateway gw-a is down")
                }
                #expect(event.resource == "NetworkInterface/gw-a")
            }
            death.told = begin.duration(to: .now)
            for host in ["h1", "h3"] {
                try await world.waitUntil("two members on \(host)") { try world.members(on: host) == 2 }
            }
            for stream in streams { #expect(stream.waitForAnswers(30)) }
            death.lost = streams.map { $0.finish().lost.count }.max() ?? 0
            let without = try ["app1", "app2"].map(world.flows)
            for (before, without) in zip(before, without) {
                death.strays += without.values.count { $0 == "gw-a-inet" }
                for port in world.ports where before[port] != without[port] {
                    if before[port] == "gw-a-inet" { death.moved += 1 } else { death.strays += 1 }
                }
            }
            death.differences = try world.agent("h3").difference(dead: [.init("gw-a", .bfd)])

            try world.lab.shell("gw-a", "nft delete table inet hung")
            try await world.waitUntilAllAreUp()
            for host in ["h1", "h3"] {
                try await world.waitUntil("three members on \(host)") { try world.members(on: host) == 3 }
            }
            // Flows that are busy stay where they are.
            for (after, without) in zip(try ["app1", "app2"].map(world.flows), without) {
                death.strays += world.ports.count { after[$0] != without[$0] }
            }
            return death
        }

        @Test func aGatewayThatDiesLeavesItsGroupOnEveryHostAndComesBack() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilAllAreUp()
            #expect(Set(try world.flows("app1").values) == ["gw-a-inet", "gw-b-inet", "gw-c-inet"])
            let death = try await Stalls.undisturbed(\Death.isGood) { try await self.death(in: world) }
            guard let death else { return }
            print("liveness: \(death)")
            #expect(!Self.isTimed || death.told < Self.soon && death.lost < 50, "\(death)")
            #expect(death.strays == 0 && death.moved > 0 && death.differences.isEmpty, "\(death)")
        }

        @Test func bfdAloneDecides() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilAllAreUp()
            let last = try world.agent("h3").lastEvent
            let begin = ContinuousClock.now
            world.killBIRD(in: "gw-b")
            try await world.agent("h3").event(after: last) {
                $0.type == .gatewayDown && $0.message.contains("gw-b")
            }
            #expect(!Self.isTimed || begin.duration(to: .now) < Self.soon)
            try await world.waitUntil("two members") { try world.members(on: "h3") == 2 }
            #expect(!(try world.flows("app1")).values.contains("gw-b-inet"))
            try world.startBIRD(in: "gw-b")
            try await world.waitUntilAllAreUp()

            // Where nobody answers all are used.
            for guest in Self.gateways.keys { world.killBIRD(in: guest) }
            try await world.waitUntil("none up") { world.up("h3").isEmpty }
            try await world.waitUntil("all used") { try world.members(on: "h3") == 3 }
            let note = try world.agent("h3").agent.status.notes[ResourceReference(.routeTable, "shared")]
            #expect(note == "0.0.0.0/0: no next hop answers, so all are used")
            #expect(try world.flows("app1").count == world.ports.count)
        }

        @Test func anEchoDecides() async throws {
            let world = try World(watchedBy: .ping)
            defer { world.tearDown() }
            try await world.waitUntilAllAreUp()
            try world.lab.shell("gw-a", Self.hang)
            try await world.waitUntil("gw-a down") { world.up("h3") == ["gw-b", "gw-c"] }
            try await world.waitUntil("two members") { try world.members(on: "h3") == 2 }
            let note = try world.agent("h3").agent.status.notes[ResourceReference(.routeTable, "shared")]
            #expect(note == "0.0.0.0/0: without gw-a")
            try world.lab.shell("gw-a", "nft delete table inet hung")
            try await world.waitUntilAllAreUp()
            // No port may speak BFD where nobody is asked to.
            #expect(
                !(try world.lab.shell("vpc-h1", "nft list set inet vpcctl bfd_rate 2>&1 || true")).contains("elements"))
        }

        /// A daemon that is started anew is no death: not of what it watches, nor of what it was told.
        @Test func daemonsComeAndGo() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilAllAreUp()
            world.killBIRD(in: "gw-c")
            try await world.waitUntil("gw-c down") { world.up("h3") == ["gw-a", "gw-b"] }
            try await world.waitUntil("two members") { try world.members(on: "h3") == 2 }
            let turns = try await Stalls.undisturbed(\[String].isEmpty) { try await self.restartDaemons(in: world) }
            #expect(turns ?? [] == [])
        }

        /// - Returns: What was said of gateways meanwhile, or seen of their group.
        private func restartDaemons(in world: World) async throws -> [String] {
            try await world.waitUntil("two up") { world.up("h3") == ["gw-a", "gw-b"] }
            let last = try world.agent("h3").lastEvent
            let folder = try world.agent("h2").folder
            try world.agent("h2").stop()
            try await world.waitUntil("silence") {
                world.agents["h3"]?.agent.status.gateways.contains { $0.reason.contains("silent") } ?? false
            }
            var turns = try world.members(on: "h3") == 2 ? [] : ["another number of members in silence"]
            try world.startAgent(on: "h2", folder: folder)
            try await world.waitUntil("gw-b up again") { world.up("h3") == ["gw-a", "gw-b"] }
            // And one that was told begins with what it knew.
            let other = try world.agent("h3").folder
            let first = try world.agent("h3").agent.events.events(after: last)
            try world.agent("h3").stop()
            try world.startAgent(on: "h3", folder: other)
            for _ in 0..<40 {
                if try world.members(on: "h3") != 2 { turns.append("another number of members at the beginning") }
                try await Task.sleep(for: .milliseconds(50))
            }
            try await world.waitUntil("told again") { world.up("h3") == ["gw-a", "gw-b"] }
            let events = first + (try world.agent("h3").agent.events.events(after: 0))
            // Of the one that is down it may be said once more.
            return turns
                + events.filter { [.gatewayUp, .gatewayDown].contains($0.type) }.map(\.message).filter {
                    !$0.contains("gw-c is down")
                }
        }

        @Test func aHostThatDiesTakesItsGatewaysWithIt() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilAllAreUp()
            let now = try world.agent("h3").lastEvent
            try world.lab.shell("h2", "ip link set u0 down")
            let begin = ContinuousClock.now
            try await world.agent("h3").event(after: now) { $0.type == .gatewayDown && $0.message.contains("gw-b") }
            let took = begin.duration(to: .now)
            try await world.waitUntil("one member") { try world.members(on: "h3") == 1 }
            #expect(Set(try world.flows("app1").values) == ["gw-a-inet"])
            print("liveness: a host that is gone is known after \(took)")
            #expect(!Self.isTimed || took < Self.soon)
        }

        /// What a guest says as another one, or much too often, is its own matter.
        @Test func guestsDecideForThemselvesOnly() async throws {
            let world = try World()
            defer { world.tearDown() }
            let turns = try await Stalls.undisturbed(\[String].isEmpty) { try await self.attack(in: world) }
            #expect(turns ?? [] == [])
            try await world.waitUntilAllAreUp()
        }

        /// - Returns: What was said of other gateways meanwhile.
        private func attack(in world: World) async throws -> [String] {
            try await world.waitUntilAllAreUp()
            let last = world.agents.mapValues(\.lastEvent)
            let farewell = BFDPacket(
                .adminDown, detectMultiplier: 3, from: 1, to: 0, desiredMinimumTransmit: 1, requiredMinimumReceive: 1)
            // By its own port, with the address of its neighbour on the same host, and across the hosts.
            let sender = try PacketSender(in: .named(world.lab.namespace("gw-c")), as: "10.0.9.23")
            for source: IPAddress in ["10.0.9.22", "10.0.9.21", "10.0.9.1"] {
                for target: IPAddress in ["10.0.9.1", "10.0.9.22", "10.0.9.21"] {
                    for _ in 0..<50 {
                        let packet = OutgoingPacket(
                            from: source, to: target,
                            .udp(sourcePort: 49999, destinationPort: 3784, payload: farewell.bytes))
                        _ = sender.send(packet)
                    }
                }
            }
            // And a flood as itself, which costs it its own session at the most.
            let flood = OutgoingPacket(
                from: "10.0.9.23", to: "10.0.9.1",
                .udp(sourcePort: 49999, destinationPort: 3784, payload: [UInt8](repeating: 0x20, count: 24)))
            let end = ContinuousClock.now + .seconds(3)
            while ContinuousClock.now < end { _ = sender.send(flood) }
            return world.agents.flatMap { host, run in
                run.agent.events.events(after: last[host] ?? 0).filter {
                    [.gatewayUp, .gatewayDown].contains($0.type) && !$0.message.contains("gw-c")
                }.map { "\(host): \($0.message)" }
            }
        }

        /// Who has no key, or another one, is not heard.
        @Test func aKeyDividesThoseWhoHaveItFromOthers() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilAllAreUp()
            func restart(_ host: String, key: String?) throws {
                let run = try world.agent(host)
                run.stop()
                let file = run.folder + "/key"
                try (key ?? "").write(toFile: file, atomically: false, encoding: .utf8)
                world.agents[host] = try AgentRun(
                    namespace: world.lab.namespace(host), host: host, nil, folder: run.folder
                ) { $0.exchangeKey = key == nil ? nil : file }
            }
            try restart("h1", key: "the key of these hosts\n")
            try restart("h3", key: "the key of these hosts")
            try await world.waitUntil("silence") {
                world.agents["h3"]?.agent.status.gateways.contains {
                    $0.interface == "gw-b" && $0.reason.contains("silent")
                } ?? false
            }
            try await world.waitUntil("h1 is heard") { world.up("h3") == ["gw-a"] }
            try restart("h2", key: "the key of these hosts")
            try await world.waitUntilAllAreUp()
        }
    }
}
