import Foundation
import GatewayControl
import IPAddressing
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension Scenario {
    /// A tenant behind a NAT gateway that two hosts stand in for each other for; one of them has a guest as well.
    static let gatewayPair: Scenario = {
        var scenario = Scenario()
        scenario.host("h1", "172.31.0.1")
        scenario.host("gw1", "172.31.0.11")
        scenario.host("gw2", "172.31.0.12")
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.subnet("web", "blue", "10.0.1.0/24", table: "egress")
        scenario.subnet("blue-edge", "blue", "10.0.9.0/24")
        scenario.table("egress", "blue", out("0.0.0.0/0", "blue-nat"))
        scenario.interface("blue1", "web", on: "h1", "10.0.1.11")
        scenario.interface("blue2", "web", on: "gw1", "10.0.1.12")
        scenario.pairedNetwork("internet", on: "gw1", "gw2")
        scenario.natGateway("blue-nat", "blue-edge", "203.0.113.10")
        scenario.probe("out", "blue1", toAddress: "198.51.100.7", .udp(port: 53), .allow)
        return scenario
    }()

    mutating func pairedNetwork(_ name: String, on hosts: String..., mode: ExternalNetwork.Mode = .macvlan) {
        model.externalNetworks.append(
            ExternalNetwork(
                metadata: Metadata(name: name), pools: [Self.prefix("203.0.113.0/24")], nextHop: "192.0.2.1",
                gateways: hosts.map { .init(host: $0, device: "x0", mode: mode) }, endpoint: "172.31.0.100",
                uplinkAddress: "192.0.2.100"))
    }
}

extension LabTests {
    /// Two gateways, their processes, and what becomes of connections when one of them goes.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 30)) struct GatewayPairTests {
        static let internet: IPAddress = "198.51.100.7"
        /// Nobody is held to a time by a clock that others' work makes run faster.
        static let isTimed = ProcessInfo.processInfo.environment["VPCCTL_LAB_CLOCK"] == "instructions"
        /// Between two requests of a stream.
        static let step = Duration.milliseconds(20)

        /// A lab with both processes.
        final class World {
            let lab: TestLab
            private var programs: [String: Program] = [:]
            private let folder: String

            init(_ scenario: Scenario = .gatewayPair) throws {
                lab = try TestLab(scenario)
                folder = "/tmp/\(lab.prefix)gw"
                do {
                    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                    try Data("0123456789abcdef0123456789abcdef\n".utf8).write(to: URL(filePath: key))
                    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: key)
                    try start("gw1")
                    // Of two that begin at once a busy machine may have either first.
                    waitUntilActive("gw1")
                    try start("gw2")
                } catch {
                    tearDown()
                    throw error
                }
            }

            private func waitUntilActive(_ host: String) {
                let end = ContinuousClock.now + .seconds(60)
                while role(host) != "active", ContinuousClock.now < end { usleep(20_000) }
            }

            func tearDown() {
                for host in programs.keys { kill(host) }
                lab.tearDown()
                try? FileManager.default.removeItem(atPath: folder)
            }

            var key: String { folder + "/key" }
            func socket(_ host: String) -> String { "\(folder)/\(host).sock" }
            func log(_ host: String) -> String {
                (try? String(contentsOfFile: "\(folder)/\(host).log", encoding: .utf8)) ?? ""
            }

            func start(_ host: String) throws {
                let log = open("\(folder)/\(host).log", O_WRONLY | O_CREAT | O_APPEND, 0o600)
                defer { close(log) }
                programs[host] = try Program(
                    [
                        "ip", "netns", "exec", lab.namespace(host), Run.program("vpcgw"), "--key", key, "--socket",
                        socket(host),
                    ], error: log)
            }

            func kill(_ host: String, by signal: Int32 = SIGKILL) {
                programs[host]?.send(signal)
                programs[host]?.wait()
                programs[host] = nil
            }

            func signal(_ host: String, _ signal: Int32) { programs[host]?.send(signal) }

