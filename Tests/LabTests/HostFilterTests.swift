import IPAddressing
import KernelDriver
import NFTables
import Netlink
import Reconciler
import TestSupport
import Testing

@testable import VPCLab

extension LabTests {
    /// Filters of the machine's own that cut tunnels: named, and only these. What is said is compared with what the kernel
    /// does to the packets.
    @Suite(.needsOverlay, .lab(.agents), .timeLimit(minutes: 10)) struct HostFilterTests {
        let lab: TestLab
        init() throws { lab = try TestLab.current }

        struct Filter: Sendable, CustomTestStringConvertible {
            var what: String
            var begin: String
            /// What is said of it; nil: nothing.
            var expected: Expectation?
            /// Whether packets really pass.
            var passes: Bool

            var testDescription: String { what }
        }

        struct Expectation: Sendable {
            var place: String
            var hasHandle = true
            var rule: String
            var way = "from"
            var hosts: [IPAddress] = []
            var isCertain = true
            var isAboutFragments = false
        }

        private static func input(_ rules: String, policy: String = "accept", priority: Int = 10, more: String = "")
            -> String
        {
            """
            table inet own { \(more)
                chain in { type filter hook input priority \(priority); policy \(policy);
                    \(rules)
                }
            }
            """
        }

        private static let sets = """
            set blocked { type ipv4_addr; flags interval; elements = { 172.31.0.2-172.31.0.5 }; }
                set others { type ipv4_addr; flags interval; elements = { 172.31.0.3-172.31.0.9 }; }
                set one { type ipv4_addr; elements = { 172.31.0.2 }; }
                map verdicts { type inet_proto : verdict; elements = { gre : jump cut, tcp : accept }; }
                chain cut { counter; drop; }
            """

        static let filters = [
            Filter(
                what: "a policy of drop",
                begin: input("ct state established,related accept; iif lo accept;", policy: "drop"),
                expected: Expectation(place: "inet own in", hasHandle: false, rule: "policy drop"), passes: false),
            Filter(
                what: "a policy of drop that lets GRE in",
                begin: input(
                    "ct state established,related accept; iif lo accept; meta l4proto gre accept;", policy: "drop"),
                passes: true),
            Filter(
                what: "one that lets in what is not tracked",
                begin: input("ct state untracked accept;", policy: "drop"),
                passes: true),
            Filter(
                what: "a rule against GRE, before ours and after",
                begin: input("ip protocol gre counter drop;", priority: -10),
                expected: Expectation(place: "inet own in", rule: "ip protocol gre counter drop"), passes: false),
            Filter(
                what: "a rejection", begin: input("tcp dport 22 accept; iifname \"u*\" reject;"),
                expected: Expectation(place: "inet own in", rule: "iifname \"u*\" reject"), passes: false),
            Filter(
                what: "a rule for another device",
                begin: input("iifname \"eth9\" drop; iif lo drop; tcp dport 22 drop;"),
                passes: true),
            Filter(
                what: "a set of blocks", begin: input("ip saddr @blocked drop;", more: sets),
                expected: Expectation(place: "inet own in", rule: "ip saddr @blocked drop", hosts: ["172.31.0.2"]),
                passes: false),
            Filter(
                what: "a set of single addresses", begin: input("ip saddr @one drop;", more: sets),
                expected: Expectation(place: "inet own in", rule: "ip saddr @one drop", hosts: ["172.31.0.2"]),
                passes: false),
            Filter(
                what: "sets of others' addresses",
                begin: input("ip saddr @others drop; ip saddr { 10.0.0.1, 10.0.0.9 } drop;", more: sets),
                passes: true),
            Filter(
                what: "a map of verdicts", begin: input("meta l4proto vmap @verdicts;", more: sets),
                expected: Expectation(place: "inet own cut", rule: "drop"), passes: false),
            Filter(
                what: "a block of addresses", begin: input("ip saddr 172.31.0.0/24 ip daddr != 172.31.0.9 drop;"),
                expected: Expectation(place: "inet own in", rule: "ip saddr 172.31.0.0/24", hosts: ["172.31.0.2"]),
                passes: false),
            Filter(
                what: "a rate that is not reached",
                begin: input("meta l4proto gre limit rate over 100000/second drop;"),
                expected: Expectation(
                    place: "inet own in", rule: "meta l4proto gre limit rate over 100000", isCertain: false),
                passes: true),
            Filter(
                what: "a rule at the device",
                begin: """
                    table netdev own { chain in { type filter hook ingress device u0 priority 0; ip protocol gre drop; }; }
                    """,
                expected: Expectation(place: "netdev own in", rule: "ip protocol gre drop"), passes: false),
            Filter(
                what: "fragments",
                begin: """
                    table ip own { chain raw { type filter hook prerouting priority -500; ip frag-off & 0x1fff != 0 drop; }; }
                    """,
                expected: Expectation(
                    place: "ip own raw", rule: "ip frag-off & 0x1fff != 0x0000 drop", isAboutFragments: true),
                passes: true),
            Filter(
                what: "what goes out",
                begin:
                    "table ip own { chain out { type filter hook output priority 0; ip daddr 172.31.0.2 meta l4proto gre drop; }; }",
                expected: Expectation(
                    place: "ip own out", rule: "ip daddr 172.31.0.2 meta l4proto gre drop", way: "to",
                    hosts: ["172.31.0.2"]),
                passes: false),
            Filter(
                what: "translations, and other hooks",
                begin: """
                    table ip own {
                        chain nat { type nat hook prerouting priority -100; meta l4proto gre drop; }
                        chain forward { type filter hook forward priority 0; policy drop; }
                    }
                    table ip6 own { chain in { type filter hook input priority 0; policy drop; }; }
                    """,
                passes: true),
        ]

        static let tables = [
            Filter(
                what: "iptables against GRE", begin: "iptables -A INPUT -p gre -m comment --comment no -j DROP",
                expected: Expectation(place: "ip filter INPUT", rule: "gre"), passes: false),
            Filter(
                what: "iptables with a policy of DROP",
                begin: """
                    iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
                    iptables -A INPUT -i lo -j ACCEPT; iptables -A INPUT -p icmp -j ACCEPT
                    iptables -A INPUT -p tcp -m multiport --dports 22,80 -j ACCEPT
                    iptables -P INPUT DROP
                    """,
                expected: Expectation(place: "ip filter INPUT", hasHandle: false, rule: "policy drop"), passes: false),
            Filter(
                what: "iptables that rejects the rest",
                begin: """
                    iptables -N own; iptables -A own -m state --state ESTABLISHED -j ACCEPT
                    iptables -A own -m mark --mark 0x8000/0x8000 -j DROP; iptables -A own -j LOG
                    iptables -A own -s 172.31.0.0/16 -j REJECT; iptables -A INPUT -j own
                    """,
                expected: Expectation(place: "ip filter own", rule: "REJECT"), passes: false),
            Filter(
                what: "iptables that lets GRE in",
                begin: """
                    iptables -A INPUT -m conntrack --ctstate INVALID -j DROP
                    iptables -A INPUT -p gre -j ACCEPT; iptables -P INPUT DROP
                    """,
                passes: true),
            Filter(
                what: "iptables at a certain time",
                begin: "iptables -A INPUT -p gre -m time --datestart 2001-01-01 --datestop 2001-01-02 -j DROP",
                expected: Expectation(place: "ip filter INPUT", rule: "match \"time\"", isCertain: false), passes: true),
        ]

        private func obstacles() throws -> [TunnelObstacle] {
            let kernel = KernelDriver(namespace: .named(lab.namespace("h1")))
            return try #require(try HostReconciler(kernel: kernel).tunnelObstacles())
        }

        private func expect(_ filter: Filter) throws {
            let found = try obstacles()
            if let expected = filter.expected {
                let rules = try lab.shell("h1", "nft -a list ruleset")
                let obstacle = try #require(found.first, "\(rules)")
                #expect(found.count == 1, "\(found)")
                #expect("\(obstacle.table) \(obstacle.chain)" == expected.place)
                #expect(obstacle.rule.contains(expected.rule), "\(obstacle)")
                #expect(obstacle.way == expected.way)
                #expect(obstacle.isCertain == expected.isCertain, "\(obstacle)")
                #expect(obstacle.isAboutFragments == expected.isAboutFragments)
                if !obstacle.hosts.isEmpty || !expected.hosts.isEmpty { #expect(obstacle.hosts == ["172.31.0.2"]) }
                #expect((obstacle.handle != nil) == expected.hasHandle)
                if let handle = obstacle.handle {
                    let listing = try lab.shell("h1", "nft -a list chain \(expected.place)")
                    let line = listing.split(separator: "\n").first { $0.hasSuffix("# handle \(handle)") }
                    #expect(line != nil, "\(listing)")
                }
            } else {
                #expect(found == [])
            }
            let answer = try lab.station("web1").ask("10.0.1.13", attempts: filter.passes ? 3 : 1)
            #expect((answer != nil) == filter.passes)
        }

        @Test(arguments: filters) func whatCutsTunnelsIsNamed(_ filter: Filter) throws {
            try lab.shell("h1", "nft -f - <<'END'\n\(filter.begin)\nEND")
            defer {
                _ = try? lab.shell(
                    "h1", "for f in ip ip6 inet netdev; do nft delete table $f own 2>/dev/null; done; true")
            }
            try expect(filter)
        }

        @Test(arguments: tables) func whatIptablesCutsIsNamed(_ filter: Filter) throws {
            try lab.shell("h1", "set -e; " + filter.begin)
            defer { _ = try? lab.shell("h1", "nft delete table ip filter") }
            try expect(filter)
        }

        /// The doctor and the daemon say so.
        @Test func everybodyIsTold() async throws {
            let run = try AgentRun(
                namespace: lab.namespace("h1"), host: "h1", Scenario.agents.text(prefix: lab.prefix))
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }
            let last = run.lastEvent
            try lab.shell("h1", "nft add table ip own")
            try lab.shell("h1", "nft 'add chain ip own in { type filter hook input priority 0; policy drop; }'")
            let event = try await run.event(after: last) { $0.type == .alarmRaised }
            #expect(event.message.contains("dropped by the policy of chain ip own in"))
            #expect(run.agent.status.obstacles.count == 1)
            let doctor = try Run([
                "ip", "netns", "exec", lab.namespace("h1"), Run.program("vpcctl"), "doctor", "--no-color",
            ])
            #expect(doctor.status == 1)
            #expect(doctor.output.contains("MISSING tunnels pass the machine's filters: GRE packets from other hosts"))
            let told = run.lastEvent
            try lab.shell("h1", "nft delete table ip own")
            try await run.event(after: told) { $0.type == .alarmCleared }
            #expect(run.agent.status.obstacles == [])
        }
    }
}
