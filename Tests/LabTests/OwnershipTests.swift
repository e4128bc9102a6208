import IPAddressing
import Netlink
import TestSupport
import Testing
import VPCTopology

@testable import VPCLab

extension LabTests {
    /// A host that others use too.
    @Suite(.needsOverlay, .lab(.agents), .timeLimit(minutes: 10)) struct OwnershipTests {
        let lab: TestLab
        init() throws { lab = try TestLab.current }

        /// One of everything that we make, made by somebody else, some with numbers of our ranges.
        static let foreign = """
            set -e
            echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
            ip link add dummy7 type dummy; ip link set dummy7 up; ip addr add 198.18.0.1/24 dev dummy7
            ip link add br7 type bridge; ip link set dummy7 master br7; ip link set br7 up; ip addr add 198.18.7.1/24 dev br7
            ip link add veth7 type veth peer name veth8; ip link set veth7 alias "of somebody else"; ip link set veth7 up
            ip link add vrf7 type vrf table 77; ip link set vrf7 up
            ip link add gre7 type gre local 172.31.0.1 remote 172.31.0.77 key 77; ip link set gre7 up
            ip neigh add 198.18.7.9 lladdr 02:00:00:00:00:09 dev br7 nud permanent
            ip route add 203.0.113.0/24 via 198.18.7.2 dev br7 proto static
            ip route add unreachable 203.0.114.0/24 proto 200
            ip route add 203.0.115.0/24 via 198.18.7.2 table 77 proto bird
            ip route add 203.0.116.0/24 via 198.18.7.2 table 1000005
            ip rule add pref 900 from 198.18.0.0/24 lookup 77
            ip rule add pref 1001 from 198.18.1.0/24 lookup 1000007 proto static
            ip nexthop add id 7 via 198.18.7.2 dev br7 proto static
            ip nexthop add id 8 via 198.18.7.3 dev br7
            ip nexthop add id 1000001 via 198.18.7.4 dev br7
            ip nexthop add id 9 group 7,2/8,1 type resilient buckets 8
            ip route add 203.0.117.0/24 nhid 9
            nft -f - <<END
            table inet theirs {
                set peers { type ipv4_addr; elements = { 198.18.0.9 }; }
                chain input { type filter hook input priority 5; policy accept; ip saddr @peers counter accept; }
            }
            table netdev theirs {
                chain in { type filter hook ingress device "br7" priority 0; policy accept; }
            }
            END
            # Until the kernel has noticed which of them are connected.
            for i in $(seq 100); do
                ip link show veth7 | grep -q "state LOWERLAYERDOWN" && ip link show br7 | grep -q "state UP" && break
                sleep 0.05
            done
            """

        /// Everything there is, as iproute2, sysctl and nft say it, less the counters and clocks, and less our one table.
        private static let everything = """
            for kind in "-d link" "addr" "route show table all" "-6 route show table all" "rule" "-6 rule" "nexthop" \
                "neigh show nud permanent" "netconf"; do
                echo "# $kind"; ip -j -p $kind | grep -v '_timer": [0-9.]*,$'
            done
            echo "# sysctl"; grep -rs . /proc/sys/net | grep -v /nf_conntrack_count: | sort
            echo "# nft"; nft list tables | grep -vx "table ip vpcctl_underlay" | while read -r table; do
                nft -j list $table | sed 's/"packets": [0-9]*, "bytes": [0-9]*//g'
            done
            """

        /// Others' objects, parameters and connections are the same with us as without us, and with us gone.
        @Test func hostIsAsItWas() throws {
            try lab.lab.delete(host: "h1")
            try lab.shell("h1", Self.foreign)
            let before = try lab.shell("h1", Self.everything)

            let reports = try lab.lab.apply()
            try lab.requireClean(reports)
            #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2")
            #expect(try lab.station("web1").ask("10.0.1.13")?.name == "web3")
            let withUs = try Self.difference(before, lab.shell("h1", Self.everything))
            #expect(withUs == "")
            #expect(try lab.shell("h1", "conntrack -L 2>/dev/null") == "", "no connection of a guest")
            let outcome = try lab.lab.delete(host: "h1")
            #expect(outcome.report.failures.isEmpty, "\(outcome.report.failures)")
            #expect(outcome.remaining.isEmpty)

            let withoutUs = try Self.difference(before, lab.shell("h1", Self.everything))
            #expect(withoutUs == "")
            #expect(try !lab.shell("h1", "nft list tables").contains("vpcctl"))
            #expect(!NetworkNamespace.named(lab.namespace("vpc-h1")).exists)
            let again = try lab.lab.delete(host: "h1")
            #expect(again.report.writes == 0)
            // And guests keep nothing of ours either.
            #expect(try !lab.shell("web1", "ip -br link").contains("eth0"))

            try lab.requireClean(lab.lab.apply())
            #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2", "and back")
        }

        /// The same of a host that has nothing.
        @Test func bareHostStaysBare() throws {
            let prefix = TestLab.uniquePrefix()
            let topology = try #require(Topology.resolve(Scenario.pair.model).topology)
            let plan = try LabPlan(topology, name: prefix + "lab", options: .init(prefix: prefix))
            let store = LabStore(path: "/tmp/vpclab-\(prefix)state")
            let lab = Lab(plan, store: store)
            try lab.prepare()
            defer { _ = try? store.remove(plan.name) }
            let before = Command.run(Self.everything, in: prefix + "h1").output
            #expect(try lab.apply().first?.problems == [])
            #expect(Self.difference(before, Command.run(Self.everything, in: prefix + "h1").output) == "", "with us")
            #expect(try lab.delete(host: "h1").remaining.isEmpty)
            #expect(Self.difference(before, Command.run(Self.everything, in: prefix + "h1").output) == "", "without us")
        }

        /// A namespace of that name that somebody else has made stays as it is, and that is said.
        @Test func aNamespaceOfThatNameIsLeftAlone() throws {
            try lab.lab.delete(host: "h1")
            let own = lab.namespace("vpc-h1")
            try #require(Command.run("ip netns add \(own)").status == 0)
            let identity = try NetworkNamespace.named(own).identity()
            let problems = try #require(try lab.lab.apply().first).problems
            #expect(problems.first?.contains("is somebody else's: it has not been made by us") == true, "\(problems)")
            #expect(try lab.lab.delete(host: "h1").report.writes == 0)
            #expect(try NetworkNamespace.named(own).identity() == identity)
            let ours = "ip -br link | grep -E '^(vpc|e)-'; ip rule | grep -w 118; nft list tables; true"
            #expect(try lab.shell("vpc-h1", ours) == "")
            try #require(Command.run("ip netns del \(own)").status == 0)
            try lab.requireClean(lab.lab.apply())
            #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2")
        }

        static func difference(_ before: String, _ after: String) -> String {
            let (old, new) = (before.split(separator: "\n"), after.split(separator: "\n"))
            return new.difference(from: old).map { change in
                switch change {
                case .insert(_, let line, _): "+ \(line)"
                case .remove(_, let line, _): "- \(line)"
                }
            }.joined(separator: "\n")
        }

        /// The host's own devices, tables and rules may have any name and number of ours.
        @Test func whatTheHostHasIsNotInTheWay() throws {
            try lab.lab.delete(host: "h1")
            try lab.shell(
                "h1",
                """
                for name in e-web1 e-web2 vpc-g101 vpc-gx; do ip link add $name type dummy; done
                ip link add vpc-v1000001 type vrf table 1000001; ip route add unreachable 10.0.0.0/8 table 1000001
                ip rule add pref 1001 from 10.0.0.0/8 unreachable; nft add table inet vpcctl
                """)
            defer {
                _ = try? lab.shell(
                    "h1",
                    """
                    for name in e-web1 e-web2 vpc-g101 vpc-gx vpc-v1000001; do ip link del $name; done
                    ip route flush table 1000001; ip rule del pref 1001; nft delete table inet vpcctl
                    """)
            }
            try lab.requireClean(lab.lab.apply())
            #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2")
            #expect(try lab.station("web1").ask("10.0.1.13")?.name == "web3")
        }

        /// What the kernel refuses for one tenant does not keep the others from theirs.
        @Test func theRestGoesOnWhenSomethingIsInTheWay() throws {
            try lab.requireClean(lab.lab.apply())
            try lab.shell("vpc-h1", "ip link del e-web2; ip link add e-web2 type dummy")
            let report = try #require(try lab.lab.apply().first)
            #expect(report.problems.count == 1, "\(report.problems)")
            #expect(report.problems.first?.contains("a dummy device of somebody else has the name e-web2") == true)
            #expect(try lab.station("web1").ping("10.0.1.1").isReply)
            #expect(try lab.station("web1").ask("10.0.1.12", timeout: .milliseconds(200)) == nil)
            #expect(try lab.shell("vpc-h1", "ip -br link show e-web2").contains("e-web2"), "it is left alone")

            // Applying once more changes nothing and complains the same.
            let second = try #require(try lab.lab.apply().first)
            #expect(second.problems == report.problems)
            #expect(try second.result.get().outcome.report.writes == 0)

            try lab.shell("vpc-h1", "ip link del e-web2")
            try lab.requireClean(lab.lab.apply())
            #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2")
        }

        /// Half of the batches fail for want of their devices, and what was possible is not done twice.
        @Test func aTunnelDeviceInTheWay() throws {
            try lab.requireClean(lab.lab.apply())
            try lab.shell("vpc-h1", "ip link del vpc-g101; ip link add vpc-g101 type dummy")
            let report = try #require(try lab.lab.apply().first)
            #expect(!report.isClean)
            // The tenant's guests on this host do without it.
            #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2")
            try lab.shell("vpc-h1", "ip link del vpc-g101")
            try lab.requireClean(lab.lab.apply())
        }
    }
}
