import Agent
import KernelDriver
import KernelNames
import KernelWitness
import Netlink
import TestSupport
import Testing
import VPCCompiler

@testable import VPCLab

extension LabTests {
    /// Whatever somebody else does to what is ours is undone, because the kernel tells of it.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct AgentDriftTests {
        struct Damage: Sendable, CustomTestStringConvertible {
            var what: String
            /// Among the host's VPCs, on the host itself, or in that guest.
            var place = "vpc-h1"
            var line: String
            /// The kind that is repaired, among others that fall with it.
            var kind: String

            var testDescription: String { what }
        }

        static let damages = [
            Damage(what: "route deleted", line: "ip route del 10.0.1.12 table 1000001", kind: "route"),
            Damage(
                what: "route changed", line: "ip route replace blackhole 10.0.1.12 table 1000001 proto 118",
                kind: "route"
            ),
            Damage(
                what: "route added", line: "ip route add 10.0.1.77 dev vpc-gx table 1000001 proto 118", kind: "route"),
            Damage(what: "rule deleted", line: "ip rule del pref 1001", kind: "rule"),
            Damage(what: "rule added", line: "ip rule add pref 77 lookup 77 proto 118", kind: "rule"),
            Damage(what: "local rule put back", line: "ip rule add pref 0 lookup local", kind: "rule"),
            Damage(what: "nexthop deleted", line: "ip nexthop del id 1000001", kind: "nexthop"),
            Damage(
                what: "nexthop changed",
                line: "ip nexthop replace id 1000001 encap ip id 7 dst 172.31.0.2 dev vpc-gx proto 118", kind: "nexthop"
            ),
            Damage(what: "nexthop added", line: "ip nexthop add id 1000077 blackhole proto 118", kind: "nexthop"),
            Damage(what: "neighbour deleted", line: "ip neigh del 10.0.1.11 dev e-web1", kind: "neigh"),
            Damage(
                what: "neighbour changed",
                line: "ip neigh replace 10.0.1.11 lladdr 02:00:00:00:00:77 dev e-web1 nud permanent", kind: "neigh"),
            Damage(what: "address deleted", line: "ip addr del 10.0.1.1/32 dev e-web1", kind: "address"),
            Damage(
                what: "neighbour added",
                line: "ip neigh add 10.0.1.78 lladdr 02:00:00:00:00:78 dev e-web1 nud permanent protocol 118",
                kind: "neigh"),
            Damage(what: "port deleted", line: "ip link del e-web1", kind: "link"),
            Damage(what: "port down", line: "ip link set e-web1 down", kind: "link"),
            Damage(what: "port taken from its VRF", line: "ip link set e-web1 nomaster", kind: "link"),
            Damage(what: "tunnel deleted", line: "ip link del vpc-g101", kind: "link"),
            Damage(what: "tunnel's MTU changed", line: "ip link set vpc-g101 mtu 1300", kind: "link"),
            Damage(what: "sending device deleted", line: "ip link del vpc-gx", kind: "link"),
            Damage(what: "VRF deleted", line: "ip link del vpc-v1000001", kind: "link"),
            Damage(
                what: "device with our mark added",
                // Of a device that is down the kernel does not tell that its alias changes.
                line: "ip link add vpc-g77 type dummy; ip link set vpc-g77 alias vpcctl:VPC/x; ip link set vpc-g77 up",
                kind: "link"),
            Damage(what: "element deleted", line: "nft delete element inet vpcctl ports '{ e-web1 }'", kind: "element"),
            Damage(
                what: "element added", line: "nft add element inet vpcctl ports '{ e-web7 }'", kind: "element"),
            Damage(what: "rule of nf_tables added", line: "nft insert rule inet vpcctl forward accept", kind: "rule"),
            Damage(what: "chain emptied", line: "nft flush chain inet vpcctl forward", kind: "rule"),
            Damage(what: "table deleted", line: "nft delete table inet vpcctl", kind: "table"),
            Damage(what: "everything of nf_tables deleted", line: "nft flush ruleset", kind: "table"),
            Damage(
                what: "host's table: element added", place: "h1",
                line: "nft add element ip vpcctl_underlay hosts '{ u0 . 192.0.2.7 }'", kind: "element"),
            Damage(
                what: "host's table: rule added", place: "h1",
                line: "nft insert rule ip vpcctl_underlay received accept", kind: "rule"),
            Damage(
                what: "host's table deleted", place: "h1", line: "nft delete table ip vpcctl_underlay", kind: "table"),
            Damage(
                what: "everything of the host's nf_tables deleted", place: "h1", line: "nft flush ruleset",
                kind: "table"),
            Damage(what: "guest's address deleted", place: "web1", line: "ip addr flush dev eth0", kind: "address"),
            Damage(what: "guest's route deleted", place: "web1", line: "ip route del default", kind: "route"),
            Damage(what: "guest's device down", place: "web1", line: "ip link set eth0 down", kind: "link"),
            Damage(what: "guest's MTU changed", place: "web1", line: "ip link set eth0 mtu 1280", kind: "link"),
            Damage(
                what: "parameter changed", line: "echo 1 >/proc/sys/net/ipv4/fib_multipath_hash_policy", kind: "sysctl"),
        ]