            func status(_ host: String) -> PairStatus? {
                ((try? ControlClient.ask(.status, at: socket(host), seconds: 5)) ?? nil)?.pairs.first
            }

            func role(_ host: String) -> String? { status(host)?.role }

            func failOver(_ host: String, isForced: Bool = false) throws -> ControlAnswer {
                try #require(
                    try ControlClient.ask(.failover("blue-nat", isForced: isForced), at: socket(host)), "\(log(host))")
            }

            func waitUntil(
                _ what: String, seconds: Double = 90, sourceLocation: SourceLocation = #_sourceLocation,
                _ body: () throws -> Bool
            ) async throws {
                let end = ContinuousClock.now + .seconds(seconds)
                while try !body() {
                    try #require(
                        ContinuousClock.now < end,
                        """
                        \(what)
                        gw1: \(String(describing: status("gw1")))
                        \(log("gw1"))
                        gw2: \(String(describing: status("gw2")))
                        \(log("gw2"))
                        """, sourceLocation: sourceLocation)
                    try await Task.sleep(for: .milliseconds(20))
                }
            }

            /// The first of the pair serves, and the other one knows.
            func waitUntilSettled(active: String = "gw1") async throws {
                let other = active == "gw1" ? "gw2" : "gw1"
                try await waitUntil("\(active) active, \(other) standing by") {
                    guard let one = status(active), let two = status(other) else { return false }
                    return one.role == "active" && two.role == "standby" && one.peerRole == "standby"
                        && two.peerRole == "active" && one.isSynchronized && two.isSynchronized
                }
            }

            /// Who has the addresses, the endpoint and that of the uplink.
            func holders() throws -> [String] {
                try ["gw1", "gw2"].flatMap { host in
                    let outside = try lab.shell(host, "ip -4 -o addr show").contains("172.31.0.100/")
                    let inside = try lab.shell("vpc-\(host)", "ip -4 -o addr show").contains("192.0.2.100/")
                    return (outside ? ["\(host) endpoint"] : []) + (inside ? ["\(host) uplink"] : [])
                }
            }

            func seen(_ guest: String, port: UInt16 = 0) throws -> IPAddress? {
                try lab.station(guest).ask(GatewayPairTests.internet, sourcePort: port)?.seenAddress
            }

            func setLinks(_ host: String, _ state: String, _ devices: String = "u0 x0") throws {
                try lab.shell(host, "for device in \(devices); do ip link set $device \(state); done")
            }

            func requireNothingToDo(_ note: String) throws {
                for report in try lab.lab.apply() {
                    let applied = try report.result.get()
                    #expect(applied.plan.changes.operations.map(\.object) == [], "\(report.host): \(note)")
                    #expect(applied.outcome.report.writes == 0, "\(report.host): \(note)")
                }
            }
        }

        /// Of a stream: the longest time without an answer.
        static func gap(_ report: VPCLab.Stream.Report) -> Duration {
            var (longest, run, last) = (0, 0, -2)
            for number in report.lost {
                run = number == last + 1 ? run + 1 : 1
                longest = max(longest, run)
                last = number
            }
            return step * longest
        }

        @Test func oneServesAndPlansLeaveItsAddressesAlone() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            #expect(try world.holders() == ["gw1 endpoint", "gw1 uplink"])
            for guest in ["blue1", "blue2"] { #expect(try world.seen(guest) == "203.0.113.10", "\(guest)") }
            try world.requireNothingToDo("a second apply")
            #expect(try world.holders() == ["gw1 endpoint", "gw1 uplink"])
            let status = try #require(world.status("gw1"))
            #expect(status.active == "172.31.0.11" && status.gateways == ["blue-nat"] && status.problems == [])
        }

        @Test func theOtherOneTakesOverWhereTheLinksGoDown() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            let stream = try VPCLab.Stream(from: world.lab.station("blue1"), to: Self.internet, every: Self.step)
            #expect(stream.waitForAnswers(20))
            try world.setLinks("gw1", "down")
            #expect(stream.waitForAnswers(50, timeout: .seconds(60)))
            let gap = Self.gap(stream.finish())
            #expect(gap > .zero && (!Self.isTimed || gap <= .milliseconds(1200)), "\(gap)")
            try await world.waitUntil("gw2 active") { world.role("gw2") == "active" }
            try await world.waitUntil("gw1 unfit") { world.role("gw1") == "unfit" }
            #expect(try world.holders() == ["gw2 endpoint", "gw2 uplink"])
            // It comes back, and takes nothing away from who serves.
            try world.setLinks("gw1", "up")
            _ = try world.lab.lab.apply()
            try await world.waitUntilSettled(active: "gw2")
            for guest in ["blue1", "blue2"] { #expect(try world.seen(guest) == "203.0.113.10", "\(guest)") }
        }

        /// What the kernel has on loan goes back to it.
        @Test func whoWasKilledHasNoAddressesForLong() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            let stream = try VPCLab.Stream(from: world.lab.station("blue1"), to: Self.internet, every: Self.step)
            #expect(stream.waitForAnswers(20))
            world.kill("gw1")
            try await world.waitUntil("gw2 has both") { try world.holders() == ["gw2 endpoint", "gw2 uplink"] }
            #expect(stream.waitForAnswers(50, timeout: .seconds(60)))
            let gap = Self.gap(stream.finish())
            #expect(!Self.isTimed || gap <= .milliseconds(1200), "\(gap)")
            try world.start("gw1")
            try await world.waitUntilSettled(active: "gw2")
            #expect(try world.holders() == ["gw2 endpoint", "gw2 uplink"])
        }

        @Test func handingOverLosesNothing() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            for (asked, active) in [("gw1", "gw2"), ("gw1", "gw1"), ("gw2", "gw2")] {
                let streams = try ["blue1", "blue2"].map {
                    try VPCLab.Stream(from: world.lab.station($0), to: Self.internet, every: Self.step)
                }
                for stream in streams { #expect(stream.waitForAnswers(20)) }
                let answer = try world.failOver(asked)
                #expect(answer.error == nil)
                try await world.waitUntilSettled(active: active)
                // The one before lets through what is still on its way to it.
                try await world.waitUntil("alone") {
                    try world.holders() == ["\(active) endpoint", "\(active) uplink"]
                }
                for stream in streams {
                    #expect(stream.waitForAnswers(20))
                    #expect(stream.finish().lost == [], "to \(active), asked at \(asked)")
                }
            }
        }

        // MARK: Connections

        enum Death: CaseIterable {
            case links
            case process
            case host
        }

        /// Connections, and streams that the kernel holds for connections, which are to go on as they are.
        struct Talk {
            let conversations: [LongConnection]
            private let before: [String?]
            private let world: World

            init(_ world: World, _ count: Int = 10) throws {
                self.world = world
                let guests = ["blue1", "blue2"]
                conversations = try (0..<count).map {
                    try LongConnection(from: world.lab.station(guests[$0 % 2]), to: GatewayPairTests.internet)
                }
                before = conversations.map { $0.seen() }
                #expect(before.allSatisfy { $0?.hasPrefix("203.0.113.10:") ?? false }, "\(before)")
            }

            func goesOn(_ note: String, sourceLocation: SourceLocation = #_sourceLocation) {
                let now = conversations.map { $0.seen() }
                if now == before { return }
                let entries = ["gw1", "gw2"].map {
                    (try? world.lab.shell("vpc-\($0)", "cat /proc/net/nf_conntrack; nft list counters")) ?? ""
                }
                Issue.record(
                    "\(note): \(before) became \(now)\n\(entries.joined(separator: "\n"))\n\(world.log("gw1"))\(world.log("gw2"))",
                    sourceLocation: sourceLocation)
            }
        }

        @Test(arguments: Death.allCases) func connectionsSurvive(_ death: Death) async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            // The guest of a host that is gone is gone as well.
            let guests = death == .host ? ["blue1"] : ["blue1", "blue2"]
            let conversations = try (0..<10).map {
                try LongConnection(from: world.lab.station(guests[$0 % guests.count]), to: Self.internet)
            }
            let before = conversations.map { $0.seen() }
            let stream = try VPCLab.Stream(from: world.lab.station("blue1"), to: Self.internet, every: Self.step)
            // Until it is held for a connection, and the other one knows.
            #expect(stream.waitForAnswers(150, timeout: .seconds(60)))
            try await world.waitUntil("copies") { (world.status("gw2")?.connections ?? 0) >= 11 }
            switch death {
            case .links: try world.setLinks("gw1", "down")
            case .process: world.kill("gw1")
            case .host:
                world.kill("gw1")
                _ = Command.run("ip netns del \(world.lab.namespace("vpc-gw1"))")
                _ = Command.run("ip netns del \(world.lab.namespace("gw1"))")
            }
            try await world.waitUntil("gw2 active") { world.role("gw2") == "active" }
            #expect(stream.waitForAnswers(50, timeout: .seconds(60)))
            let gap = Self.gap(stream.finish())
            #expect(!Self.isTimed || gap <= .milliseconds(1200), "\(gap)")
            if death != .links {
                #expect(conversations.map { $0.seen() } == before)
            } else {
                // The guest on the host that is cut off is, too.
                let reachable = stride(from: 0, to: 10, by: 2)
                #expect(reachable.map { conversations[$0].seen() } == reachable.map { before[$0] })
            }
        }

        @Test func handingOverKeepsConnections() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            let talk = try Talk(world)
            for active in ["gw2", "gw1"] {
                // At once: the last of them are told in the middle of it.
                let young = try Talk(world, 4)
                #expect(try world.failOver("gw1").error == nil)
                try await world.waitUntilSettled(active: active)
                talk.goesOn("to \(active)")
                young.goesOn("young ones, to \(active)")
            }
            // Ended by a signal, as a unit that is stopped.
            world.kill("gw1", by: SIGTERM)
            try await world.waitUntil("gw2 alone") {
                try world.holders() == ["gw2 endpoint", "gw2 uplink"]
            }
            talk.goesOn("gw1 has ended")
        }

        // MARK: What goes wrong

        /// Drops what one sends to the other one, ARP included.
        private func cut(_ world: World) throws {
            for (host, other) in [("gw1", "gw2"), ("gw2", "gw1")] {
                let outside = "ip -br link show u0 | awk '{print $3}'"
                let inside = "ip -br link | awk '/^vpc-u/ {print $3}'"
                let addresses = try [world.lab.shell(other, outside), world.lab.shell("vpc-\(other)", inside)].map {
                    $0.trimmingCharacters(in: .whitespacesAndNewlines)
                }
                try world.lab.shell(
                    host,
                    """
                    nft -f - <<END
                    table netdev cut {
                        chain outside { type filter hook ingress device u0 priority -500; ether saddr \(addresses[0]) drop; }
                        chain inside { type filter hook ingress device x0 priority -500; ether saddr \(addresses[1]) drop; }
                    }
                    END
                    """)
            }
        }

        private func heal(_ world: World) throws {
            for host in ["gw1", "gw2"] { try world.lab.shell(host, "nft delete table netdev cut") }
        }

        @Test func whoAreCutOffFromEachOtherGiveNothingTwice() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            try cut(world)
            try await world.waitUntil("both active") { world.role("gw1") == "active" && world.role("gw2") == "active" }
            #expect(world.status("gw1")?.problems.contains { $0.contains("is silent") } ?? false)
            // To which of them the hosts and the router send is luck: where the packets of one leave, the answers arrive.
            let halves = try ["gw1", "gw2"].map {
                try world.lab.shell("vpc-\($0)", "nft list chain inet vpcctl nat_postrouting")
            }
            #expect(halves[0].contains(":1024-32767") && halves[1].contains(":32768-65535"))
            try heal(world)
            try await world.waitUntilSettled()
            #expect(try world.holders() == ["gw1 endpoint", "gw1 uplink"])
            #expect(world.status("gw1")?.problems == ["both gateways were active"])
            #expect(try world.seen("blue1") == "203.0.113.10")
        }

        /// Only what the two say to each other: who stands by hears on the wire that the other one serves.
        @Test func whoIsNotHeardIsNotReplaced() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            let stream = try VPCLab.Stream(from: world.lab.station("blue1"), to: Self.internet, every: Self.step)
            try world.lab.shell(
                "gw2",
                "nft 'table ip cut { chain in { type filter hook input priority -400; meta l4proto { tcp, udp } th dport 14785 drop; }; }'"
            )
            try await world.waitUntil("gw2 says so") {
                world.status("gw2")?.problems.contains { $0.contains("the other gateway is silent, but still has") }
                    ?? false
            }
            #expect(world.role("gw1") == "active" && world.role("gw2") == "standby")
            #expect(stream.waitForAnswers(100, timeout: .seconds(60)))
            #expect(stream.finish().lost == [])
            try world.lab.shell("gw2", "nft delete table ip cut")
            try await world.waitUntilSettled()
        }

        @Test func anAddressThatIsTakenIsLeftAlone() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            for host in ["gw1", "gw2"] { world.kill(host) }
            try world.lab.shell("h1", "ip addr add 172.31.0.100/32 dev u0")
            for host in ["gw1", "gw2"] { try world.start(host) }
            try await world.waitUntil("both say so") {
                ["gw1", "gw2"].allSatisfy { host in
                    world.status(host)?.problems.contains { $0.hasPrefix("172.31.0.100 is taken: ") } ?? false
                }
            }
            #expect(try world.holders() == [])
            #expect(world.status("gw1")?.problems.contains("nobody is active") ?? false)
            try world.lab.shell("h1", "ip addr del 172.31.0.100/32 dev u0")
            try await world.waitUntilSettled()
        }

        @Test func whereNeitherCanServeNobodyDoes() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            for host in ["gw1", "gw2"] { try world.setLinks(host, "down", "x0") }
            try await world.waitUntil("nobody") {
                ["gw1", "gw2"].allSatisfy { world.status($0)?.problems.contains("nobody is active") ?? false }
            }
            #expect(try world.holders() == [])
            for host in ["gw1", "gw2"] { try world.setLinks(host, "up", "x0") }
            _ = try world.lab.lab.apply()
            try await world.waitUntil("one of them again") {
                ["gw1", "gw2"].contains { world.role($0) == "active" }
            }
            #expect(try world.seen("blue1") == "203.0.113.10")
        }

        @Test func whomTheRouterDoesNotAnswerHandsOver() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            try world.lab.shell(
                "gw1",
                "nft 'table netdev cut { chain in { type filter hook ingress device x0 priority -500; arp saddr ip 192.0.2.1 drop; }; }'"
            )
            try await world.waitUntilSettled(active: "gw2")
            #expect(world.status("gw1")?.problems == ["the router 192.0.2.1 does not answer ARP"])
        }

        @Test func whatIsDeletedOnTheActiveHostIsServedByTheOtherOne() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            let conversations = try (0..<4).map { _ in
                try LongConnection(from: world.lab.station("blue1"), to: Self.internet)
            }
            let before = conversations.map { $0.seen() }
            try world.lab.lab.delete(host: "gw1")
            try await world.waitUntil("gw2 active") { world.role("gw2") == "active" }
            #expect(conversations.map { $0.seen() } == before)
            #expect(try !world.lab.shell("gw1", "ip -4 -o addr show").contains("172.31.0.100/"))
            #expect(world.status("gw1") == nil)
            _ = try world.lab.lab.apply()
            try await world.waitUntilSettled(active: "gw2")
        }
    }
}
