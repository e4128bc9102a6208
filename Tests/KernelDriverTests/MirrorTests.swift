import Foundation
import Glibc
import IPAddressing
import KernelModel
import KernelNames
import NFTables
import Netlink
import TestSupport
import Testing

@testable import KernelDriver

/// A mirror of a test's host.
private final class Mirrored {
    private let driver: KernelDriver
    private(set) var request: ObservationRequest
    private var mirror: KernelMirror

    init(_ host: Host, firewall: [NFTable] = [], receiveBuffer: Int = 8 << 20) throws {
        driver = host.driver
        request = ObservationRequest(owner: owner, sysctls: host.sysctls, guests: host.guests, firewall: firewall)
        mirror = try KernelMirror(driver, request, receiveBuffer: receiveBuffer)
    }

    var snapshot: KernelSnapshot { mirror.snapshot }

    func truth() throws -> KernelSnapshot { try driver.observe(request) }

    func update(after plan: ChangePlan? = nil) throws -> KernelMirror.Update { try mirror.update(after: plan) }
    func checkParameters() throws -> KernelMirror.Update { try mirror.checkParameters() }
    func checkLinks() throws -> KernelMirror.Update { try mirror.checkLinks() }
    func resynchronize() throws -> KernelMirror.Update { try mirror.resynchronize() }

    func follow(_ request: ObservationRequest) throws {
        self.request = request
        try mirror.follow(request)
    }

    func isReadable(within milliseconds: Int32 = 0) -> Bool {
        var request = pollfd(fd: mirror.fileDescriptor, events: Int16(POLLIN), revents: 0)
        return poll(&request, 1, milliseconds) > 0
    }

    /// Takes in what has come, and what the kernel tells of until the mirror shows what there is: carriers and the ends
    /// of namespaces take their time.
    @discardableResult
    func settle(sourceLocation: SourceLocation = #_sourceLocation) throws -> KernelMirror.Update {
        var sum = try mirror.update()
        while true {
            let truth = try truth()
            if mirror.snapshot == truth { return sum }
            guard isReadable(within: 5000) else {
                Issue.record(
                    "nobody told of \(truth.differences(from: mirror.snapshot))", sourceLocation: sourceLocation)
                return sum
            }
            let update = try mirror.update()
            sum.kinds.formUnion(update.kinds)
            sum.guests.formUnion(update.guests)
            sum.notifications += update.notifications
            sum.objectsRead += update.objectsRead
        }
    }
}

