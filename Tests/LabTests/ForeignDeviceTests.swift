import Agent
import TestSupport
import Testing

@testable import VPCLab

extension LabTests {
    /// A device that an attachment names and that is not only the guest's.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct ForeignDeviceTests {
        struct Use: Sendable, CustomTestStringConvertible {
            var what: String
            var begin: String
            var end: String
            var reason: String

            var testDescription: String { what }
        }

        static let uses = [
            Use(
                what: "address", begin: "ip addr add 192.168.7.1/24 dev tap7",
                end: "ip addr del 192.168.7.1/24 dev tap7", reason: "it has the address 192.168.7.1/24"),
            Use(
                what: "address of IPv6", begin: "ip addr add 2001:db8::7/64 dev tap7 nodad",
                end: "ip addr del 2001:db8::7/64 dev tap7", reason: "it has the address 2001:db8::7/64"),
            Use(
                what: "route", begin: "ip route add 198.51.100.0/24 dev tap7 table 77",
                end: "ip route del 198.51.100.0/24 table 77", reason: "route 198.51.100.0/24 leaves by it"),
            Use(
                what: "route of IPv6", begin: "ip -6 route add 2001:db8:7::/64 dev tap7",
                end: "ip -6 route del 2001:db8:7::/64", reason: "route 2001:db8:7::/64 leaves by it"),
            Use(
                what: "one way of several",
                begin: "ip route add 198.51.100.0/24 nexthop dev u0 nexthop dev tap7",
                end: "ip route del 198.51.100.0/24", reason: "route 198.51.100.0/24 leaves by it"),
            Use(
                what: "nexthop", begin: "ip nexthop add id 7 dev tap7", end: "ip nexthop del id 7",
                reason: "nexthop 7 leaves by it"),
            Use(
                what: "port of a bridge", begin: "ip link add br7 type bridge; ip link set tap7 master br7",
                end: "ip link del br7", reason: "it is a port of br7"),
            Use(
                what: "port of a VRF", begin: "ip link add vrf7 type vrf table 77; ip link set tap7 master vrf7",
                end: "ip link del vrf7", reason: "it is a port of vrf7"),
            Use(
                what: "tunnel on top",
                begin: "ip link add gre7 type gre local 172.31.0.1 remote 172.31.0.77 key 7 dev tap7",
                end: "ip link del gre7", reason: "gre7 is on top of it"),
        ]

        static let scenario: Scenario = {
            var scenario = Scenario.pair
            scenario.interface("vm", "web", on: "h1", "10.0.1.14", tap: "tap7")
            return scenario
        }()

        /// What there is of the device, less what the kernel counts and whether it has found out yet that nobody else has an
        /// address of IPv6.
        private static let device =
            "ip -d -j -p link show tap7 | grep -v carrier; ip -j -p addr show tap7 | grep -v tentative"

        @Test func whatOthersUseIsLeftAlone() throws {
            let lab = try TestLab(Self.scenario)
            defer { lab.tearDown() }
            for use in Self.uses {
                try lab.lab.delete(host: "h1")
                try lab.shell("h1", use.begin)
                let before = try lab.shell("h1", Self.device)
                let report = try #require(try lab.lab.apply().first)
                #expect(report.problems.count == 1, "\(use.what): \(report.problems)")
                let reason = "tap7 is somebody else's: \(use.reason)"
                #expect(report.problems.first?.contains(reason) == true, "\(report.problems)")
                #expect(try OwnershipTests.difference(before, lab.shell("h1", Self.device)) == "", "\(use.what)")
                #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2", "everything else is done")
                try lab.shell("h1", use.end)
                try lab.requireClean(lab.lab.apply())
                #expect(try lab.station("web1").ask("10.0.1.14")?.name == "vm", "\(use.what)")
            }
            // It is ours now, and stays so whatever is put on it.
            try lab.shell("vpc-h1", "ip addr add 192.168.7.1/24 dev tap7")
            try lab.requireClean(lab.lab.apply())
        }

        /// `netns:` was forgotten.
        @Test func underlayIsNeverTaken() async throws {
            let lab = try TestLab(.agents)
            defer { lab.tearDown() }
            var scenario = Scenario.agents
            scenario.interface("lost", "web", on: "h1", "10.0.1.15", tap: "u0")
            let text = scenario.text(prefix: lab.prefix)
            let run = try AgentRun(namespace: lab.namespace("h1"), host: "h1", text)
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }
            #expect(run.agent.status.phase == .failed)
            #expect(run.agent.status.reason?.contains("u0 is somebody else's: it has the address 172.31.0.1") == true)
            #expect(try lab.station("h1").ping("172.31.0.2").isReply)
            #expect(try lab.station("web1").ask("10.0.1.13")?.name == "web3")
        }

        /// As it was: its class, settings, IPv6 and its addresses, by whomever it is given back.
        @Test(arguments: [false, true]) func deviceIsGivenBackAsItWas(torn: Bool) throws {
            let lab = try TestLab(Self.scenario)
            defer { lab.tearDown() }
            try lab.lab.delete(host: "h1")
            try lab.shell(
                "h1",
                """
                ip link set tap7 group 77; ip link set tap7 alias "of somebody else"
                ip ntable change name arp_cache dev tap7 proxy_delay 300
                cd /proc/sys/net/ipv4/conf/tap7
                echo 1 >arp_filter; echo 2 >rp_filter; echo 1 >forwarding; echo 3 >medium_id
                echo 0 >/proc/sys/net/ipv6/conf/tap7/disable_ipv6
                """)
            let settings = """
                cd /proc/sys/net; grep -s . ipv4/conf/tap7/* ipv4/neigh/tap7/* ipv6/conf/tap7/disable_ipv6 \
                    ipv6/conf/tap7/addr_gen_mode
                """
            let before = (try lab.shell("h1", Self.device), try lab.shell("h1", settings))
            try #require(before.0.contains("fe80::"))
            try lab.requireClean(lab.lab.apply())
            #expect(try lab.station("web1").ask("10.0.1.14")?.name == "vm")
            #expect(try !lab.shell("vpc-h1", Self.device).contains("fe80::"))
            // Whatever became of its master, it is known to be ours.
            if torn { try lab.shell("vpc-h1", "ip link set tap7 nomaster") }
            if torn {
                try lab.adopt(.pair)
                try lab.requireClean(lab.lab.apply())
            } else {
                #expect(try lab.lab.delete(host: "h1").remaining.isEmpty)
            }
            #expect(try OwnershipTests.difference(before.0, lab.shell("h1", Self.device)) == "")
            #expect(try OwnershipTests.difference(before.1, lab.shell("h1", settings)) == "")
        }

        /// That a route of others is gone is not told of: it is looked for.
        @Test func daemonTakesItWhenItIsFree() async throws {
            let lab = try TestLab(Self.scenario)
            defer { lab.tearDown() }
            try lab.lab.delete(host: "h1")
            try lab.shell("h1", "ip route add 198.51.100.0/24 dev tap7")
            let run = try AgentRun(lab, Self.scenario)
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }
            #expect(run.agent.status.phase == .failed)
            #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2")
            try lab.shell("h1", "ip route del 198.51.100.0/24")
            // Of this there is no event.
            while run.agent.status.phase != .ready { try await Task.sleep(for: .milliseconds(50)) }
            #expect(try lab.station("web1").ask("10.0.1.14")?.name == "vm")
        }
    }
}
