import IPAddressing
import TestSupport
import Testing

@testable import VPCLab

extension Scenario {
    /// A tenant on two hosts, two guests on one of them.
    fileprivate static let isolated: Scenario = {
        var scenario = Scenario.pair
        scenario.host("h2", "172.31.0.2")
        scenario.interface("web3", "web", on: "h2", "10.0.1.13")
        return scenario
    }()
}

extension LabTests {
    /// What others bring to a host does not reach its tenants.
    @Suite(.needsOverlay, .lab(.isolated), .timeLimit(minutes: 10)) struct IsolationTests {
        let lab: TestLab
        init() throws { lab = try TestLab.current }

        struct Disturbance: Sendable, CustomTestStringConvertible {
            var what: String
            var begin: String
            var end: String

            var testDescription: String { what }
        }

        private static func tables(_ what: String, _ text: String) -> Disturbance {
            let names = text.split(separator: "\n").filter { $0.hasPrefix("table ") }.map {
                "nft delete " + $0.prefix { $0 != "{" }
            }
            return Disturbance(what: what, begin: "nft -f - <<END\n\(text)\nEND", end: names.joined(separator: "; "))
        }

        private static let limit = "/tmp/vpclab-tests-connections"

        static let disturbances = [
            Disturbance(
                what: "a VPN that takes all traffic, as wg-quick does",
                begin: """
                    ip link add wg0 type dummy; ip link set wg0 up; ip addr add 10.99.0.1/24 dev wg0
                    ip route add default dev wg0 table 51820
                    ip rule add not fwmark 51820 table 51820; ip rule add table main suppress_prefixlength 0
                    """,
                end: """
                    ip rule del not fwmark 51820 table 51820; ip rule del table main suppress_prefixlength 0
                    ip link del wg0
                    """),
            Disturbance(
                what: "local addresses looked up once more", begin: "ip rule add pref 100 lookup local",
                end: "ip rule del pref 100"),
            tables(
                "a container engine's chains",
                """
                table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }
                table ip nat { chain POSTROUTING {
                    type nat hook postrouting priority 100; policy accept; ip saddr 10.0.0.0/8 masquerade; }; }
                """),
            tables(
                "firewalld's chains",
                """
                table inet firewalld {
                    chain filter_PREROUTING { type filter hook prerouting priority -290; policy accept;
                        meta nfproto ipv4 iifname != "u0" fib saddr . mark . iif oif missing drop; }
                    chain filter_INPUT { type filter hook input priority 10; policy drop;
                        ct state established,related accept; meta l4proto gre accept; iif lo accept; }
                    chain filter_FORWARD { type filter hook forward priority 10; policy drop; }
                }
                """),
            tables(
                "kube-proxy's translations",
                """
                table ip kube-proxy {
                    chain nat-prerouting { type nat hook prerouting priority -100; policy accept;
                        ip daddr 10.0.1.12 udp dport 7000 dnat to 10.0.1.11:7000; }
                    chain nat-postrouting { type nat hook postrouting priority 100; policy accept; masquerade; }
                }
                """),
            Disturbance(
                what: "parameters against forwarding",
                begin: """
                    sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 net.ipv4.ip_forward=0
                    sysctl -qw net.ipv4.conf.default.forwarding=0 net.ipv4.conf.all.arp_ignore=8
                    """,
                end: """
                    sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
                    sysctl -qw net.ipv4.conf.all.arp_ignore=0
                    """),
            Disturbance(
                what: "a table of connections that is full",
                begin: """
                    # The limit is the machine's: the second host finds what the first one has set.
                    test -e \(limit) || sysctl -n net.netfilter.nf_conntrack_max >\(limit)
                    nsenter --target 1 --net sysctl -qw net.netfilter.nf_conntrack_max=100
                    nft add table inet tracked; nft 'add chain inet tracked c { type filter hook input priority 0; }'
                    nft add rule inet tracked c ct state new accept
                    for port in $(seq 120); do
                        conntrack -I -p udp -s 192.0.2.1 -d 192.0.2.2 --sport $port --dport 9 --timeout 600 || break
                    done >/dev/null 2>&1
                    test $(sysctl -n net.netfilter.nf_conntrack_count) -ge 100
                    """,
                end: """
                    nft delete table inet tracked; conntrack -F 2>/dev/null
                    nsenter --target 1 --net sysctl -qw net.netfilter.nf_conntrack_max=$(cat \(limit))
                    """),
            Disturbance(what: "an empty set of rules of nf_tables", begin: "nft flush ruleset", end: "true"),
            Disturbance(
                what: "bridged frames in IP filters, which drop them",
                begin: """
                    modprobe -a br_netfilter tun; sysctl -qw net.bridge.bridge-nf-call-iptables=1
                    ip link add br7 type bridge; ip link set br7 up
                    ip tuntap add tap7 mode tap; ip link set tap7 master br7 up
                    nft add table ip bridged
                    nft 'add chain ip bridged forward { type filter hook forward priority 0; policy drop; }'
                    """,
                end: "nft delete table ip bridged; ip link del tap7; ip link del br7"),
            Disturbance(
                what: "a VRF of somebody else",
                begin: """
                    ip link add vrf9 type vrf table 9; ip link set vrf9 up
                    ip link add d9 type dummy; ip link set d9 master vrf9; ip link set d9 up
                    ip addr add 10.0.1.11/16 dev d9
                    """,
                end: "ip link del d9; ip link del vrf9; ip rule del pref 1000; ip -6 rule del pref 1000"),
            Disturbance(
                what: "addresses and routes of the tenants",
                begin: """
                    ip link add d8 type dummy; ip link set d8 up; ip addr add 10.0.1.12/24 dev d8
                    ip route add blackhole 10.0.1.13
                    """,
                end: "ip route del blackhole 10.0.1.13; ip link del d8"),
        ]

        /// From a guest of the first host to its neighbour there, to one of the other host, and back; nobody's address is
        /// another one on the way.
        private func expectTraffic(_ step: Comment) throws {
            let pairs = [
                ("web1", "10.0.1.11", "web2", "10.0.1.12"), ("web1", "10.0.1.11", "web3", "10.0.1.13"),
                ("web3", "10.0.1.13", "web2", "10.0.1.12"),
            ]
            for (sender, source, name, destination) in pairs {
                let station = try lab.station(sender)
                let answer = try station.ask(#require(IPAddress(destination)))
                #expect(answer?.name == name, step)
                #expect(answer?.seenAddress == IPAddress(source), step)
                let connection = try station.connect(#require(IPAddress(destination)), sending: 100_000)
                guard case .answered(let bulk) = connection else {
                    Issue.record("\(step): \(sender) to \(name): \(connection)")
                    continue
                }
                #expect(bulk.text == "100000" && bulk.seenAddress == IPAddress(source), step)
            }
        }

        /// Whoever looks at a host with what his system has can read what is there.
        @Test func othersCanReadOurTables() throws {
            let text = try lab.shell("vpc-h1", "nft list ruleset")
            #expect(text.contains("chain forward") && text.contains("e-web1"))
            #expect(try lab.shell("vpc-h1", "nft -j list ruleset").contains("\"forward\""))
            #expect(try lab.shell("h1", "nft list ruleset").contains("table ip vpcctl_underlay"))
        }

        /// A machine that looks nothing up in its own tables any more reaches no other host, with tunnels or without: that is
        /// said. Guests of one host do not notice, and the others have network again with the rules.
        @Test func aMachineWithoutRulesReachesNobody() throws {
            let rules = "ip rule add pref 32766 lookup main; ip rule add pref 32767 lookup default"
            try lab.shell("h1", "ip rule flush")
            defer { _ = Command.run(rules, in: lab.namespace("h1")) }
            #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2")
            let report = try #require(try lab.lab.up().first { $0.host == "h1" })
            #expect(try report.result.get().plan.unreachable == [1])
            #expect(
                try lab.shell("h1", "ip rule") == "0:\tfrom all lookup local\n", "nobody's business but the machine's")
            try lab.shell("h1", rules)
            try lab.requireClean(lab.lab.apply())
            try expectTraffic("with its rules")
        }

        @Test(arguments: disturbances) func tenantsDoNotNotice(_ disturbance: Disturbance) throws {
            for host in ["h1", "h2"] { try lab.shell(host, "set -e; " + disturbance.begin) }
            defer { for host in ["h1", "h2"] { _ = try? lab.shell(host, disturbance.end) } }
            try expectTraffic("while it is there")
            // What others have there is no change of ours but for the one table, and keeps nobody from coming.
            try lab.requireClean(lab.lab.apply())
            try expectTraffic("after another apply")
            try lab.lab.delete(host: "h1")
            try lab.requireClean(lab.lab.apply())
            try lab.settle()
            try expectTraffic("made anew")
        }
    }
}