        @Test func everyDamageIsRepaired() async throws {
            let lab = try TestLab(.agents)
            defer { lab.tearDown() }
            let run = try AgentRun(lab, .agents)
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }
            try #require(try run.difference().isEmpty)

            for damage in Self.damages {
                let last = run.lastEvent
                try lab.shell(damage.place, damage.line)
                let events = try await run.repaired(after: last, of: damage.what)
                let objects = events.filter { $0.type == .driftRepaired }.compactMap(\.object)
                #expect(objects.contains { $0.hasPrefix(damage.kind) }, "\(damage.what): \(objects)")
                // And libnl sees what the driver sees.
                #expect(try run.witness().disagreements == [], "\(damage.what)")
            }
            #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2")
            let metrics = run.agent.metrics
            #expect(metrics.repaired.values.reduce(0, +) >= Self.damages.count)
            #expect(metrics.overruns == 0)
        }

        /// The daemon holds the namespace: without its name everything goes on, and its name comes back.
        @Test func namespaceGetsItsNameBack() async throws {
            let lab = try TestLab(.agents)
            defer { lab.tearDown() }
            let run = try AgentRun(lab, .agents)
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }
            let own = NetworkNamespace.named(lab.namespace("vpc-h1"))
            let identity = try own.identity()
            let stream = try Stream(from: lab.station("web1"), to: "10.0.1.13", every: .milliseconds(20))
            #expect(stream.waitForAnswers(10))
            let last = run.lastEvent
            #expect(Command.run("ip netns del \(lab.namespace("vpc-h1"))").status == 0)
            let events = try await run.repaired(after: last, of: "the namespace's name")
            #expect(events.contains { $0.object?.hasPrefix("network namespace") ?? false })
            #expect(try own.identity() == identity)
            let report = stream.finish()
            #expect(report.lost.isEmpty, "\(report)")
        }

        /// Who changes the same thing back for ever is answered more and more slowly, and everybody is told.
        @Test func fightIsLeftAlone() async throws {
            let lab = try TestLab(.agents)
            defer { lab.tearDown() }
            let run = try AgentRun(lab, .agents)
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }
            let isAlarmed = { @Sendable in run.agent.events.events().contains { $0.type == .alarmRaised } }
            while !isAlarmed() {
                let last = run.lastEvent
                try lab.shell("vpc-h1", "ip route del 10.0.1.12 table 1000001")
                try await run.event(after: last) { $0.type == .driftRepaired || $0.type == .alarmRaised }
            }
            #expect(run.agent.status.alarms.map(\.kind) == [.route])
            // Meanwhile everything else is repaired at once, and the route when its time has come.
            let last = run.lastEvent
            try lab.shell("vpc-h1", "ip route del 10.0.1.12 table 1000001; ip rule del pref 1001")
            let rule = try await run.event(after: last) { $0.object?.hasPrefix("rule") ?? false }
            let route = try await run.event(after: last) { $0.object?.hasPrefix("route") ?? false }
            #expect(rule.sequence < route.sequence)
        }
    }
}

extension Scenario {
    /// One tenant on two hosts.
    static let agents: Scenario = {
        var scenario = Scenario.pair
        scenario.host("h2", "172.31.0.2")
        scenario.interface("web3", "web", on: "h2", "10.0.1.13")
        return scenario
    }()
}

extension AgentRun {
    /// What libnl reads beside the driver.
    fileprivate func witness() throws -> WitnessReport {
        let kernel = kernel.withOwnNamespace(NamespaceName("vpc"), of: Conventions.ownership)
        return try KernelWitness(namespace: #require(try kernel.namespace)).examine(
            kernel, owner: Conventions.ownership)
    }

    /// For the first host of a lab.
    convenience init(_ lab: TestLab, _ scenario: Scenario) throws {
        try self.init(namespace: lab.namespace("h1"), host: "h1", scenario.text(prefix: lab.prefix))
    }

    /// The next one after another has stopped.
    convenience init(_ lab: TestLab, folder: String) throws {
        try self.init(namespace: lab.namespace("h1"), host: "h1", nil, folder: folder)
    }
}
