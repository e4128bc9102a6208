import IPAddressing
import KernelDriver
import KernelModel
import Netlink
import TestSupport
import Testing

/// The ways to other hosts, as the kernel's routes have them.
@Suite(.timeLimit(minutes: 10)) struct PathTests {
    private static let near = "10.255.0.2"

    /// A host with its address on `lo` and the two ends of a cable that goes nowhere for uplinks.
    private func withUplinks(_ body: (Host) throws -> Void) throws {
        try withHost(guests: 0) { host, _ in
            try batch(
                host, "link set lo up", "link add e1 type veth peer name e2", "link set e1 up", "link set e2 up",
                "addr add 10.255.0.1/32 dev lo", "addr add 192.168.1.1/24 dev e1", "addr add 192.168.2.1/24 dev e2")
            try body(host)
        }
    }

    private func batch(_ host: Host, _ lines: String...) throws {
        for line in lines { try run("sh", "-c", "ip -n \(host.name) \(line)") }
    }

    private func request(_ host: Host, _ destinations: [String] = [Self.near]) throws -> ObservationRequest {
        var request = ObservationRequest(owner: owner)
        request.paths = PathRequest(from: try "10.255.0.1".address, to: try destinations.map { try $0.address })
        return request
    }

    private func path(_ host: Host) throws -> Path? { try host.driver.observe(try request(host)).host.paths.first }

    private func expect(_ host: Host, _ devices: [String], mtu: UInt32) throws {
        #expect(
            try path(host)
                == Path(destination: Self.near.address, devices: devices.map { try $0.device }, mtu: mtu))
    }

    @Test func everyKindOfRoute() throws {
        try withUplinks { host in
            #expect(try path(host) == nil)
            try batch(host, "route add 10.255.0.2/32 via 192.168.1.9")
            try expect(host, ["e1"], mtu: 1500)
            try batch(host, "link set e2 mtu 1400")
            try expect(host, ["e1"], mtu: 1500)
            // A metric of the route, and not more than the device can take.
            try batch(host, "route replace 10.255.0.2/32 via 192.168.1.9 mtu 1300")
            try expect(host, ["e1"], mtu: 1300)
            try batch(host, "route replace 10.255.0.2/32 via 192.168.1.9 mtu lock 9000")
            try expect(host, ["e1"], mtu: 1500)
            // Several nexthops, those of a device that is down among them.
            let multipath = "nexthop via 192.168.1.9 dev e1 nexthop via 192.168.2.9 dev e2"
            try batch(host, "route replace 10.255.0.2/32 \(multipath)")
            try expect(host, ["e1", "e2"], mtu: 1400)
            // The router's address may be of the other family: BGP without numbers.
            try batch(host, "route replace 10.255.0.2/32 via inet6 fe80::9 dev e2")
            try expect(host, ["e2"], mtu: 1400)
            // A shorter route serves as well; one that refuses does not.
            try batch(host, "route del 10.255.0.2/32", "route add 10.255.0.0/16 via 192.168.1.9")
            try expect(host, ["e1"], mtu: 1500)
            for kind in ["unreachable", "blackhole", "prohibit", "local"] {
                try batch(host, "route add \(kind) 10.255.0.2/32 \(kind == "local" ? "dev lo" : "")")
                #expect(try path(host) == nil, "\(kind)")
                try batch(host, "route del \(kind) 10.255.0.2/32 \(kind == "local" ? "table local" : "")")
            }
            // Rules are asked, also by the source.
            try batch(
                host, "route add 10.255.0.2/32 via 192.168.2.9 table 77", "rule add from 10.255.0.1 lookup 77 pref 50")
            try expect(host, ["e2"], mtu: 1400)
        }
    }

    /// Whether the kernel repeats in a route what its nexthop object is, or not.
    @Test(arguments: [0, 1]) func nexthopObjects(compatibility: Int) throws {
        try withUplinks { host in
            try run("ip", "netns", "exec", host.name, "sysctl", "-qw", "net.ipv4.nexthop_compat_mode=\(compatibility)")
            try batch(
                host, "nexthop add id 1 via 192.168.1.9 dev e1", "nexthop add id 2 via 192.168.2.9 dev e2",
                "nexthop add id 9 group 1/2", "nexthop add id 7 blackhole", "route add 10.255.0.2/32 nhid 1")
            try expect(host, ["e1"], mtu: 1500)
            try batch(host, "route replace 10.255.0.2/32 nhid 9 mtu 1450")
            try expect(host, ["e1", "e2"], mtu: 1450)
            try batch(host, "route replace 10.255.0.2/32 nhid 7")
            #expect(try path(host) == nil)
        }
    }

    /// More than one system call's worth, each answered by itself.
    @Test func manyDestinations() throws {
        try withUplinks { host in
            try batch(
                host, "route add 10.9.0.0/16 via 192.168.1.9", "route add 10.9.1.0/24 via 192.168.2.9",
                "route add unreachable 10.9.2.0/24")
            let destinations = (0..<300).map { "10.9.\($0 % 3).\($0 / 3 + 1)" }
            let paths = try host.driver.observe(try request(host, destinations)).host.paths
            #expect(paths.count == 200)
            for text in destinations {
                let address = try text.address
                let expected = text.hasPrefix("10.9.0.") ? "e1" : text.hasPrefix("10.9.1.") ? "e2" : nil
                #expect(paths.path(to: address)?.devices == (try expected.map { [try $0.device] }), "\(text)")
            }
        }
    }

    /// A routing daemon's other routes cost no question; what may change a way costs one per way.
    @Test func onlyWhatConcernsAWayIsAskedFor() throws {
        try withUplinks { host in
            try batch(host, "route add 10.255.0.0/16 via 192.168.1.9")
            let destinations = (2..<102).map { "10.255.0.\($0)" }
            var mirror = try KernelMirror(host.driver, try request(host, destinations))
            func asked(_ line: String) throws -> (questions: Int, kinds: Set<ObjectKind>) {
                try batch(host, line)
                let update = try mirror.update()
                // Beside the answers, one that says that whoever changes something has finished.
                return (max(update.objectsRead - 1, 0), update.kinds)
            }
            #expect(try asked("route add 10.254.0.0/16 via 192.168.2.9") == (0, []))
            #expect(try asked("route add 10.255.1.0/24 via 192.168.2.9") == (0, []))
            #expect(try asked("route add 10.255.0.7/32 via 192.168.2.9") == (1, [.route]))
            #expect(mirror.snapshot.host.paths.path(to: try "10.255.0.7".address)?.devices == [try "e2".device])
            // The same again changes nothing.
            #expect(try asked("route add 10.255.0.7/32 via 192.168.2.9 metric 77") == (1, []))
            #expect(try asked("route add 10.255.0.64/26 via 192.168.2.9") == (38, [.route]))
            #expect(try asked("rule add pref 50 lookup 77") == (100, [.rule]))
        }
    }

    /// What the kernel does to routes without a word when a device comes and goes.
    @Test func silentChangesAreNoticed() throws {
        try withUplinks { host in
            try batch(
                host, "route add 10.255.0.2/32 via 192.168.1.9", "route add 10.255.0.0/16 via 192.168.2.9",
                "link add d0 type veth peer name d1", "link set d1 up", "link set d0 up",
                "addr add 192.168.7.1/24 dev d0")
            var mirror = try KernelMirror(host.driver, try request(host))
            func expect(_ devices: [String], _ mtu: UInt32, after line: String) throws {
                try batch(host, line)
                _ = try mirror.update()
                let path = mirror.snapshot.host.paths.first
                #expect(path?.devices == (try devices.map { try $0.device }), "\(line)")
                #expect(path?.mtu == mtu, "\(line)")
                #expect(try mirror.snapshot.host.paths == host.driver.observe(try request(host)).host.paths)
            }
            try expect(["e1"], 1450, after: "link set e1 mtu 1450")
            try expect(["d0"], 1500, after: "route replace 10.255.0.2/32 via 192.168.7.9")
            // Its routes go with it.
            try expect(["e2"], 1500, after: "link set d0 down")
            // With an address go the routes that name it.
            try batch(host, "link set d0 up", "addr add 192.168.2.7/24 dev e2")
            try expect(["d0"], 1500, after: "route add 10.255.0.2/32 dev d0 src 192.168.2.7")
            try expect(["e2"], 1500, after: "addr del 192.168.2.7/24 dev e2")
            // A nexthop object is exchanged.
            try batch(host, "nexthop add id 1 via 192.168.1.9 dev e1", "route add 10.255.0.2/32 nhid 1")
            try expect(["d0"], 1500, after: "nexthop replace id 1 via 192.168.7.9 dev d0")
            try expect(["e2"], 1500, after: "link del d0")
        }
    }
}
