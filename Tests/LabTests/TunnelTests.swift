import Dispatch
import Foundation
import Glibc
import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import Netlink
import Synchronization
import TestSupport
import Testing

/// Whether this kernel has what the tests here are about.
private let hasTunnels: Bool = {
    let made = try? withScratchNamespace { name, _ in
        try run("ip", "-n", name, "link", "add", "vrf1", "type", "vrf", "table", "7")
        return try run("ip", "-n", name, "link", "add", "g1", "type", "gre", "local", "192.0.2.1", "key", "7")
    }
    return made != nil
}()

/// The kinds of devices that not every kernel has.
@Suite(
    .enabled(if: hasTunnels, "this kernel has no GRE or VRF devices: run with scripts/lab.sh"), .timeLimit(minutes: 10))
struct TunnelTests {
    private static let underlayAddress = IPAddress(v4: 0xAC1F_0001)

    private func withUnderlay(guests: Int = 1, _ body: (inout Host, [String]) throws -> Void) throws {
        try withHost(guests: guests) { host, guests in
            try run("ip", "-n", host.name, "link", "add", "u0", "type", "veth", "peer", "name", "wire")
            try run("ip", "-n", host.name, "addr", "add", "172.31.0.1/24", "dev", "u0")
            for name in ["lo", "wire", "u0"] { try run("ip", "-n", host.name, "link", "set", name, "up") }
            try body(&host, guests)
        }
    }

    private func tunnel(_ name: String, key: UInt32, master: InterfaceName? = nil) throws -> Link {
        Link(
            name: try name.device,
            kind: .gre(GRETunnel(local: Self.underlayAddress, key: key, ttl: 64, underlay: try "u0".device)),
            alias: "test:vpc/blue", master: master, group: 20, mtu: 1472,
            ipv4: IPv4DeviceConfiguration(acceptLocal: true), ipv6Disabled: true)
    }

    private func vrf(_ name: String, table: UInt32) throws -> Link {
        Link(name: try name.device, kind: .vrf(table: TableID(table)), alias: "test:vpc/blue", group: 30)
    }

    private func external() throws -> Link {
        Link(
            name: try "gx".device, kind: .greExternal(underlay: try "u0".device), alias: "test:host/h1", group: 21,
            mtu: 1472, ipv4: IPv4DeviceConfiguration(), ipv6Disabled: true)
    }

    @Test func keyedTunnelInAVRF() throws {
        try withUnderlay { host, _ in
            host.add(try vrf("v1", table: 1_000_001))
            host.add(try tunnel("g101", key: 0x8000_0065, master: "v1".device))
            try host.converge()
            let text = try run("ip", "-n", host.name, "-d", "link", "show", "g101")
            #expect(text.contains("gre remote any local 172.31.0.1 dev u0 ttl 64"))
            #expect(text.contains("key 128.0.0.101"))
            #expect(text.contains("g101@u0"))
            #expect(text.contains("master v1"))
            #expect(text.contains("mtu 1472"))
            let device = try run("ip", "-n", host.name, "-d", "link", "show", "v1")
            #expect(device.contains("vrf table 1000001"))
            #expect(try host.driver.occupied([TableID(1_000_001), TableID(1_000_002)]) == [TableID(1_000_001)])
        }
    }

    @Test func externalTunnelKnowsItsUnderlay() throws {
        try withUnderlay { host, _ in
            host.add(try external())
            try host.converge()
            let text = try run("ip", "-n", host.name, "-d", "link", "show", "gx")
            #expect(text.contains("external"))
            // What ip(8) cannot set.
            #expect(text.contains("gx@u0"))
        }
    }

    @Test(arguments: [
        "link change g101 type gre local 172.31.0.1 key 102 ttl 64 dev u0",
        "link change g101 type gre local 172.31.0.1 key 101 ttl 63 dev u0",
        "link change g101 type gre local 172.31.0.9 key 101 ttl 64 dev u0",
        "link change g101 type gre local 172.31.0.1 ikey 101 okey 102 ttl 64 dev u0",
        "link change g101 type gre local 172.31.0.1 key 101 ttl 64 dev lo",
        "link set g101 nomaster", "link set g101 mtu 1400", "link del g101", "link del v1",
    ]) func tunnelsAreRepaired(command: String) throws {
        try withUnderlay { host, _ in
            host.add(try vrf("v1", table: 1_000_001))
            host.add(try tunnel("g101", key: 101, master: "v1".device))
            try host.converge()
            try run("sh", "-c", "ip -n \(host.name) \(command)")
            #expect(try !host.plan().isEmpty)
            try host.converge()
        }
    }