@Suite(.timeLimit(minutes: 10)) struct MirrorTests {
    private static let table = TableID(1_000_001)

    /// Routes that need no device.
    private func blackholes(_ count: Int, from first: UInt32 = 0x0A80_0000) -> [Attributed<Route>] {
        (0..<count).map { number in
            let prefix = IPPrefix(containing: IPAddress(v4: first + UInt32(number)), length: 32)
            return Attributed(.blackhole(Route.Key(table: Self.table, destination: prefix)), from: Origin(5))
        }
    }

    // MARK: What is read

    @Test func oneRouteAmongManyIsNotReadButHeard() throws {
        try withHost { host, _ in
            host.intent.host.routes = blackholes(20_000)
            try host.converge()
            let mirror = try Mirrored(host)
            #expect(mirror.snapshot.host.routes.count == 20_000)
            for command in [
                "replace unreachable 10.128.1.1 table 1000001 proto 118", "del blackhole 10.128.1.2 table 1000001",
                "add blackhole 10.64.0.1 table 1000001 proto 118", "add blackhole 10.64.0.2 table 1000001 proto static",
            ] {
                try run("sh", "-c", "ip -n \(host.name) route \(command)")
                let update = try mirror.settle()
                #expect(update.kinds == (command.contains("static") ? [] : [.route]))
                #expect(update.notifications == 1)
                #expect(update.objectsRead == 0)
            }
            // The driver's own changes come back in the same way, many at once.
            host.intent.host.routes = blackholes(10_000, from: 0x0A80_1000)
            let plan = try host.plan()
            #expect(host.driver.commit(plan, owner: owner).failures.isEmpty)
            let update = try mirror.update(after: plan)
            #expect(update.kinds == [.route])
            #expect(update.objectsRead == 0)
            #expect(mirror.snapshot.host.routes == host.intent.host.routes.map(\.object))
        }
    }

    /// The kernel flushes the routes of a device that goes down without telling of them.
    @Test func routesOfADeviceThatGoesDownAreReadAlone() throws {
        try withHost { host, guests in
            try run("ip", "-n", host.name, "link", "set", "lo", "up")
            try host.addPort("p1", guest: guests[0])
            let port = try "p1".device
            host.intent.host.routes = blackholes(20_000)
            for text in ["10.1.0.1/32", "10.1.0.2/32", "10.3.0.0/16"] {
                host.add(.link(port, Route.Key(table: Self.table, destination: try text.prefix)))
            }
            host.add(
                Neighbor(device: port, address: try "10.1.0.1".address, hardwareAddress: try "02:00:00:00:00:01".mac))
            try host.converge()
            let mirror = try Mirrored(host)
            #expect(mirror.snapshot.host.routes.count == 20_003)
            try run("ip", "-n", host.name, "link", "set", "p1", "down")
            let update = try mirror.settle()
            #expect(mirror.snapshot.host.routes.count == 20_000)
            #expect(mirror.snapshot.host.neighbors.isEmpty)
            #expect(update.kinds.isSuperset(of: [.link, .route, .neighbor]))
            #expect(update.objectsRead < 50)
        }
    }

    /// Who deletes a master tells of its ports one after the other; nobody is shown half of it.
    @Test func masterIsSeenToGoWithAllItsPorts() throws {
        try withHost { host, _ in
            let ports = (0..<200).map { "p\($0)" }
            let lines =
                ["link add br0 type bridge"]
                + ports.flatMap { ["link add \($0) type veth", "link set \($0) master br0", "link set \($0) up"] }
            try run("sh", "-c", "echo '\(lines.joined(separator: "\n"))' | ip -n \(host.name) -batch -")
            let mirror = try Mirrored(host)
            let bound = { mirror.snapshot.host.links.filter { $0.link.master != nil }.count }
            #expect(bound() == ports.count)
            let deletion = try Program(["ip", "-n", host.name, "link", "del", "br0"])
            while bound() == ports.count {
                try #require(mirror.isReadable(within: 5000))
                _ = try mirror.update()
            }
            #expect(bound() == 0)
            #expect(deletion.wait() == 0)
            try mirror.settle()
        }
    }

    /// So it does when the last address of a device goes.
    @Test func routesOfADeviceWithoutAddressesAreRead() throws {
        try withHost { host, guests in
            try host.addPort("p1", guest: guests[0])
            let port = try "p1".device
            host.add(Address(device: port, address: try "10.0.1.1".address, prefixLength: 32))
            host.add(.link(port, Route.Key(table: Self.table, destination: try "10.1.0.1/32".prefix)))
            try host.converge()
            let mirror = try Mirrored(host)
            try run("ip", "-n", host.name, "addr", "add", "10.0.2.1/32", "dev", "p1")
            try run("ip", "-n", host.name, "addr", "del", "10.0.1.1/32", "dev", "p1")
            try mirror.settle()
            #expect(mirror.snapshot.host.routes.count == 1)
            try run(
                "sh", "-c",
                "ip -n \(host.name) addr del 10.0.2.1/32 dev p1; ip -n \(host.name) addr add 10.0.3.1/32 dev p1")
            try mirror.settle()
            #expect(mirror.snapshot.host.routes.isEmpty)
        }
    }

    /// Nor does it tell of nexthops that go with the carrier, of groups that they leave, and of routes by both.
    @Test func nexthopsOfADeviceWithoutCarrierAreReadAlone() throws {
        try withHost { host, guests in
            try run("ip", "-n", host.name, "link", "set", "lo", "up")
            try host.addPort("p1", guest: guests[0])
            try host.addPort("p2", guest: guests[0], device: "eth1")
            let (one, two) = (NexthopID(101), NexthopID(102))
            host.add(Nexthop(id: one, body: .gateway(try "10.9.0.1".address, device: try "p1".device)))
            host.add(Nexthop(id: two, body: .gateway(try "10.9.0.2".address, device: try "p2".device)))
            for (id, members) in [(201, [one]), (202, [one, two])] {
                let members = members.map { NexthopGroup.Member(id: $0, weight: 1) }
                host.add(
                    Nexthop(
                        id: NexthopID(UInt32(id)),
                        body: .group(NexthopGroup(members: members, algorithm: .hashThreshold))))
            }
            host.intent.host.routes = blackholes(20_000)
            for (number, id) in [101, 102, 201, 202].enumerated() {
                let prefix = try "10.1.0.\(number)/32".prefix
                host.add(.via(NexthopID(UInt32(id)), Route.Key(table: Self.table, destination: prefix)))
            }
            try host.converge()
            let mirror = try Mirrored(host)
            try run("ip", "-n", guests[0], "link", "set", "eth0", "down")
            let update = try mirror.settle()
            #expect(mirror.snapshot.host.nexthops.map(\.id.rawValue) == [102, 202])
            #expect(
                mirror.snapshot.host.routes.compactMap { $0.nexthop == .none ? nil : $0.nexthop.rawValue } == [
                    102, 202,
                ])
            #expect(update.objectsRead < 50)

            // Announced, but not the routes.
            try run("ip", "-n", host.name, "nexthop", "del", "id", "102")
            let deletion = try mirror.settle()
            #expect(mirror.snapshot.host.nexthops.isEmpty)
            #expect(mirror.snapshot.host.routes.count == 20_000)
            // A carrier may be told of as late as now.
            #expect(deletion.objectsRead < 50)
        }
    }

    /// Two routes with one key: only reading tells which one a notification is about.
    @Test func severalRoutesOfOneKeyAreReadAsATable() throws {
        try withHost { host, guests in
            try run("ip", "-n", host.name, "link", "set", "lo", "up")
            host.intent.host.routes = blackholes(1000)
            try host.converge()
            let mirror = try Mirrored(host)
            for command in [
                "add unreachable 10.1.0.1 table 77 proto 118", "append blackhole 10.1.0.1 table 77 proto 118",
                "prepend prohibit 10.1.0.1 table 77 proto static", "replace blackhole 10.1.0.1 table 77 proto static",
                "del unreachable 10.1.0.1 table 77", "del blackhole 10.1.0.1 table 77",
                "del blackhole 10.1.0.1 table 77",
            ] {
                try run("sh", "-c", "ip -n \(host.name) route \(command)")
                let update = try mirror.settle()
                #expect(update.objectsRead < 20, "\(command)")
            }
            #expect(mirror.snapshot.host.routes.count == 1000)
        }
    }

    // MARK: Guests

    @Test func namespacesComeAndGo() throws {
        try withHost(guests: 1) { host, _ in
            let guest = host.name + "-late"
            host.guests = [NamespaceName(guest)]
            defer { try? NetworkNamespace.remove(named: guest) }
            let mirror = try Mirrored(host)
            #expect(mirror.snapshot.guests.isEmpty)

            try run("ip", "netns", "add", guest)
            #expect(mirror.isReadable(within: 5000))
            #expect(try mirror.settle().guests == [NamespaceName(guest)])
            #expect(mirror.snapshot.guests.count == 1)
            try run("ip", "-n", guest, "link", "add", "b1", "type", "bridge")
            try run("ip", "-n", guest, "link", "set", "lo", "up")
            let change = try mirror.settle()
            #expect(change.guests == [NamespaceName(guest)])
            #expect(change.kinds.isEmpty)

            // Another one under the same name.
            try run("sh", "-c", "ip netns del \(guest) && ip netns add \(guest)")
            try mirror.settle()
            let links = try #require(mirror.snapshot.guests[NamespaceName(guest)]).links
            #expect(!links.contains { $0.link.name == InterfaceName("b1") })
            try run("ip", "netns", "del", guest)
            #expect(mirror.isReadable(within: 5000))
            #expect(try mirror.settle().guests == [NamespaceName(guest)])
            #expect(mirror.snapshot.guests.isEmpty)
        }
    }

    /// Our listening does not keep a namespace that has lost its name, nor the pair that ends in it.
    @Test func aNamespaceThatWasRemovedEnds() throws {
        try withHost(guests: 1) { host, _ in
            let guest = host.name + "-short"
            try NetworkNamespace.create(named: guest)
            try host.addPort("p1", guest: guest)
            try host.converge()
            let mirror = try Mirrored(host)
            #expect(mirror.snapshot.host.link(named: try "p1".device) != nil)
            try NetworkNamespace.remove(named: guest)
            while mirror.snapshot.host.link(named: try "p1".device) != nil {
                try #require(mirror.isReadable(within: 10_000))
                _ = try mirror.update()
            }
            try mirror.settle()
        }
    }

    /// A file under the name is no namespace until one is mounted on it, of which inotify does not tell.
    @Test func aNamespaceIsThereWhenItIsMounted() throws {
        try withHost { host, guests in
            let name = host.name + "-mount"
            let path = "\(NetworkNamespace.directory)/\(name)"
            host.guests = [NamespaceName(name)]
            let mirror = try Mirrored(host)
            defer { try? NetworkNamespace.remove(named: name) }
            try run("touch", path)
            try mirror.settle()
            #expect(mirror.snapshot.guests.isEmpty)
            // Now only the mount can tell.
            #expect(try mirror.update().isEmpty)
            try run("mount", "--bind", "\(NetworkNamespace.directory)/\(guests[0])", path)
            #expect(mirror.isReadable(within: 5000))
            try mirror.settle()
            #expect(mirror.snapshot.guests.count == 1)
            try run("ip", "-n", guests[0], "link", "set", "lo", "up")
            #expect(try mirror.settle().guests == [NamespaceName(name)])
        }
    }

    @Test func aliasesOfOurPairsNameGuests() throws {
        try withHost { host, guests in
            try host.addPort("p1", guest: guests[0])
            host.guests = []
            let mirror = try Mirrored(host)
            #expect(mirror.snapshot.guests.isEmpty)
            var request = host
            request.guests = [NamespaceName(guests[0])]
            let plan = try request.plan()
            #expect(host.driver.commit(plan, owner: owner).failures.isEmpty)
            _ = try mirror.update(after: plan)
            #expect(try mirror.snapshot == mirror.truth())
            #expect(mirror.snapshot.guests.count == 1)
            try run("ip", "-n", host.name, "link", "set", "p1", "alias", "theirs")
            try mirror.settle()
            #expect(mirror.snapshot.guests.isEmpty)
        }
    }

    // MARK: nf_tables

    @Test func elementsAndRulesAreHeardAndNotRead() throws {
        try withHost(guests: 0) { host, _ in
            var table = FirewallTables.router
            for number in 0..<5000 { table[set: "vteps"].add(IPAddress(v4: 0xAC20_0000 + UInt32(number))) }
            let tables = [table.table]
            var firewall = try FirewallDriver(in: host.namespace)
            try firewall.apply(table)
            let mirror = try Mirrored(host, firewall: tables)
            let scratch = FirewallScratch(name: host.name, namespace: host.namespace)
            let counted = mirror.snapshot.host.firewall.table(table.table)?.chains.first?.rules.count ?? 0
            for command in [
                "add element inet probe vteps { 192.0.2.1 }", "delete element inet probe vteps { 172.32.0.7 }",
                "add element inet probe acl_out { v9 : jump sub1_o }",
                "add element inet probe blocks { 10.9.0.0/16, 10.11.0.0-10.12.0.7 }",
                "delete element inet probe blocks { 240.0.0.0-255.255.255.255 }",
                "add element inet probe sg1_in { 10.0.0.0/8 . tcp . 1-99 }", "flush set inet probe vteps",
                "add rule inet probe raw_pre counter", "insert rule inet probe raw_pre counter",
                "add chain inet probe more", "add rule inet probe more ip saddr { 10.0.0.1, 10.0.0.2 } drop",
                "flush chain inet probe more", "delete chain inet probe more",
                "add counter inet probe c_more", "delete counter inet probe c_more",
                "add set inet probe more { type mark; }", "add element inet probe more { 1, 2, 3 }",
                "delete set inet probe more",
            ] {
                try scratch.nft(command)
                let update = try mirror.settle()
                #expect(update.kinds == [.firewall], "\(command)")
                #expect(update.objectsRead == 0, "\(command)")
            }
            #expect(mirror.snapshot.host.firewall.table(table.table)?.chains.first?.rules.count == counted)

            // Somebody else's table costs nothing but the number.
            let before = mirror.snapshot.host.firewall
            try scratch.nft("add table ip theirs { set s { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }; }; }")
            let foreign = try mirror.settle()
            #expect(foreign.isEmpty)
            #expect(foreign.objectsRead == 0)
            #expect(mirror.snapshot.host.firewall.generation == before.generation &+ 1)

            // The driver's own transaction, and the end of it all.
            let changes = try firewall.apply(table)
            #expect(!changes.isEmpty)
            #expect(try mirror.settle().objectsRead == 0)
            try scratch.nft("flush ruleset")
            #expect(try mirror.settle().objectsRead == 0)
            #expect(mirror.snapshot.host.firewall.tables.isEmpty)
        }
    }

    /// What elements of ours never are is read, the rest of the table is not.
    @Test func anOddElementCostsItsSet() throws {
        try withHost(guests: 0) { host, _ in
            var table = FirewallTables.router
            for number in 0..<5000 { table[set: "vteps"].add(IPAddress(v4: 0xAC20_0000 + UInt32(number))) }
            let tables = [table.table]
            var firewall = try FirewallDriver(in: host.namespace)
            try firewall.apply(table)
            let mirror = try Mirrored(host, firewall: tables)
            let scratch = FirewallScratch(name: host.name, namespace: host.namespace)
            func isIrregular(_ name: String) -> Bool? {
                mirror.snapshot.host.firewall.table(table.table)?.sets.first { $0.name == name }?.isIrregular
            }
            try scratch.nft("add element inet probe hairpin { * }")
            let update = try mirror.settle()
            #expect((1..<50).contains(update.objectsRead))
            #expect(isIrregular("hairpin") == true)
            try scratch.nft("delete element inet probe hairpin { * }")
            try mirror.settle()
            #expect(isIrregular("hairpin") == false)
        }
    }

    /// A chain at a device's ingress loses the device, and in older kernels goes with it, without a word.
    @Test func chainsOfDevicesAreReadWhenTheDeviceGoes() throws {
        try withHost(guests: 0) { host, _ in
            let scratch = FirewallScratch(name: host.name, namespace: host.namespace)
            let tables = [NFTable(.netdev, "edge")]
            for name in ["v1", "v2"] {
                try run("ip", "-n", host.name, "link", "add", name, "type", "veth", "peer", "name", name + "x")
            }
            try scratch.nft(
                """
                table netdev edge {
                    chain both { type filter hook ingress devices = { v1, v2 } priority 0; }
                    chain one { type filter hook ingress device "v1" priority 1; }
                }
                """)
            let mirror = try Mirrored(host, firewall: tables)
            #expect(mirror.snapshot.host.firewall.tables.first?.chains.count == 2)
            try run("ip", "-n", host.name, "link", "del", "v1")
            try mirror.settle()
            try run("ip", "-n", host.name, "link", "set", "v2", "name", "v3")
            try mirror.settle()
        }
    }

    // MARK: Silence and noise

    @Test func whatNobodyTellsOfIsLookedAt() throws {
        try withHost { host, guests in
            host.sysctls = ["net/ipv4/conf/all/rp_filter", "net/ipv4/ip_forward", "net/ipv4/fib_multipath_hash_policy"]
            for name in [host.name, guests[0]] { try MirrorWorld.quiet(name) }
            try host.addPort("p1", guest: guests[0])
            try host.converge()
            let mirror = try Mirrored(host)
            try mirror.settle()
            func write(_ place: String, _ setting: String, _ value: Int) throws {
                try run("ip", "netns", "exec", place, "sh", "-c", "echo \(value) >/proc/sys/net/\(setting)")
            }
            // What is for all devices is told of as on one.
            for parameter in ["ip_forward", "conf/all/rp_filter"] {
                let value = try run("ip", "netns", "exec", host.name, "cat", "/proc/sys/net/ipv4/\(parameter)")
                try write(host.name, "ipv4/\(parameter)", value == "1\n" ? 0 : 1)
                #expect(try mirror.update().kinds.contains(.sysctl), "\(parameter)")
                #expect(try mirror.snapshot == mirror.truth())
            }
            try write(host.name, "ipv4/fib_multipath_hash_policy", 1)
            #expect(try mirror.update().isEmpty)
            #expect(try mirror.checkParameters().kinds == [.sysctl])
            #expect(try mirror.snapshot == mirror.truth())
            #expect(try mirror.checkParameters().isEmpty)

            try write(host.name, "ipv4/conf/p1/proxy_arp", 0)
            #expect(try mirror.settle().kinds == [.link])
            try write(host.name, "ipv4/conf/p1/accept_local", 0)
            try run("ip", "-n", host.name, "ntable", "change", "name", "arp_cache", "dev", "p1", "proxy_delay", "500")
            let silence = try mirror.update()
            #expect(silence.isEmpty && silence.notifications == 0)
            let update = try mirror.checkLinks()
            #expect(update.kinds == [.link])
            #expect(try mirror.snapshot == mirror.truth())
            #expect(try mirror.checkLinks().isEmpty)

            // Of what a plan changes in silence the mirror knows.
            let plan = try host.plan()
            #expect(plan.counts.total == 1)
            _ = host.driver.commit(plan, owner: owner)
            _ = try mirror.update(after: plan)
            #expect(try mirror.snapshot == mirror.truth())
        }
    }

    /// What happens elsewhere is nothing to us. (Other tests' namespaces have names, which may wake us here.)
    @Test func nothingIsHeardOfOthers() throws {
        try withHost { host, guests in
            for name in [host.name, guests[0]] { try MirrorWorld.quiet(name) }
            try host.addPort("p1", guest: guests[0])
            try host.converge()
            let mirror = try Mirrored(host, firewall: [FirewallTables.table])
            try mirror.settle()
            try withScratchNamespace { name, namespace in
                #expect(mirror.isReadable(within: 5000))
                try run("ip", "-n", name, "link", "set", "lo", "up")
                try run("ip", "-n", name, "route", "add", "blackhole", "10.0.0.1", "proto", "118")
                var firewall = try FirewallDriver(in: namespace)
                try firewall.apply(FirewallTables.router)
                let update = try mirror.update()
                #expect(update.isEmpty)
                #expect(update.objectsRead == 0)
            }
        }
    }

    // MARK: Too much at once

    @Test func aBurstThatOverrunsIsRecoveredFrom() throws {
        try withHost(guests: 0) { host, _ in
            let mirror = try Mirrored(host, receiveBuffer: 1 << 20)
            host.intent.host.routes = blackholes(50_000)
            try host.converge()
            let update = try mirror.update()
            #expect(update.wasOverrun)
            #expect(update.kinds.contains(.route))
            #expect(update.objectsRead >= 50_000)
            #expect(try mirror.snapshot == mirror.truth())
            // From then on as before.
            try run("sh", "-c", "ip -n \(host.name) route del blackhole 10.128.0.7 table 1000001")
            let next = try mirror.update()
            #expect(!next.wasOverrun)
            #expect(next.objectsRead == 0)
            #expect(mirror.snapshot.host.routes.count == 49_999)
        }
    }

    @Test func anOverrunOfTheFirewallIsRecoveredFrom() throws {
        try withHost(guests: 0) { host, _ in
            let tables = [FirewallTables.table]
            let mirror = try Mirrored(host, firewall: tables, receiveBuffer: 64 << 10)
            var table = FirewallTables.router
            for number in 0..<10_000 { table[set: "vteps"].add(IPAddress(v4: 0xAC20_0000 + UInt32(number))) }
            var firewall = try FirewallDriver(in: host.namespace)
            try firewall.apply(table)
            #expect(try mirror.update().wasOverrun)
            try mirror.settle()
            try FirewallScratch(name: host.name, namespace: host.namespace).nft(
                "delete element inet probe vteps { 172.32.0.7 }")
            #expect(try mirror.settle().objectsRead == 0)
        }
    }

    /// Notifications that are older than what was read do no harm, however much happens meanwhile.
    @Test func readingAndHearingMayOverlap() throws {
        try withHost { host, guests in
            let tables = [NFTable(.inet, "probe")]
            try run("ip", "-n", host.name, "link", "set", "lo", "up")
            let script = host.name + "-churn.sh"
            let lines = """
                link add v0 type veth peer name v0x
                link set v0 up
                link set v0x up
                addr add 10.7.0.1/24 dev v0
                nexthop add id 101 via 10.7.0.9 dev v0 onlink proto 118
                nexthop add id 201 group 101 proto 118
                route add 10.1.0.1 dev v0 table 1000001 proto 118
                route add 10.1.0.2 nhid 101 table 1000001 proto 118
                route add 10.1.0.3 nhid 201 table 1000001 proto 118
                neigh add 10.7.0.9 dev v0 lladdr 02:00:00:00:00:01 nud permanent protocol 118
                rule add pref 100 lookup 100 protocol 118
                link set v0 down
                link set v0 up
                route add 10.1.0.1 dev v0 table 1000001 proto 118
                route append blackhole 10.1.0.1 table 1000001 proto 118
                addr flush dev v0
                rule del pref 100 lookup 100 protocol 118
                link del v0
                """
            let commands =
                "for i in $(seq 40); do ip -n \(host.name) -force -batch - <<'E'\n\(lines)\nE\n"
                + "ip netns exec \(host.name) nft 'add table inet probe; add set inet probe s { type ipv4_addr; };"
                + " add element inet probe s { 10.0.0.1, 10.0.0.2 }; add chain inet probe c;"
                + " add rule inet probe c ip saddr @s drop'\n"
                + "ip netns exec \(host.name) nft 'delete element inet probe s { 10.0.0.1 };"
                + " insert rule inet probe c accept; flush chain inet probe c; delete table inet probe'; done"
            try Data(commands.utf8).write(to: URL(fileURLWithPath: "/tmp/\(script)"))
            defer { try? FileManager.default.removeItem(atPath: "/tmp/\(script)") }
            let mirror = try Mirrored(host, firewall: tables)
            let churn = try Program(["/bin/sh", "/tmp/\(script)"])
            var updates = 0
            while churn.isRunning {
                _ = mirror.isReadable(within: 10)
                // Reading everything anew in between is the hardest: all that waits is older.
                _ = updates % 7 == 0 ? try mirror.resynchronize() : try mirror.update()
                updates += 1
            }
            try mirror.settle()
            #expect(updates > 100)
        }
    }

    // MARK: Another request

    @Test func anotherRequestIsFollowed() throws {
        try withHost { host, guests in
            let mirror = try Mirrored(host)
            var firewall = try FirewallDriver(in: host.namespace)
            try firewall.apply(FirewallTables.router)
            host.sysctls = ["net/ipv4/ip_forward"]
            host.guests = [NamespaceName(guests[0])]
            let tables = [FirewallTables.table]
            let request = ObservationRequest(
                owner: owner, sysctls: host.sysctls, guests: host.guests, firewall: tables)
            try mirror.follow(request)
            #expect(try mirror.snapshot == mirror.truth())
            let update = try mirror.settle()
            #expect(update.kinds.isSuperset(of: [.sysctl, .firewall]))
            #expect(update.guests == Set(host.guests))

            // Others' objects become ours, and ours others'.
            try run("ip", "-n", host.name, "link", "set", "lo", "up")
            try run("ip", "-n", host.name, "nexthop", "add", "id", "7", "blackhole", "proto", "99")
            var other = request
            other.owner = Ownership(routeProtocol: RouteProtocol(99), aliasPrefix: "test:")
            try mirror.follow(other)
            #expect(try mirror.snapshot == mirror.truth())
            #expect(mirror.snapshot.host.nexthops.count == 1)
            try mirror.follow(ObservationRequest(owner: owner))
            #expect(try mirror.snapshot == mirror.truth())
        }
    }
}
