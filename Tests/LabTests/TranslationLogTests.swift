import Agent
import Foundation
import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension Scenario {
    /// A tenant whose translations are recorded and who forwards a port, one with fixed blocks, one without records.
    fileprivate static let recorded: Scenario = {
        var scenario = Scenario.edge
        scenario.vpc("red", 103, "10.0.0.0/16")
        scenario.subnet("red-web", "red", "10.0.1.0/26", table: "red-egress")
        scenario.subnet("red-edge", "red", "10.0.9.0/24")
        scenario.table("red-egress", "red", out("0.0.0.0/0", "red-nat"))
        scenario.interface("red1", "red-web", on: "h1", "10.0.1.11")
        scenario.natGateway("red-nat", "red-edge", "203.0.113.40")
        for index in scenario.model.natGateways.indices {
            scenario.model.natGateways[index].logsTranslations = index != 1
        }
        scenario.model.natGateways[0].portForwards = [
            .init(
                address: "203.0.113.10", transport: .udp, port: 9999, interface: "blue2",
                interfacePort: Station.udpPort)
        ]
        scenario.model.natGateways[2].portsPerInterface = 1024
        return scenario
    }()
}

extension LabTests {
    /// Who had which public address and port.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct TranslationLogTests {
        private static let internet: IPAddress = "198.51.100.7"