    /// Bound to another device, to none, and to a device again: the same devices, with all that hangs on them.
    @Test func tunnelsAreBoundAnewInPlace() throws {
        try withUnderlay { host, _ in
            host.add(try external())
            host.add(try tunnel("g101", key: 101))
            let encapsulation = GREEncapsulation(
                key: 101, source: Self.underlayAddress, destination: try "172.31.0.2".address, ttl: 64)
            host.add(Nexthop(id: NexthopID(7), body: .encapsulate(encapsulation, device: try "gx".device)))
            try host.converge()
            let indexes = try ["gx", "g101"].map { try ip(host.name, "link", "show", $0).first?["ifindex"] as? Int }
            for (number, device) in ["lo", "", "u0"].enumerated() {
                let underlay = try device.isEmpty ? InterfaceName.none : device.device
                host.intent.host.links = []
                var (external, tunnel) = (try external(), try tunnel("g101", key: 101))
                external.kind = .greExternal(underlay: underlay)
                tunnel.kind = .gre(GRETunnel(local: Self.underlayAddress, key: 101, ttl: 64, underlay: underlay))
                external.mtu = 1400 + UInt32(number)
                tunnel.mtu = external.mtu
                host.add(external)
                host.add(tunnel)
                let plan = try host.plan()
                #expect(plan.counts == .init(changed: 2))
                #expect(plan.operations.allSatisfy { $0.object.hasSuffix("set mtu,dev") }, "\(plan.operations)")
                try host.converge()
            }
            #expect(
                try ["gx", "g101"].map { try ip(host.name, "link", "show", $0).first?["ifindex"] as? Int } == indexes)
        }
    }

    @Test func aSecondDeviceOfOneKeyIsRefused() throws {
        try withUnderlay { host, _ in
            host.add(try tunnel("g101", key: 101))
            host.add(try tunnel("g102", key: 101))
            let report = host.driver.commit(try host.plan(), owner: owner)
            #expect(report.failures.map(\.operation.object.description).count == 1)
            #expect(
                report.failures.first?.reason == .refused(code: "EEXIST", message: "File exists", attribute: nil))
            #expect(try devices(host.name).filter { $0.hasPrefix("g") } == ["g101"])
        }
    }

    /// The objects of one host of the product, in two VPCs with one address range, made, read back, and removed.
    @Test func aWholeHost() throws {
        try withUnderlay(guests: 2) { host, guests in
            let gx = try external()
            host.add(gx)
            host.add(Address(device: gx.name, address: IPAddress(v4: 0xC000_0008), prefixLength: 32))
            for (number, guest) in guests.enumerated() {
                let vpc = UInt32(101 + number)
                let table = TableID(1_000_001 + UInt32(number))
                let context = try "v\(number)".device
                let port = try "p\(number)".device
                host.add(try vrf("v\(number)", table: table.rawValue))
                host.add(try tunnel("g\(vpc)", key: vpc, master: context))
                try host.addPort("p\(number)", guest: guest, master: context)
                host.add(Address(device: port, address: try "10.0.1.1".address, prefixLength: 32))
                host.add(
                    Neighbor(
                        device: port, address: try "10.0.1.10".address, hardwareAddress: try "02:00:0a:00:01:0a".mac))
                let remote = NexthopID(1_000_001 + UInt32(number) * 10)
                let gateway = NexthopID(remote.rawValue + 1)
                let group = NexthopID(remote.rawValue + 2)
                let encapsulation = GREEncapsulation(
                    key: vpc, source: Self.underlayAddress, destination: try "172.31.0.2".address, ttl: 64)
                host.add(Nexthop(id: remote, body: .encapsulate(encapsulation, device: gx.name)))
                host.add(Nexthop(id: gateway, body: .gateway(try "10.0.1.10".address, device: port)))
                host.add(
                    Nexthop(
                        id: group,
                        body: .group(
                            NexthopGroup(
                                members: [.init(id: remote, weight: 1), .init(id: gateway, weight: 3)],
                                algorithm: .resilient(buckets: 256, idleTimer: 6000)))))
                func key(_ prefix: String, metric: UInt32 = 0) throws -> Route.Key {
                    Route.Key(table: table, destination: try prefix.prefix, metric: metric)
                }
                host.add(.via(group, try key("0.0.0.0/0")))
                host.add(.unreachable(try key("0.0.0.0/0", metric: .max)))
                host.add(.unreachable(try key("10.0.0.0/16")))
                host.add(.link(port, try key("10.0.1.10/32")))
                host.add(.via(remote, try key("10.0.1.11/32")))
            }
            host.add(Rule(priority: 1000, l3mdev: true, action: .lookup(TableID(0)), routeProtocol: .kernel))
            host.add(Rule(priority: 1001, l3mdev: true, action: .unreachable, routeProtocol: owner.routeProtocol))
            host.add(Rule(priority: 32765, action: .lookup(.local), routeProtocol: owner.routeProtocol))
            host.intent.host.displacedRules = [Rule(priority: 0, action: .lookup(.local), routeProtocol: .kernel)]
            host.sysctls = ["net/ipv4/nexthop_compat_mode", "net/ipv4/ip_forward"]
            host.intent.host.sysctls = host.sysctls.map {
                Attributed(Sysctl($0, $0.hasSuffix("forward") ? "1" : "0"), from: Origin(7))
            }
            try host.converge()

            // The external device down: the kernel drops every nexthop and route that uses it, and says nothing.
            try run("ip", "-n", host.name, "link", "set", "gx", "down")
            try host.converge()
            // With the compatible mode the kernel also repeats what a nexthop is; that must not be mistaken.
            try run("ip", "netns", "exec", host.name, "sysctl", "-qw", "net.ipv4.nexthop_compat_mode=1")
            #expect(try host.plan().counts == .init(changed: 1))
            try host.converge()

            host.intent = KernelIntent()
            let report = try host.converge()
            #expect(report.failures.isEmpty)
            #expect(try devices(host.name) == ["u0", "wire"])
        }
    }

    @Test func manyTunnelsGoInOneMessage() throws {
        try withUnderlay { host, _ in
            for key in 1...100 { host.add(try tunnel("g\(key)", key: UInt32(key))) }
            #expect(try host.converge().applied.created == 100)
            host.intent = KernelIntent()
            let report = try host.converge()
            #expect(report.applied.deleted == 100)
            #expect(report.writes == 101)
        }
    }

    /// A bridge tells of its ports by messages of the same type; not every kernel's say which VLANs these are in.
    @Test func whoWaitsForAPortHearsOfBridges() throws {
        try withHost { host, _ in
            func ip(_ command: String) throws { try run("sh", "-c", "ip -n \(host.name) \(command)") }
            try ip("link add b0 type bridge")
            for port in ["p1", "p2"] { try ip("link add \(port) type veth peer name f\(port)") }
            try ip("link set p2 master b0")
            var plan = ChangePlan()
            plan.steps = [.init(.awaitOperational([try "p1".device]))]
            let (driver, waiting) = (host.driver, plan)
            let report = Mutex<CommitReport?>(nil)
            let ended = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                let made = driver.commit(waiting, owner: owner)
                report.withLock { $0 = made }
                ended.signal()
            }
            // Until it has heard of the port, which comes up when there has been much to hear of the other one.
            for round in 0... {
                let state = round.isMultiple(of: 2) ? "off" : "on"
                try run("bridge", "-n", host.name, "link", "set", "dev", "p2", "learning", state)
                if round == 50 { for end in ["p1", "fp1"] { try ip("link set \(end) up") } }
                if ended.wait(timeout: .now()) == .success { break }
            }
            #expect(report.withLock { $0 }?.failures == [])
        }
    }
}
