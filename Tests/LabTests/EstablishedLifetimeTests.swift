import IPAddressing
import TestSupport
import Testing
import Traffic

@testable import VPCLab

extension LabTests {
    /// How connections in flowtables stay there, and leave them without anybody's having forbidden anything.
    @Suite(.needsOverlay, .lab(.guarded), .timeLimit(minutes: 10)) struct EstablishedLifetimeTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.guarded)
            try #require(lab.kernel("h1").offloadObstacle() == nil)
        }

        /// A tunnel whose MTU just fits would tell every first packet of a smaller one, and the kernel would take the
        /// connection out of the flowtable for it, noting an exception of the route.
        @Test func noSmallerMTUIsLearnt() throws {
            try lab.establish("green-far", to: "10.0.1.11", 21101, on: ["h1", "h2"], answeredBy: "green-near")
            for host in ["h1", "h2"] {
                let exceptions = try lab.shell("vpc-\(host)", "ip route show cache table all")
                #expect(exceptions == "", "\(host)")
            }
        }

        /// Who says nothing for a while leaves the flowtable, is still known, and comes back.
        @Test func idleConnectionsLeaveAndStayKnown() throws {
            for host in ["h1", "h2"] {
                try lab.shell("vpc-\(host)", "sysctl -qw net.netfilter.nf_flowtable_udp_timeout=1")
            }
            defer {
                for host in ["h1", "h2"] {
                    _ = try? lab.shell("vpc-\(host)", "sysctl -qw net.netfilter.nf_flowtable_udp_timeout=30")
                }
            }
            try lab.establish("blue-far", to: "10.0.1.11", 21201, on: ["h1", "h2"], answeredBy: "blue-near")
            // Nobody is told of it.
            while try !["h1", "h2"].allSatisfy({ try lab.offloaded(on: $0, 21201).isEmpty }) {}
            for host in ["h1", "h2"] {
                #expect(try lab.tracked(on: host, 21201).count == 1, "\(host)")
            }
            try lab.establish("blue-far", to: "10.0.1.11", 21201, on: ["h1", "h2"], answeredBy: "blue-near")
        }

        /// What goes past the rules goes on being counted, where connections are.
        @Test func connectionsGoOnBeingCounted() throws {
            try lab.shell("vpc-h1", "sysctl -qw net.netfilter.nf_conntrack_acct=1")
            defer { _ = try? lab.shell("vpc-h1", "sysctl -qw net.netfilter.nf_conntrack_acct=0") }
            try lab.establish("blue-far", to: "10.0.1.11", 21501, on: ["h1", "h2"], answeredBy: "blue-near")
            func packets() throws -> [Int] {
                let line = try #require(lab.tracked(on: "h1", 21501).first)
                return line.matches(of: /packets=([0-9]+)/).compactMap { Int($0.1) }
            }
            let before = try packets()
            try lab.askAgain(20, "blue-far", "10.0.1.11", 21501, answeredBy: "blue-near")
            let after = try packets()
            #expect(before.count == 2 && after == before.map { $0 + 20 }, "\(before), \(after)")
        }

        /// Any route that changes has a connection look its way up once more: some packets by the rules, none lost.
        @Test func otherRoutesCostAPacket() throws {
            try lab.establish("blue-far", to: "10.0.1.11", 21301, on: ["h1", "h2"], answeredBy: "blue-near")
            let seen = try lab.whileCounting(on: "h1") {
                try lab.shell("vpc-h1", "ip route add 203.0.113.0/24 dev vpc-v1000001 table 77")
                try lab.askAgain(1, "blue-far", "10.0.1.11", 21301, answeredBy: "blue-near")
            }
            try lab.shell("vpc-h1", "ip route del 203.0.113.0/24 table 77")
            #expect((1...2).contains(seen), "\(seen)")
            try lab.establish("blue-far", to: "10.0.1.11", 21301, on: ["h1", "h2"], answeredBy: "blue-near")
        }

        /// A port that stays, and whose guest may speak for others from now on, leaves the flowtable with its connections; nobody
        /// loses a packet.
        @Test func aPortThatStaysLeaves() throws {
            try lab.establish("blue-far", to: "10.0.1.11", 21401, on: ["h1", "h2"], answeredBy: "blue-near")
            var scenario = Scenario.guarded
            let index = try #require(scenario.model.interfaces.firstIndex { $0.metadata.name == "blue-near" })
            scenario.model.interfaces[index].sourceDestCheck = false
            let kept = try Stream(from: lab.station("blue-far"), to: "10.0.1.11")
            #expect(kept.waitForAnswers(20))
            let reports = try lab.become(scenario)
            let operations = try reports.flatMap { try $0.result.get().plan.changes.operations.map(\.object) }
            #expect(operations.contains("devices of flowtable inet vpcctl_flow flow_blue { e-blue-near }"))
            let seen = try lab.whileCounting(on: "h1") {
                try lab.askAgain(10, "blue-far", "10.0.1.11", 21401, answeredBy: "blue-near")
            }
            #expect(seen >= 20, "\(seen)")
            #expect(kept.waitForAnswers(20))
            try lab.become(.guarded)
            #expect(kept.finish().lost.isEmpty)
            // Of the other one it stays known that it was a forwarder's.
            try lab.establish("blue-far", to: "10.0.1.11", 21402, on: ["h1", "h2"], answeredBy: "blue-near")
        }
    }
}
