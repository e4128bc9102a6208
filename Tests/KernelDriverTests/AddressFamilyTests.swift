import CLinux
import IPAddressing
import KernelModel
import KernelNames
import TestSupport
import Testing

@testable import KernelDriver
@testable import Netlink

/// What the kernel has made of IPv6 routes and nexthops is what was asked for.
@Suite(.timeLimit(minutes: 10)) struct AddressFamilyTests {
    private func withDevice(_ body: (String, NetworkNamespace, UInt32, DeviceNames) throws -> Void) throws {
        try withScratchNamespace { name, namespace in
            try run("ip", "-n", name, "link", "set", "lo", "up")
            try run("ip", "-n", name, "link", "add", "p1", "type", "veth", "peer", "name", "p2")
            for device in ["p1", "p2"] {
                try run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.\(device).disable_ipv6=0")
                try run("ip", "-n", name, "link", "set", device, "up")
            }
            let index = try #require(try ip(name, "link", "show", "p1").first?["ifindex"] as? Int)
            var socket = try NetlinkSocket(in: namespace)
            try body(name, namespace, UInt32(index), DeviceNames(socket.links()))
        }
    }

    @Test func routesAreReadAsTheyWereWritten() throws {
        try withDevice { name, namespace, index, names in
            let port = try "p1".device
            func key(_ prefix: String, metric: UInt32 = 0) throws -> Route.Key {
                Route.Key(table: TableID(1_000_001), destination: try prefix.prefix, metric: metric)
            }
            var socket = try NetlinkSocket(in: namespace)
            let nexthop = Nexthop(id: NexthopID(102), body: .gateway(try "fe80::2".address, device: port))
            try socket.modify { nexthop.encode([.create, .exclusive], index: index, owner, into: &$0) }
            let routes: [Route] = [
                .gateway(try "fe80::1".address, device: port, try key("::/0")),
                .unreachable(try key("::/0", metric: .max)),
                .unreachable(try key("2001:db8:1::/56")),
                .link(port, try key("2001:db8:1:1::9/128")),
                .via(NexthopID(102), try key("2001:db8:1:1::a/128")),
                .blackhole(try key("2001:db8:66::/48")),
            ]
            for route in routes {
                let device = route.device.isNone ? 0 : index
                try socket.modify { route.encode([.create, .replace], index: device, owner.routeProtocol, into: &$0) }
            }
            #expect(try socket.routes(owner.routeProtocol, names, family: .ipv6) == routes)
            #expect(try socket.routes(owner.routeProtocol, names) == [])

            // What a route has no room for is told as something that nobody wants.
            try run(
                "ip", "-n", name, "-6", "route", "replace", "2001:db8:1:1::9", "via", "2001:db8::5", "dev", "p1",
                "onlink", "table", "1000001", "metric", "1024", "proto", "118")
            let changed = try socket.routes(owner.routeProtocol, names, family: .ipv6)
            #expect(changed[3].key == routes[3].key && changed[3].device.isNone && changed[3].gateway == nil)

            for route in routes { try socket.modify { route.encodeDeletion(owner.routeProtocol, into: &$0) } }
            #expect(try socket.routes(owner.routeProtocol, names, family: .ipv6) == [])
        }
    }

    /// The same tunnel, once for the packets of each family.
    @Test func nexthopsAreOfTheFamilyOfWhatTheyCarry() throws {
        try withDevice { name, namespace, index, names in
            let port = try "p1".device
            var tunnel = GREEncapsulation(
                key: 101, source: try "172.31.0.1".address, destination: try "172.31.0.2".address, ttl: 64)
            let narrow = Nexthop(id: NexthopID(1), body: .encapsulate(tunnel, device: port))
            tunnel.payload = .ipv6
            let wide = Nexthop(id: NexthopID(2), body: .encapsulate(tunnel, device: port))
            #expect(narrow != wide)
            var socket = try NetlinkSocket(in: namespace)
            for nexthop in [narrow, wide] {
                try socket.modify { nexthop.encode([.create, .exclusive], index: index, owner, into: &$0) }
            }
            #expect(try socket.nexthops().map { $0.nexthop(names) } == [narrow, wide])

            let key = Route.Key(table: .main, destination: try "2001:db8::b/128".prefix)
            func add(_ id: NexthopID) throws {
                try socket.modify { Route.via(id, key).encode([.create], index: 0, owner.routeProtocol, into: &$0) }
            }
            #expect(throws: NetlinkError.self) { try add(narrow.id) }
            try add(wide.id)
            #expect(try socket.routes(owner.routeProtocol, names, family: .ipv6) == [.via(wide.id, key)])
        }
    }
}