        private func withAgent(_ body: (TestLab, AgentRun) async throws -> Void) async throws {
            let lab = try TestLab(.recorded)
            defer { lab.tearDown() }
            let run = try AgentRun(
                namespace: lab.namespace("gw"), host: "gw", Scenario.recorded.text(prefix: lab.prefix))
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }
            try await body(lab, run)
        }

        private struct Record: Decodable, Equatable {
            var event: String
            var natGateway: String
            var host: String
            var time: String
            var direction: String?
            var `protocol`: String?
            var inside: String?
            var `public`: String?
            var remote: String?
            var size: Int?
        }

        private func path(_ run: AgentRun) -> String { run.folder + "/state/translations/translations.jsonl" }

        private func records(_ run: AgentRun) throws -> [Record] {
            guard let text = try? String(contentsOfFile: path(run), encoding: .utf8) else { return [] }
            return try text.split(separator: "\n").map { try JSONDecoder().decode(Record.self, from: Data($0.utf8)) }
        }

        /// Waits for a record: nothing tells of one more line of a file.
        private func record(_ run: AgentRun, _ what: String, _ isWanted: (Record) -> Bool) throws -> Record {
            let deadline = ContinuousClock.now + .seconds(20)
            while .now < deadline {
                if let found = try records(run).first(where: isWanted) { return found }
                usleep(20_000)
            }
            let all = try records(run)
            return try #require(nil, "no record of \(what): \(all)")
        }

        @Test func connectionsAreRecordedFromBeginningToEnd() async throws {
            try await withAgent { lab, run in
                _ = try record(run, "the beginning") { $0.event == "start" && $0.natGateway == "blue-nat" }
                #expect(try lab.station("green1").ask(Self.internet, sourcePort: 5000) != nil)
                #expect(try lab.station("blue1").ask(Self.internet, sourcePort: 5000) != nil)
                let begun = try record(run, "a flow of UDP") { $0.event == "create" && $0.protocol == "udp" }
                #expect(begun.inside == "10.0.1.11:5000" && begun.public == "203.0.113.10:5000")
                #expect(begun.remote == "198.51.100.7:\(Station.udpPort)" && begun.direction == "out")
                #expect(begun.host == "gw" && begun.natGateway == "blue-nat")
                #expect(try lab.station("blue1").ping(Self.internet).isReply)
                let ping = try record(run, "a ping") { $0.protocol == "icmp" }
                #expect(
                    ping.inside?.hasPrefix("10.0.1.11:") ?? false && ping.public?.hasPrefix("203.0.113.10:") ?? false)
                guard case .answered = try lab.station("blue3").connect(Self.internet, sourcePort: 5001, sending: 1000)
                else {
                    Issue.record("no connection")
                    return
                }
                _ = try record(run, "a connection") { $0.protocol == "tcp" && $0.inside == "10.0.1.13:5001" }
                // By a forwarded port, from outside.
                let outside = try lab.station("internet-inet", source: "198.51.100.7")
                #expect(try outside.ask("203.0.113.10", port: 9999, sourcePort: 6000) != nil)
                let inward = try record(run, "a forwarded port") { $0.direction == "in" && $0.event == "create" }
                #expect(inward.inside == "10.0.1.12:\(Station.udpPort)" && inward.public == "203.0.113.10:9999")
                #expect(inward.remote == "198.51.100.7:6000")

                try lab.shell("vpc-gw", "conntrack -D -p udp --orig-port-src 5000 >/dev/null 2>&1")
                let ended = try record(run, "the end") { $0.event == "delete" && $0.protocol == "udp" }
                #expect(ended.inside == begun.inside && ended.public == begun.public && ended.remote == begun.remote)
                #expect(ended.time >= begun.time)
                let gateways = Set(try records(run).filter { $0.event != "blocks" }.map(\.natGateway))
                #expect(gateways == ["blue-nat"])
                #expect(run.agent.metrics.translations.recorded >= 6)
                #expect(run.agent.metrics.translations.unwritten == 0)
            }
        }

        /// Of who does not ask for it the kernel tells nothing at all, and neither of the VPCs' own connections.
        @Test func nothingIsToldOfOthers() async throws {
            try await withAgent { lab, run in
                _ = try record(run, "the beginning") { $0.event == "start" }
                var monitor = try ConntrackLifeMonitor(in: .named(lab.namespace("vpc-gw")))
                #expect(try lab.station("green1").ask(Self.internet, sourcePort: 5000) != nil)
                #expect(try lab.station("red1").ask(Self.internet, sourcePort: 5000) != nil)
                // From the gateway's own host: that is a connection of the VPC as well.
                #expect(try lab.station("blue3").ask(Self.internet, sourcePort: 5003) != nil)
                try lab.shell("vpc-gw", "conntrack -F 2>/dev/null")
                var (begun, ended): ([ConntrackCopy], [ConntrackCopy]) = ([], [])
                _ = try monitor.receive(limit: 1000) { event in
                    switch event {
                    case .began(let copy): begun.append(copy)
                    case .ended(let copy): ended.append(copy)
                    }
                }
                #expect(begun.map(\.original.sourcePort) == [5003])
                #expect(ended.map(\.original.sourcePort) == [5003])
            }
        }

        /// One line says whose all ports are.
        @Test func fixedBlocksAreRecordedOnce() async throws {
            try await withAgent { lab, run in
                let blocks = try record(run, "the blocks") { $0.event == "blocks" }
                #expect(blocks.natGateway == "red-nat" && blocks.inside == "10.0.1.1-10.0.1.62")
                #expect(blocks.public == "203.0.113.40:1024-64511" && blocks.size == 1024)
                #expect(try lab.station("red1").ask(Self.internet) != nil)
                #expect(try lab.station("blue1").ask(Self.internet) != nil)
                _ = try record(run, "another gateway's") { $0.event == "create" }
                #expect(try records(run).filter { $0.natGateway == "red-nat" }.map(\.event) == ["blocks"])
            }
        }

        /// What there is when the daemon begins is recorded as well, and so is that it begins.
        @Test func aNewDaemonGoesOn() async throws {
            let lab = try TestLab(.recorded)
            defer { lab.tearDown() }
            let text = Scenario.recorded.text(prefix: lab.prefix)
            let first = try AgentRun(namespace: lab.namespace("gw"), host: "gw", text)
            try await first.event(after: 0) { $0.type == .revisionApplied }
            _ = try record(first, "the beginning") { $0.event == "start" }
            #expect(try lab.station("blue1").ask(Self.internet, sourcePort: 5000) != nil)
            _ = try record(first, "a flow") { $0.event == "create" }
            first.stop()
            let second = try AgentRun(namespace: lab.namespace("gw"), host: "gw", nil, folder: first.folder)
            defer { second.remove() }
            let there = try record(second, "what was there") { $0.event == "exists" && $0.protocol == "udp" }
            #expect(there.inside == "10.0.1.11:5000" && there.public == "203.0.113.10:5000")
            #expect(try records(second).filter { $0.event == "start" && $0.natGateway == "blue-nat" }.count == 2)
            try lab.shell("vpc-gw", "conntrack -D -p udp --orig-port-src 5000 >/dev/null 2>&1")
            _ = try record(second, "its end") { $0.event == "delete" }
        }

        /// Where nothing can be written that is said, packets pass, and it goes on by itself.
        @Test func aDiskThatFailsIsNoObstacle() async throws {
            try await withAgent { lab, run in
                _ = try record(run, "the beginning") { $0.event == "start" }
                let folder = run.folder + "/state/translations"
                try FileManager.default.moveItem(atPath: folder, toPath: folder + ".aside")
                try "in the way".write(toFile: folder, atomically: true, encoding: .utf8)
                let last = run.lastEvent
                #expect(try lab.station("blue1").ask(Self.internet, sourcePort: 5000) != nil)
                let event = try await run.event(after: last) { $0.type == .alarmRaised }
                #expect(
                    event.message.contains("translations are not recorded") && event.message.contains("no directory"))
                #expect(run.agent.metrics.translations.unwritten >= 1)
                try FileManager.default.removeItem(atPath: folder)
                #expect(try lab.station("blue1").ask(Self.internet, sourcePort: 5001) != nil)
                try await run.event(after: event.sequence) { $0.type == .alarmCleared }
                _ = try record(run, "what comes after it") { $0.inside == "10.0.1.11:5001" }
            }
        }
    }
}
