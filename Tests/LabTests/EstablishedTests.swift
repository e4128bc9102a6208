import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import NFTables
import Netlink
import Reconciler
import TestSupport
import Testing
import Traffic
import VPCCompiler
import VPCModel

@testable import VPCLab

extension LabTests {
    /// Established connections pass the rules by flowtables, and meet them again as soon as these may forbid them.
    @Suite(.needsOverlay, .lab(.guarded), .timeLimit(minutes: 10)) struct EstablishedTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.guarded)
            try #require(lab.kernel("h1").offloadObstacle() == nil)
        }

        private func changes(of reports: [Lab.HostReport]) throws -> Int {
            try reports.reduce(0) { sum, report in try sum + report.result.get().plan.changes.counts.total }
        }

        // MARK: Passing

        /// Between hosts and on one, both hosts' rules see nothing of it any more; the ports' statistics and the connection's
        /// own counts go on.
        @Test(arguments: [
            ("blue-far", "10.0.2.21" as IPAddress, "blue-server", ["h1", "h2"]),
            ("blue-near", "10.0.2.21", "blue-server", ["h1"]),
        ])
        func connectionsPassTheRules(from: String, to: IPAddress, server: String, hosts: [String]) throws {
            let port = UInt16(from == "blue-far" ? 20101 : 20102)
            let packets = try lab.establish(from, to: to, port, on: hosts, answeredBy: server)
            // Late: what is asked and answered once is not worth an entry.
            #expect(packets > 1)
            let before = try lab.kernel("h1").traffic()["e-blue-server".device]
            for host in hosts {
                let seen = try lab.whileCounting(on: host) {
                    try lab.askAgain(20, from, to, port, answeredBy: server)
                }
                #expect(seen == 0, "\(host)")
            }
            let after = try lab.kernel("h1").traffic()["e-blue-server".device]
            let (was, now) = (try #require(before), try #require(after))
            #expect(now.receivedPackets - was.receivedPackets >= UInt64(20 * hosts.count))
            #expect(now.transmittedPackets - was.transmittedPackets >= UInt64(20 * hosts.count))
        }

        /// Tenants with the same addresses and ports.
        @Test func tenantsDoNotMeet() throws {
            try lab.establish("blue-far", to: "10.0.1.11", 20110, on: ["h1", "h2"], answeredBy: "blue-near")
            for _ in 0..<40 { #expect(try lab.ask("green-far", "10.0.1.11", 20110) == "green-near") }
            for host in ["h1", "h2"] { #expect(try lab.offloaded(on: host, 20110).count == 2) }
            #expect(try lab.ask("blue-far", "10.0.1.11", 20110) == "blue-near")
            #expect(try lab.ask("green-far", "10.0.1.11", 20110) == "green-near")
        }

        // MARK: Being judged anew

        /// A policy that forbids a connection in a flowtable, by whatever means: with the apply nothing of it passes, neither
        /// where it is forbidden nor elsewhere; what stays allowed goes on.
        @Test(arguments: Revocation.all)
        private func whatIsForbiddenStops(_ revocation: Revocation) throws {
            let port = revocation.port
            try lab.establish("blue-far", to: "10.0.2.21", port, on: ["h1", "h2"], answeredBy: "blue-server")
            let kept = try Stream(from: lab.station("blue-far"), to: "10.0.1.11")
            defer { _ = kept.finish() }
            #expect(kept.waitForAnswers(20))
            try lab.become(revocation.scenario)
            #expect(try lab.ask("blue-far", "10.0.2.21", port) == nil)
            #expect(try lab.ask("blue-far", "10.0.2.21", port) == nil)
            #expect(kept.waitForAnswers(50))
            try lab.become(.guarded)
            #expect(kept.finish().lost.isEmpty)
        }

        fileprivate struct Revocation: Sendable, CustomTestStringConvertible {
            var testDescription: String
            var port: UInt16
            var scenario: Scenario

            static let all = [
                Revocation(
                    testDescription: "an ACL of the receiver's subnet", port: 20201,
                    scenario: Scenario.guarded.with(
                        aclIngress: [
                            ACLRule(
                                priority: 100, action: .deny, traffic: TrafficMatch(ipProtocol: .udp),
                                cidr: IPPrefix("10.0.1.12/32")!), .allowAll,
                        ])),
                Revocation(
                    testDescription: "a rule of the receiver's group", port: 20202,
                    scenario: Scenario.guarded.with(ingress: [.udp(from: "10.0.1.11/32")], ofGroup: "server")),
                Revocation(
                    testDescription: "another group of the receiver", port: 20203,
                    scenario: Scenario.guarded.with(groups: ["store"], of: "blue-server")),
            ]
        }

        /// An address that is taken from a guest, while its port stays.
        @Test func anAddressThatIsTakenStops() throws {
            var scenario = Scenario.guarded
            let index = try #require(scenario.model.interfaces.firstIndex { $0.metadata.name == "blue-far" })
            scenario.model.interfaces[index].addresses = ["10.0.1.77"]
            try lab.become(scenario)
            let station = try lab.station("blue-far", source: "10.0.1.77")
            for _ in 0..<40 {
                #expect(try station.ask("10.0.1.11", sourcePort: 20301)?.name == "blue-near")
                if try lab.offloaded(on: "h2", 20301).count == 1 { break }
            }
            #expect(try lab.offloaded(on: "h2", 20301).count == 1)
            let watch = try Capture(
                in: .named(lab.namespace("blue-near")), filter: CaptureFilter(between: "10.0.1.77", and: "10.0.1.11"))
            // The guest keeps its address, whatever it was told.
            try lab.become(.guarded)
            try lab.shell("blue-far", "ip addr replace 10.0.1.77/32 dev lo")
            defer { _ = try? lab.shell("blue-far", "ip addr del 10.0.1.77/32 dev lo") }
            while watch.has() {}
            #expect(try station.ask("10.0.1.11", sourcePort: 20301, timeout: .milliseconds(300), attempts: 2) == nil)
            #expect(try lab.ask("blue-far", "10.0.1.11", 20302) == "blue-near")
            #expect(!watch.has())
        }

        /// Switched off nothing passes the rules, and with it neither does what did before.
        @Test func itCanBeSwitchedOff() throws {
            try lab.establish("blue-far", to: "10.0.1.11", 20401, on: ["h1", "h2"], answeredBy: "blue-near")
            var scenario = Scenario.guarded
            for index in scenario.model.hosts.indices { scenario.model.hosts[index].dataPlane.offloads = false }
            try lab.become(scenario)
            #expect(!(try lab.shell("vpc-h1", "nft list tables")).contains("vpcctl_flow"))
            let seen = try lab.whileCounting(on: "h1") {
                try lab.askAgain(10, "blue-far", "10.0.1.11", 20401, answeredBy: "blue-near")
            }
            #expect(seen == 20)
            try lab.become(.guarded)
            try lab.establish("blue-far", to: "10.0.1.11", 20402, on: ["h1", "h2"], answeredBy: "blue-near")
        }

        // MARK: Ports

        /// A port that comes joins by a message of its own: nobody else's connection leaves the flowtable.
        @Test func portsJoinALiveFlowtable() throws {
            try lab.establish("blue-far", to: "10.0.1.11", 20501, on: ["h1", "h2"], answeredBy: "blue-near")
            var scenario = Scenario.guarded
            scenario.interface("blue-new", "blue-front", on: "h1", "10.0.1.50")
            scenario.group("open", "blue", ingress: [.all])
            let reports = try lab.become(scenario.with(groups: ["open"], of: "blue-new"))
            let operations = try reports.flatMap { try $0.result.get().plan.changes.operations.map(\.object) }
            #expect(
                operations.contains {
                    $0.hasPrefix("flowtable inet vpcctl_flow flow_blue") && $0.contains("{ e-blue-new }")
                })
            #expect(!operations.contains { $0.hasPrefix("rules of chain inet vpcctl_flow") })
            try lab.establish("blue-far", to: "10.0.1.50", 20502, on: ["h1", "h2"], answeredBy: "blue-new")
            // It goes: what it was told no longer reaches anybody, the others lose nothing.
            let kept = try Stream(from: lab.station("blue-far"), to: "10.0.1.11")
            #expect(kept.waitForAnswers(20))
            try lab.become(.guarded)
            #expect(kept.waitForAnswers(20))
            #expect(kept.finish().lost.isEmpty)
            let listing = try lab.shell("vpc-h1", "nft list flowtables")
            #expect(!listing.contains("blue-new") && listing.contains("e-blue-near"), "\(listing)")
        }

        // MARK: Drift

        /// What others do to it is seen and put right, and until then nobody is worse off than by the rules.
        @Test(arguments: [
            "nft delete table inet vpcctl_flow",
            "nft 'flush chain inet vpcctl_flow enter_blue; delete flowtable inet vpcctl_flow flow_blue'",
            "nft delete flowtable inet vpcctl_flow flow_blue '{ devices = { e-blue-near }; }'",
            "nft flush chain inet vpcctl_flow enter_blue",
            "nft flush chain inet vpcctl_flow established",
            "ip link set e-blue-near down; ip link del e-blue-near",
        ])
        func driftIsPutRight(line: String) throws {
            try lab.shell("vpc-h1", line)
            let reports = try lab.lab.up()
            try lab.requireClean(reports)
            #expect(try changes(of: reports) > 0)
            #expect(try changes(of: lab.lab.up()) == 0)
            try lab.establish("blue-far", to: "10.0.1.11", 20601, on: ["h1", "h2"], answeredBy: "blue-near")
        }

        /// Who was interrupted between forbidding something and having it judged anew goes on from there: nothing leads into
        /// the flowtable, so somebody in it may have no right to be there.
        @Test func whoWasInterruptedGoesOn() throws {
            try lab.establish("blue-far", to: "10.0.1.11", 20602, on: ["h1", "h2"], answeredBy: "blue-near")
            let table = "inet test_forbidden"
            try lab.shell(
                "vpc-h1",
                "nft 'table \(table) { chain forward { type filter hook forward priority -200; udp sport 20602 drop; }; }'"
            )
            defer { _ = try? lab.shell("vpc-h1", "nft delete table \(table)") }
            try lab.askAgain(3, "blue-far", "10.0.1.11", 20602, answeredBy: "blue-near")
            try lab.shell("vpc-h1", "nft flush chain inet vpcctl_flow enter_blue")
            try lab.askAgain(3, "blue-far", "10.0.1.11", 20602, answeredBy: "blue-near")
            let reports = try lab.lab.up()
            let operations = try reports.flatMap { try $0.result.get().plan.changes.operations.map(\.object) }
            #expect(operations.contains("connections past the rules judged anew"))
            #expect(try lab.ask("blue-far", "10.0.1.11", 20602) == nil)
            #expect(try changes(of: lab.lab.up()) == 0)
        }

        // MARK: Streams

        /// TCP goes the same way, whole segments and all, and ends as it does without.
        @Test func streamsPassTheRules() throws {
            let station = try lab.station("blue-far")
            for _ in 0..<2 {
                let seen = try lab.whileCounting(on: "h1", "tcp", port: Station.tcpPort) {
                    guard case .answered(let answer) = try station.connect("10.0.1.11", sending: 3_000_000) else {
                        Issue.record("no connection")
                        return
                    }
                    #expect(answer.name == "blue-near" && answer.text == "3000000")
                }
                // The first packets, those that end it, and those that come while there is no way yet.
                #expect(seen < 40, "\(seen) packets of 3 MB")
            }
        }

        // MARK: Names of neighbours

        /// A tenant may have the hosts' addresses for his guests, and for a gateway, where the far host has another name.
        @Test func aTenantMayHaveTheUnderlaysAddresses() throws {
            var scenario = Scenario.guarded
            scenario.vpc("odd", 103, "172.31.0.0/16")
            scenario.subnet("odd-front", "odd", "172.31.0.0/24")
            scenario.model.subnets[scenario.model.subnets.count - 1].gateway = "172.31.0.2"
            scenario.interface("odd-near", "odd-front", on: "h1", "172.31.0.1")
            scenario.interface("odd-far", "odd-front", on: "h2", "172.31.0.12")
            try lab.become(scenario)
            try lab.askAgain(10, "odd-far", "172.31.0.1", 20801, answeredBy: "odd-near")
            for host in ["h1", "h2"] { #expect(try lab.offloaded(on: host, 20801).count == 1) }
            #expect(try lab.shell("vpc-h1", "ip nexthop").contains("encap ip id 103"))
            #expect(!(try lab.shell("vpc-h2", "ip nexthop").contains("encap ip id 103")))
            try lab.askAgain(5, "odd-far", "172.31.0.1", 20801, answeredBy: "odd-near")
            try lab.become(.guarded)
        }
    }
}
