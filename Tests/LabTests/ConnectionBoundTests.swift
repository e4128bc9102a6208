import Agent
import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension Scenario {
    /// Three tenants with the same addresses; one may have few connections.
    fileprivate static let crowded: Scenario = {
        var scenario = Scenario()
        scenario.host("h1", "172.31.0.1")
        scenario.host("h2", "172.31.0.2")
        for (name, id) in [("blue", UInt32(101)), ("green", 102), ("red", 103)] {
            scenario.vpc(name, id, "10.0.0.0/16")
            scenario.subnet(name, name, "10.0.1.0/24")
            scenario.interface("\(name)1", name, on: "h1", "10.0.1.11")
            scenario.interface("\(name)2", name, on: "h1", "10.0.1.12")
            scenario.interface("\(name)3", name, on: "h2", "10.0.1.13")
        }
        scenario.model.vpcs[0].maxConnections = 400
        return scenario
    }()
}

extension LabTests {
    /// What a guest can take of the table of tracked connections that all VPCs of a host share.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct ConnectionBoundTests {
        private func withAgent(_ body: (TestLab, AgentRun) async throws -> Void) async throws {
            let lab = try TestLab(.crowded)
            defer { lab.tearDown() }
            let run = try AgentRun(
                namespace: lab.namespace("h1"), host: "h1", Scenario.crowded.text(prefix: lab.prefix))
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }
            try await body(lab, run)
        }

        /// Datagrams from ports of their own that nobody answers.
        private func flood(_ lab: TestLab, from guest: String, _ count: Int, to destination: IPAddress) throws {
            let sender = try PacketSender(in: .named(lab.namespace(guest)), as: "10.0.1.11")
            for number in 0..<count {
                let (source, port) = (UInt16(1024 + number % 50_000), UInt16(9 + number / 50_000))
                let packet = OutgoingPacket(
                    from: "10.0.1.11", to: destination,
                    .udp(sourcePort: source, destinationPort: port, payload: []))
                #expect(sender.send(packet) == 0)
            }
        }

        private func counter(_ lab: TestLab, _ name: String) throws -> Int {
            let text = try lab.shell("vpc-h1", "nft -j list counter inet vpcctl \(name)")
            let digits = text.components(separatedBy: "\"packets\": ").last?.prefix { $0.isNumber }
            return try #require(digits.flatMap { Int($0) }, "\(text)")
        }

        private func isAnswered(_ lab: TestLab, _ guest: String, _ address: IPAddress) throws -> Bool {
            try lab.station(guest).ask(address, attempts: 1) != nil
        }

        /// It begins no more; what it had goes on, and everybody else, the host too, notices nothing.
        @Test(arguments: ["10.0.1.12", "10.0.1.13"]) func aGreedyVPCIsRefusedAlone(target: String) async throws {
            try await withAgent { lab, run in
                let own = try Stream(from: lab.station("blue2"), to: "10.0.1.13", every: .milliseconds(50))
                let others = try Stream(from: lab.station("green1"), to: "10.0.1.13", every: .milliseconds(50))
                #expect(own.waitForAnswers(5) && others.waitForAnswers(5))
                let last = run.lastEvent
                try flood(lab, from: "blue1", 600, to: #require(IPAddress(target)))
                let event = try await run.event(after: last) { $0.message.contains("refused") }
                #expect(event.type == .alarmRaised && event.resource == "VPC/blue")
                let use = try #require(run.agent.status.connections.first { $0.owner.name == "blue" })
                #expect(use.isRefused && use.limit == 400 && use.tracked >= 400)

                #expect(try !isAnswered(lab, "blue1", "10.0.1.13"))
                #expect(try !isAnswered(lab, "blue3", "10.0.1.11"))
                #expect(try counter(lab, "refused_blue") > 0)
                #expect(try isAnswered(lab, "green2", "10.0.1.13"))
                #expect(try isAnswered(lab, "green3", "10.0.1.11"))
                try lab.shell("h1", "ping -c 1 -W 5 172.31.0.2")
                #expect(try counter(lab, "refused_green") == 0)
                for stream in [own, others] {
                    #expect(stream.waitForAnswers(40))
                    let report = stream.finish()
                    #expect(report.lost.isEmpty, "\(report)")
                }

                // It is let in again when its connections are over.
                let before = run.lastEvent
                try lab.shell("vpc-h1", "conntrack -D -p udp --dport 9 >/dev/null 2>&1")
                try await run.event(after: before) { $0.type == .alarmCleared && $0.resource == "VPC/blue" }
                var isAdmitted = false
                let deadline = ContinuousClock.now + .seconds(30)
                while !isAdmitted, .now < deadline { isAdmitted = try isAnswered(lab, "blue1", "10.0.1.13") }
                #expect(isAdmitted)
            }
        }

        /// Two VPCs that nobody has set a limit flood at once: the table never gets full, and the third one finds room.
        @Test func theTableNeverGetsFull() async throws {
            let limit = Int(Command.run("sysctl -n net.netfilter.nf_conntrack_max").output.dropLast(1)) ?? 0
            let set = "nsenter --target 1 --net sysctl -qw net.netfilter.nf_conntrack_max="
            try #require(Command.run(set + "40000").status == 0)
            defer { _ = Command.run(set + "\(limit)") }
            try await withAgent { lab, run in
                let last = run.lastEvent
                await withTaskGroup(of: Void.self) { group in
                    for guest in ["green1", "red1"] {
                        group.addTask {
                            do { try flood(lab, from: guest, 25_000, to: "10.0.1.12") } catch { Issue.record(error) }
                        }
                    }
                }
                try await run.event(after: last) { $0.resource == "VPC/green" && $0.message.contains("refused") }
                try await run.event(after: last) { $0.resource == "VPC/red" && $0.message.contains("refused") }
                #expect(try isAnswered(lab, "blue1", "10.0.1.13"))
                let uses = run.agent.status.connections
                #expect(
                    uses.filter { $0.owner.name != "blue" }.allSatisfy { $0.limit <= 10_000 && $0.tracked < 20_000 })
                // The host has a table of its own.
                #expect(try #require(Int(lab.shell("h1", "conntrack -C").dropLast(1))) < 1000)
                // Nothing was thrown out, nothing was refused for want of room.
                let statistics = try lab.shell("vpc-h1", "conntrack -S")
                for field in ["drop", "early_drop"] {
                    let counts = statistics.components(separatedBy: " \(field)=").dropFirst().map {
                        $0.prefix { $0.isNumber }
                    }
                    #expect(!counts.isEmpty && counts.allSatisfy { $0 == "0" }, "\(statistics)")
                }
            }
        }
    }
}
