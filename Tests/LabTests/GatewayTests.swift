import IPAddressing
import TestSupport
import Testing

@testable import VPCLab

extension LabTests {
    /// Routes to gateways: who gets which flow.
    @Suite(.needsOverlay, .lab(.tenants), .timeLimit(minutes: 10)) struct GatewayTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.tenants)
        }

        static let internet: IPAddress = "198.51.100.7"
        static let ports: ClosedRange<UInt16> = 20000...20179

        /// By source port, the internet that answered.
        private func flows(_ from: String, ports: ClosedRange<UInt16> = Self.ports) throws -> [UInt16: String] {
            let answers = try lab.station(from).askMany(Self.internet, sourcePorts: ports)
            #expect(answers.count == ports.count, "\(from): flows without an answer")
            return answers.mapValues(\.name)
        }

        private func counts(_ flows: [UInt16: String]) -> [String: Int] {
            flows.values.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        }

        @Test func flowsAreSharedAndStick() throws {
            let all: Set = ["gw-a-inet", "gw-b-inet", "gw-c-inet"]
            // From a host without a gateway, and from one with one of them.
            for from in ["app1", "app2"] {
                let first = try flows(from)
                let shares = counts(first)
                #expect(Set(shares.keys) == all)
                let smallest = Self.ports.count / 3 * 6 / 10
                #expect(shares.values.allSatisfy { $0 >= smallest }, "\(from): \(shares)")
                #expect(try flows(from) == first, "\(from): a flow changed its gateway")
            }
        }

        /// However often they are used: by a flowtable, no packet would be looked up in the group that shares them, and their
        /// buckets would count as idle.
        @Test func flowsToGatewaysGoByTheRules() throws {
            for _ in 1...6 { _ = try flows("app1", ports: 22000...22009) }
            for host in lab.lab.plan.hosts {
                let connections = try lab.shell(
                    "vpc-\(host.name)", "conntrack -L -p udp --orig-dst \(Self.internet) 2>/dev/null")
                #expect(!connections.contains("[OFFLOAD]"), "\(connections)")
            }
        }

        @Test func connectionsPassAGateway() throws {
            guard case .answered(let answer) = try lab.station("app1").connect(Self.internet) else {
                Issue.record("no connection to the internet")
                return
            }
            #expect(answer.name.hasSuffix("-inet"))
            #expect(answer.seenAddress == "10.0.2.15")
        }

        /// Two gateways are on one host: the sender's choice holds there, nothing is chosen again.
        @Test func tablesOfOneVPCDiffer() throws {
            #expect(counts(try flows("ops1", ports: 21000...21039)) == ["gw-c-inet": 40])
            #expect(try lab.station("web1").ask(Self.internet, timeout: .milliseconds(200)) == nil)
        }

        @Test func weightsHold() throws {
            let shares = counts(try flows("bulk1"))
            let part = Double(shares["gw-a-inet"] ?? 0) / Double(Self.ports.count)
            #expect((0.62...0.88).contains(part), "\(shares)")
            #expect(Set(shares.keys) == ["gw-a-inet", "gw-b-inet"])
        }

        @Test func onlyTheFlowsOfARemovedMemberMove() throws {
            let before = try flows("app1")
            let two = Scenario.tenants.with(
                table: "shared", Scenario.via("0.0.0.0/0", ("gw-a", 1), ("gw-c", 1)),
                Scenario.blackhole("192.168.66.0/24"))
            try lab.become(two)
            let without = try flows("app1")
            #expect(Set(without.values) == ["gw-a-inet", "gw-c-inet"])
            let moved = Self.ports.filter { before[$0] != without[$0] }
            #expect(moved.allSatisfy { before[$0] == "gw-b-inet" })
            // And busy ones do not move when it returns.
            try lab.become(.tenants)
            #expect(try flows("app1") == without)
        }

        @Test func routeTableChangesLoseNothing() throws {
            let stream = try Stream(
                from: lab.station("app1"), to: Self.internet, every: .milliseconds(15))
            #expect(stream.waitForAnswers(20))
            let variants = [
                Scenario.tenants.with(
                    table: "shared", Scenario.via("0.0.0.0/0", ("gw-b", 2), ("gw-c", 1)),
                    Scenario.via("203.0.113.0/24", ("gw-a", 1)), Scenario.blackhole("192.168.66.0/24")),
                Scenario.tenants.with(table: "shared", Scenario.via("0.0.0.0/0", ("gw-a", 1))),
                Scenario.tenants.with(
                    table: "shared", Scenario.via("0.0.0.0/0", ("gw-a", 5), ("gw-b", 1)),
                    Scenario.via("198.51.100.0/24", ("gw-c", 1), ("gw-b", 1))),
                Scenario.tenants,
            ]
            for variant in variants {
                try lab.become(variant)
                #expect(stream.waitForAnswers(5))
            }
            let report = stream.finish()
            #expect(report.lost.isEmpty, "\(report)")
        }
    }
}
