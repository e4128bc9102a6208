import Agent
import CTraffic
import Glibc
import IPAddressing
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension Scenario {
    /// A gateway whose guests have few ports each, and one with little bandwidth.
    fileprivate static let scarce: Scenario = {
        var scenario = Scenario.edge
        scenario.model.natGateways[0].pool = .addresses(["203.0.113.10"])
        scenario.model.natGateways[0].portsPerInterface = 64
        scenario.model.natGateways[1].limits.bandwidth = Bandwidth(egress: Bitrate(bitsPerSecond: 10_000_000))
        scenario.model.natGateways[1].limits.maxConnections = 300
        return scenario
    }()
}

extension LabTests {
    /// What the agent of a gateway's host says when the way to the provider, or what it gives, comes to an end.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct UplinkWatchTests {
        private static let internet: IPAddress = "198.51.100.7"

        private func withAgent(_ body: (TestLab, AgentRun) async throws -> Void) async throws {
            let lab = try TestLab(.scarce)
            defer { lab.tearDown() }
            let run = try AgentRun(namespace: lab.namespace("gw"), host: "gw", Scenario.scarce.text(prefix: lab.prefix))
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }
            try await body(lab, run)
        }

        private static func isAbout(_ event: AgentEvent, _ type: AgentEvent.Kind) -> Bool {
            event.type == type && event.resource == "ExternalNetwork/internet"
        }

        @Test func aCableThatIsPulledIsSeen() async throws {
            try await withAgent { lab, run in
                #expect(try lab.station("blue1").ask(Self.internet) != nil)
                let last = run.lastEvent
                try lab.shell("internet-inet", "ip link set gw down")
                let event = try await run.event(after: last) { Self.isAbout($0, .alarmRaised) }
                #expect(event.message == "it cannot be reached: device x0 has no carrier")
                let uplink = try #require(run.agent.status.uplinks.first)
                #expect(uplink.network == "internet" && !uplink.isUp)
                try lab.shell("internet-inet", "ip link set gw up")
                try await run.event(after: event.sequence) { Self.isAbout($0, .alarmCleared) }
                #expect(run.agent.status.uplinks.first?.isUp == true)
            }
        }

        /// It is there and has a carrier, and says nothing.
        @Test func aRouterThatIsSilentIsSeen() async throws {
            try await withAgent { lab, run in
                #expect(try lab.station("blue1").ask(Self.internet) != nil)
                let last = run.lastEvent
                try lab.shell("internet-inet", "ip link set gw arp off")
                try lab.shell("vpc-gw", "ip neigh flush all")
                let sender = try lab.station("blue1")
                #expect(try sender.ask(Self.internet, timeout: .milliseconds(500), attempts: 1) == nil)
                let event = try await run.event(after: last) { Self.isAbout($0, .alarmRaised) }
                #expect(event.message.contains("router 192.0.2.1 does not answer by ARP on device x0"))
                try lab.shell("internet-inet", "ip link set gw arp on")
                _ = try sender.ask(Self.internet)
                try await run.event(after: event.sequence) { Self.isAbout($0, .alarmCleared) }
                #expect(try sender.ask(Self.internet) != nil)
            }
        }

        /// To one destination an inside address has so many connections as ports: the next ones get no answer, and it is said.
        @Test func portsThatAreUsedUpAreSeen() async throws {
            try await withAgent { lab, run in
                let last = run.lastEvent
                let answers = try lab.station("blue1").askMany(
                    Self.internet, sourcePorts: (20_000..<20_100), timeout: .milliseconds(500), attempts: 2)
                #expect((60...64).contains(answers.count), "\(answers.count) of 100 with 64 ports")
                let event = try await run.event(after: last) { $0.message.contains("no free public port") }
                #expect(event.type == .alarmRaised && event.message.contains("blue-nat"))
                #expect(run.agent.status.unplaced >= 36)
                #expect(try lab.station("blue2").ask(Self.internet) != nil, "nobody else suffers")
            }
        }

        /// Who has all the connections that he may have begins no more; what he has goes on, and so does everybody else.
        @Test func connectionsAreBoundedForEachGateway() async throws {
            try await withAgent { lab, run in
                let green = try lab.station("green1")
                let own = try Stream(from: green, to: Self.internet, every: .milliseconds(50))
                let others = try Stream(from: lab.station("blue2"), to: Self.internet, every: .milliseconds(50))
                #expect(own.waitForAnswers(5) && others.waitForAnswers(5))
                let last = run.lastEvent
                _ = try green.askMany(
                    Self.internet, sourcePorts: (20_000..<20_400), timeout: .milliseconds(500), attempts: 1)
                let event = try await run.event(after: last) { $0.message.contains("refused") }
                #expect(event.resource == "NATGateway/green-nat")
                #expect(try green.ask(Self.internet, timeout: .milliseconds(300), attempts: 1) == nil)
                #expect(try lab.station("blue1").ask(Self.internet) != nil)
                let refused = try run.agent.refusals().natGateways["green-nat"]?.connections ?? 0
                #expect(refused > 0)
                for stream in [own, others] {
                    #expect(stream.waitForAnswers(20))
                    let report = stream.finish()
                    #expect(report.lost.isEmpty, "\(report)")
                }
            }
        }

        @Test func whatIsCappedIsCounted() async throws {
            try await withAgent { lab, run in
                #expect(try run.agent.refusals().natGateways["green-nat"]?.egress == 0)
                #expect(try run.agent.refusals().natGateways["blue-nat"]?.egress == nil, "it has no bandwidth")
                // A second's worth passes at once. The kernel divides what is sent (`UDP_SEGMENT`).
                let socket = try lab.station("green1").namespace.run { try Socket(AF_INET, SOCK_DGRAM) }
                try socket.set(Int32(IPPROTO_UDP), 103, 1372)
                let payload = [UInt8](repeating: 7, count: 1372 * 16)
                let deadline = ContinuousClock.now + .seconds(20)
                while try run.agent.refusals().natGateways["green-nat"]?.egress == 0, .now < deadline {
                    for _ in 0..<100 { _ = socket.send(payload, to: SocketAddress(Self.internet, 9999)) }
                }
                #expect(try run.agent.refusals().natGateways["green-nat"]?.egress ?? 0 > 0)
            }
        }
    }
}
