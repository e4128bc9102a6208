import TestSupport
import Testing

@testable import VPCLab

extension LabTests {
    /// What a host has set for all of its devices, or for new ones: nothing of it keeps guests from each other, and all of
    /// it stays as it is.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct HostParameterTests {
        /// Every parameter of IPv4 and of its neighbours; those of devices that are elsewhere by then are none of it.
        private static let parameters = "grep -rs . /proc/sys/net/ipv4 | grep -v /tap7/ | sort"

        /// As hard as guides for hardening, and for load balancers, make it.
        private static let hardened = """
            cd /proc/sys/net/ipv4
            echo 1 >ip_forward; echo 0 >ip_forward
            for d in conf/all conf/default; do
                for s in rp_filter=1 arp_ignore=2 arp_filter=1 arp_announce=2 send_redirects=0 accept_redirects=0 \\
                    accept_source_route=0 secure_redirects=0 shared_media=0 log_martians=1 accept_local=0 \\
                    src_valid_mark=1 drop_gratuitous_arp=1 ignore_routes_with_linkdown=1; do
                    echo ${s#*=} >$d/${s%=*}
                done
            done
            echo 1 >conf/default/proxy_arp_pvlan; echo -1 >conf/default/medium_id; echo 1 >conf/default/route_localnet
            echo 1 >tcp_l3mdev_accept; echo 1 >udp_l3mdev_accept; echo 1 >raw_l3mdev_accept
            echo 0 >fib_multipath_hash_policy; echo 7 >fib_multipath_hash_fields; echo 1 >nexthop_compat_mode
            """

        @Test func hardenedHostsForwardAndStayHardened() throws {
            let lab = try TestLab(.tenants)
            defer { lab.tearDown() }
            var before: [String: String] = [:]
            for host in ["h1", "h2", "h3"] {
                try lab.lab.delete(host: host)
                try lab.shell(host, Self.hardened)
                before[host] = try lab.shell(host, Self.parameters)
            }
            try lab.requireClean(lab.lab.apply())
            // A new namespace begins with what the machine's first one has: with the same, if that is hardened.
            for host in before.keys { try lab.shell("vpc-\(host)", Self.hardened) }
            try lab.requireClean(lab.lab.apply())
            for report in try lab.lab.apply() {
                #expect(try report.result.get().outcome.report.writes == 0, "\(report.host)")
            }
            #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2", "to another host")
            #expect(try lab.station("web1").ask("10.0.1.13")?.name == "web3", "on one host")
            #expect(try lab.station("vm1").ask("10.0.1.11")?.name == "web1", "by an adopted device")
            #expect(try lab.station("web1").ping("10.0.1.1").isReply, "its gateway")
            let probes = try lab.lab.runProbes()
            #expect(probes.failures.isEmpty, "\(probes.failures)")
            for (host, parameters) in before.sorted(by: { $0.key < $1.key }) {
                #expect(try OwnershipTests.difference(parameters, lab.shell(host, Self.parameters)) == "", "\(host)")
                #expect(try lab.lab.delete(host: host).remaining.isEmpty)
                #expect(try OwnershipTests.difference(parameters, lab.shell(host, Self.parameters)) == "", "\(host)")
                #expect(try !lab.shell(host, "ip -d link").contains("vpcctl.was"))
            }
        }

        /// What strict filtering stops on a device of the host's own it stops with us here, and on a new one.
        @Test func spoofedPacketsAreStoppedAsBefore() throws {
            let lab = try TestLab(.pair)
            defer { lab.tearDown() }
            try lab.lab.delete(host: "h1")
            let other = lab.namespace("other")
            defer { _ = Command.run("ip netns del \(other)") }
            func connect(_ device: String, _ subnet: String) throws {
                try lab.shell(
                    "h1",
                    """
                    ip link add \(device) type veth peer name far-\(device)
                    ip addr add \(subnet).1/24 dev \(device); ip link set \(device) up
                    ip link set far-\(device) netns \(other)
                    """)
                // Who is not believed is not answered by ARP either, and would never send.
                let hardware = try lab.shell("h1", "ip -o link show \(device) | grep -o 'ether [0-9a-f:]*' | cut -c 7-")
                _ = Command.run(
                    """
                    ip -n \(other) addr add \(subnet).2/24 dev far-\(device); ip -n \(other) link set far-\(device) up
                    ip -n \(other) neigh replace \(subnet).1 lladdr \(hardware.filter { !$0.isNewline }) dev far-\(device)
                    """)
            }
            /// How many packets the filter stops of one that claims to come from behind the underlay.
            func stopped(_ subnet: String) throws -> Int {
                func read() throws -> Int {
                    let lines = try lab.shell("h1", "grep ^TcpExt /proc/net/netstat").split(separator: "\n")
                    let columns = lines.map { $0.split(separator: " ") }
                    let index = try #require(columns.first?.firstIndex(of: "IPReversePathFilter"))
                    return try #require(Int(columns[1][index]))
                }
                let before = try read()
                // Nobody answers; the kernel has taken it or not when ping has sent it over the pair.
                _ = Command.run("ip netns exec \(other) ping -c 1 -W 1 -I 198.51.100.9 \(subnet).1")
                return try read() - before
            }
            #expect(
                Command.run(
                    """
                    ip netns add \(other); ip -n \(other) link set lo up; ip -n \(other) addr add 198.51.100.9/32 dev lo
                    """
                ).status == 0)
            try lab.shell(
                "h1",
                """
                echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/default/rp_filter
                ip route add 198.51.100.0/24 via 172.31.0.99 dev u0
                """)
            try connect("x1", "198.18.1")
            #expect(try stopped("198.18.1") == 1)
            try lab.requireClean(lab.lab.apply())
            #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2")
            #expect(try stopped("198.18.1") == 1, "the same device")
            try connect("x2", "198.18.2")
            #expect(try stopped("198.18.2") == 1, "a new one")
            try lab.lab.delete(host: "h1")
            #expect(try stopped("198.18.1") == 1, "without us")
            #expect(try stopped("198.18.2") == 1, "without us")
            let values = try lab.shell(
                "h1",
                """
                cd /proc/sys/net/ipv4/conf
                for d in all default u0 x1 x2; do for s in rp_filter tag; do cat $d/$s; done; done
                """)
            #expect(values.split(separator: "\n") == ["1", "0", "0", "0", "0", "0", "0", "0", "0", "0"])
        }
    }
}
