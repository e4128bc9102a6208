import Foundation
import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import Netlink
import TestSupport
import Testing

@Suite(.timeLimit(minutes: 10)) struct RoutingTests {
    /// A host with a port that is up, with an external tunnel that runs on this kernel too: encapsulating nexthops are
    /// the same for every such device.
    private func withPort(_ body: (inout Host) throws -> Void) throws {
        try withHost { host, guests in
            try run("ip", "-n", host.name, "link", "set", "lo", "up")
            try run(
                "ip", "-n", host.name, "link", "add", "gx", "type", "vxlan", "external", "gpe", "dstport", "4790")
            try run("ip", "-n", host.name, "link", "set", "gx", "up")
            try host.addPort("p1", guest: guests[0])
            try body(&host)
        }
    }

    @Test func addresses() throws {
        try withPort { host in
            try run("ip", "-n", host.name, "addr", "add", "192.0.2.1/24", "dev", "lo")
            host.add(Address(device: try "p1".device, address: try "10.0.1.1".address, prefixLength: 32))
            host.add(Address(device: try "p1".device, address: try "10.0.2.1".address, prefixLength: 24))
            try host.converge()
            let list = try #require(
                try ip(host.name, "addr", "show", "dev", "p1").first?["addr_info"] as? [[String: Any]])
            #expect(list.compactMap { $0["local"] as? String } == ["10.0.1.1", "10.0.2.1"])
            #expect(
                try host.observe().host.foreignAddresses.filter { $0.address.family == .ipv4 }.map(\.description)
                    == ["address 127.0.0.1/8 dev lo", "address 192.0.2.1/24 dev lo"])
            #expect(try host.driver.localAddresses().contains(try "192.0.2.1".address))

            try run("ip", "-n", host.name, "addr", "del", "10.0.1.1/32", "dev", "p1")
            #expect(try host.plan().counts == .init(created: 1))
            try host.converge()
            host.intent.host.addresses = []
            #expect(try host.converge().applied == .init(deleted: 2))
            #expect(try host.driver.localAddresses().contains(try "192.0.2.1".address))
        }
    }

    @Test func neighbors() throws {
        try withPort { host in
            let guest = try "10.0.1.10".address
            host.add(Neighbor(device: try "p1".device, address: guest, hardwareAddress: try "02:00:0a:00:01:0a".mac))
            try host.converge()
            let entry = try #require(try ip(host.name, "neigh", "show", "dev", "p1").first)
            #expect(entry["lladdr"] as? String == "02:00:0a:00:01:0a")
            #expect(entry["state"] as? [String] == ["PERMANENT"])

            // In place, by somebody else: it keeps the protocol number.
            try run("ip", "-n", host.name, "neigh", "replace", "10.0.1.10", "lladdr", "02:00:00:00:00:09", "dev", "p1")
            try host.converge()
            // What the kernel learned by itself gives way.
            try run("ip", "-n", host.name, "neigh", "del", "10.0.1.10", "dev", "p1")
            try run(
                "ip", "-n", host.name, "neigh", "add", "10.0.1.10", "lladdr", "02:00:00:00:00:09", "dev", "p1", "nud",
                "reachable")
            try host.converge()
            try run("ip", "-n", host.name, "neigh", "add", "10.0.1.11", "lladdr", "02:00:00:00:00:09", "dev", "p1")
            host.intent.host.neighbors = []
            #expect(try host.converge().applied == .init(deleted: 1))
            #expect(try ip(host.name, "neigh", "show", "dev", "p1").count == 1)
        }
    }

    @Test func nexthopsAndGroups() throws {
        try withPort { host in
            try run("ip", "-n", host.name, "nexthop", "add", "id", "5", "blackhole")
            let (port, external) = (try "p1".device, try "gx".device)
            let tunnel = GREEncapsulation(
                key: 0x8000_0001, source: try "172.31.0.1".address, destination: try "172.31.0.2".address, ttl: 64)
            host.add(Nexthop(id: NexthopID(101), body: .encapsulate(tunnel, device: external)))
            host.add(Nexthop(id: NexthopID(102), body: .gateway(try "10.0.9.21".address, device: port)))
            let members = [
                NexthopGroup.Member(id: NexthopID(101), weight: 1), .init(id: NexthopID(102), weight: 256),
            ]
            let resilient = NexthopGroup(members: members, algorithm: .resilient(buckets: 256, idleTimer: 6000))
            host.add(Nexthop(id: NexthopID(201), body: .group(resilient)))
            host.add(
                Nexthop(id: NexthopID(202), body: .group(NexthopGroup(members: members, algorithm: .hashThreshold))))
            try host.converge()
            #expect(try host.observe().host.foreignNexthops == [NexthopID(5)])
            let text = try run("ip", "-n", host.name, "-d", "nexthop", "show", "id", "101")
            #expect(text.contains("encap ip id 2147483649 src 172.31.0.1 dst 172.31.0.2 ttl 64 tos 0 key"))
            #expect(text.contains("via 172.31.0.2 dev gx") && text.contains("onlink"))
            let group = try run("ip", "-n", host.name, "nexthop", "show", "id", "201")
            #expect(group.contains("group 101/102,256 type resilient buckets 256 idle_timer 60"))

            // Members and weights change in place.
            let fewer = NexthopGroup(
                members: [.init(id: NexthopID(101), weight: 3)], algorithm: .resilient(buckets: 256, idleTimer: 6000))
            host.intent.host.nexthops[2].object.body = .group(fewer)
            #expect(try host.converge().applied == .init(changed: 1))

            // Somebody else modifies ours in place, into what the model knows and into what it does not.
            try run(
                "ip", "-n", host.name, "nexthop", "replace", "id", "102", "via", "10.0.9.22", "dev", "p1", "onlink",
                "proto", "118")
            try host.converge()
            try run("ip", "-n", host.name, "nexthop", "replace", "id", "101", "dev", "p1", "proto", "118")
            try host.converge()
            // As it was made by versions that left a neighbour entry for every destination.
            try run(
                "ip", "-n", host.name, "nexthop", "replace", "id", "101", "encap", "ip", "id", "2147483649", "src",
                "172.31.0.1", "dst", "172.31.0.2", "ttl", "64", "key", "dev", "gx", "proto", "118")
            #expect(try host.converge().applied == .init(changed: 1))
            // A member that is deleted leaves its groups.
            try run("ip", "-n", host.name, "nexthop", "del", "id", "102")
            #expect(try host.converge().applied == .init(created: 1, changed: 1))

            host.intent.host.nexthops = []
            #expect(try host.converge().applied == .init(deleted: 4))
            #expect(try ip(host.name, "nexthop").count == 1)
        }
    }

    @Test func routesOfEveryKind() throws {
        try withPort { host in
            let port = try "p1".device
            let table = TableID(1_000_001)
            host.add(Nexthop(id: NexthopID(102), body: .gateway(try "10.0.9.21".address, device: port)))
            func key(_ prefix: String, metric: UInt32 = 0, table: TableID = table) throws -> Route.Key {
                Route.Key(table: table, destination: try prefix.prefix, metric: metric)
            }
            host.add(.via(NexthopID(102), try key("10.0.1.11/32")))
            host.add(.link(port, try key("10.0.1.12/32")))
            host.add(.unreachable(try key("10.0.0.0/16")))
            host.add(.blackhole(try key("192.168.66.0/24")))
            host.add(.via(NexthopID(102), try key("0.0.0.0/0")))
            host.add(.unreachable(try key("0.0.0.0/0", metric: .max)))
            // One address, several lengths: the kernel lists the longest first.
            host.add(.unreachable(try key("10.0.0.0/24")))
            host.add(.via(NexthopID(102), try key("10.0.0.0/32")))
            host.add(.link(port, try key("10.3.0.0/16", table: .main)))
            host.add(.gateway(try "10.3.0.1".address, device: port, try key("10.4.0.0/16", table: .main)))
            try run("ip", "-n", host.name, "route", "add", "unreachable", "10.99.0.0/16", "table", "1000001")
            try host.converge()
            let routes = try run("ip", "-n", host.name, "route", "show", "table", "1000001", "proto", "118")
            #expect(
                routes.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) } == [
                    "default nhid 102 via 10.0.9.21 dev p1 onlink",
                    "unreachable default metric 4294967295",
                    "10.0.0.0 nhid 102 via 10.0.9.21 dev p1 onlink",
                    "unreachable 10.0.0.0/24",
                    "unreachable 10.0.0.0/16",
                    "10.0.1.11 nhid 102 via 10.0.9.21 dev p1 onlink",
                    "10.0.1.12 dev p1 scope link",
                    "blackhole 192.168.66.0/24",
                ])
            #expect(try host.driver.occupied([table, TableID(77)]) == [table])
            let all = try host.observe().host.routes
            for guess in [1, 5000] {
                var request = ObservationRequest(owner: owner)
                request.likelyRoutes = guess
                #expect(try host.driver.observe(request).host.routes == all)
            }
            for one in [table, .main] {
                let ofTable = all.filter { $0.key.table == one }
                #expect(try !ofTable.isEmpty && host.driver.routes(in: one, of: owner) == ofTable)
            }
            #expect(try host.driver.routes(in: TableID(77), of: owner).isEmpty)

            // The guard behind a route that is already gone is not taken in its place.
            try run("ip", "-n", host.name, "route", "del", "default", "table", "1000001", "metric", "0")
            let plan = try host.plan()
            #expect(plan.counts == .init(created: 1))
            var stale = ChangePlan()
            let lost = Route.via(NexthopID(102), try key("0.0.0.0/0"))
            stale.steps = [.init(.routes(ChangeSet(deletions: [lost])))]
            #expect(host.driver.commit(stale, owner: owner).failures.isEmpty)
            #expect(try host.plan().counts == .init(created: 1))
            try host.converge()

            host.intent.host.routes = []
            #expect(try host.converge().applied == .init(deleted: 10))
            #expect(try ip(host.name, "route", "show", "table", "1000001").count == 1)
        }
    }

    @Test(arguments: [
        "replace 10.0.1.11/32 dev p1 scope link table 100 proto 118",
        "replace 10.0.1.11/32 dev p1 table 100 proto 118 mtu 1000",
        "replace blackhole 10.0.1.11/32 table 100 proto 118",
        "replace prohibit 10.0.1.11/32 table 100 proto 118",
        "del 10.0.1.11/32 table 100",
        "add 10.0.1.99/32 dev p1 table 100 proto 118",
        "append 10.0.1.11/32 dev p1 table 100 proto 118 metric 5",
    ]) func routesAreRepaired(command: String) throws {
        try withPort { host in
            host.add(Nexthop(id: NexthopID(102), body: .gateway(try "10.0.9.21".address, device: try "p1".device)))
            let key = Route.Key(table: TableID(100), destination: try "10.0.1.11/32".prefix)
            host.add(.via(NexthopID(102), key))
            try host.converge()
            try ipCommand(host.name, ["route"] + command.split(separator: " ").map(String.init))
            #expect(try host.plan().counts.total == 1)
            try host.converge()
        }
    }

    @Test func whatDisappearsWithADeviceIsMadeAgain() throws {
        try withPort { host in
            let port = try "p1".device
            host.add(Address(device: port, address: try "10.0.1.1".address, prefixLength: 32))
            host.add(
                Neighbor(device: port, address: try "10.0.1.10".address, hardwareAddress: try "02:00:0a:00:01:0a".mac))
            host.add(Nexthop(id: NexthopID(102), body: .gateway(try "10.0.9.21".address, device: port)))
            host.add(.via(NexthopID(102), Route.Key(table: TableID(100), destination: try "10.0.1.11/32".prefix)))
            host.add(.link(port, Route.Key(table: TableID(100), destination: try "10.0.1.12/32".prefix)))
            try host.converge()
            try run("ip", "-n", host.name, "link", "set", "p1", "down")
            try host.converge()
            try run("ip", "-n", host.name, "link", "del", "p1")
            try host.converge()
        }
    }

    @Test func rules() throws {
        try withPort { host in
            let source = try "10.0.1.10/32".prefix
            host.add(Rule(priority: 1001, l3mdev: true, action: .unreachable, routeProtocol: owner.routeProtocol))
            host.add(Rule(priority: 1000, l3mdev: true, action: .lookup(TableID(0)), routeProtocol: .kernel))
            host.add(Rule(priority: 32765, action: .lookup(.local), routeProtocol: owner.routeProtocol))
            host.add(
                Rule(
                    priority: 10_000, source: source, action: .lookup(TableID(1_000_001)),
                    routeProtocol: owner.routeProtocol))
            host.intent.host.displacedRules = [Rule(priority: 0, action: .lookup(.local), routeProtocol: .kernel)]
            // Foreign rules that only look like those: with a selector that the model does not know.
            try run("ip", "-n", host.name, "rule", "add", "pref", "1001", "l3mdev", "iif", "p9", "unreachable")
            try run("ip", "-n", host.name, "rule", "add", "pref", "0", "fwmark", "7", "lookup", "local")
            try host.converge()
            let text = try run("ip", "-n", host.name, "rule")
            #expect(
                text.split(separator: "\n").map { $0.replacing("\t", with: " ") } == [
                    "0: from all fwmark 0x7 lookup local",
                    "1000: from all lookup [l3mdev-table]",
                    "1001: from all iif p9 [detached] lookup [l3mdev-table] unreachable",
                    "1001: from all lookup [l3mdev-table] unreachable proto 118",
                    "10000: from 10.0.1.10 lookup 1000001 proto 118",
                    "32765: from all lookup local proto 118",
                    "32766: from all lookup main",
                    "32767: from all lookup default",
                ])
            #expect(try host.driver.occupied([TableID(1_000_001), TableID(5)]) == [TableID(1_000_001)])

            try run("ip", "-n", host.name, "rule", "del", "pref", "10000")
            try host.converge()
            host.intent.host.rules = []
            host.intent.host.displacedRules = []
            let report = try host.converge()
            #expect(report.applied == .init(deleted: 3))
        }
    }

    @Test func sysctls() throws {
        try withHost { host, _ in
            let wanted = [
                Sysctl("net/ipv4/ip_forward", "1"), Sysctl("net/ipv4/fib_multipath_hash_policy", "3"),
                Sysctl("net/ipv4/fib_multipath_hash_fields", "55"), Sysctl("net/no/such/parameter", "1"),
            ]
            host.sysctls = wanted.map(\.path)
            host.intent.host.sysctls = wanted.map { Attributed($0, from: Origin(7)) }
            let outside = try run("cat", "/proc/sys/net/ipv4/fib_multipath_hash_policy")
            #expect(try host.converge().writes == 3)
            #expect(
                try run("ip", "netns", "exec", host.name, "cat", "/proc/sys/net/ipv4/fib_multipath_hash_policy")
                    == "3\n")
            #expect(try run("cat", "/proc/sys/net/ipv4/fib_multipath_hash_policy") == outside)

            var broken = ChangePlan()
            let bad = Sysctl("net/ipv4/fib_multipath_hash_policy", "many")
            broken.steps = [.init(.sysctls(ChangeSet(replacements: [.init(old: bad, new: bad, origin: Origin(7))])))]
            let report = host.driver.commit(broken, owner: owner)
            #expect(report.failures.map(\.operation.origin) == [Origin(7)])
            #expect(report.applied.total == 0)
        }
    }

    @Test func failuresOfABatchFindTheirOrigin() throws {
        try withPort { host in
            let port = try "p1".device
            for number in 0..<1000 {
                let key = Route.Key(
                    table: TableID(100), destination: IPPrefix(IPAddress(v4: 0x0A00_0000 + UInt32(number))))
                let route: Route = number % 100 == 7 ? .via(NexthopID(4711), key) : .link(port, key)
                host.intent.host.routes.append(Attributed(route, from: Origin(UInt32(number))))
            }
            let report = host.driver.commit(try host.plan(), owner: owner)
            let failed: [UInt32] = report.failures.map(\.operation.origin.rawValue)
            #expect(failed == [7, 107, 207, 307, 407, 507, 607, 707, 807, 907])
            #expect(
                report.failures.first?.reason
                    == .refused(code: "EINVAL", message: "Nexthop id does not exist", attribute: nil))
            #expect(report.failures.first?.operation.object == "route 10.0.0.7/32 nhid 4711 table 100")
            #expect(report.applied.created == 2 + 990 - 1)
            #expect(try ip(host.name, "route", "show", "table", "100").count == 990)
        }
    }

    /// A plan whose ground was taken away before it was carried out fails so that another is made at once; what is wrong
    /// in itself does not.
    @Test func whatIsGoneIsToldFromWhatIsWrong() throws {
        try withPort { host in
            try host.converge()
            func failures(_ change: (inout Host) throws -> Void, when before: () throws -> Void = {}) throws
                -> [Bool]
            {
                var other = host
                try change(&other)
                let plan = try other.plan()
                try before()
                return host.driver.commit(plan, owner: owner).failures.map(\.reason.isInterference)
            }
            let key = Route.Key(table: TableID(100), destination: try "10.0.0.1/32".prefix)
            let gateway = Nexthop(id: NexthopID(101), body: .gateway(try "10.9.0.1".address, device: try "p1".device))
            let group = NexthopGroup(members: [.init(id: NexthopID(4711), weight: 1)], algorithm: .hashThreshold)
            let invalid = Nexthop(id: NexthopID(102), body: .gateway(try "0.0.0.0".address, device: try "p1".device))

            #expect(try failures { $0.add(.via(NexthopID(4711), key)) } == [true])
            #expect(try failures { $0.add(Nexthop(id: NexthopID(201), body: .group(group))) } == [true])
            #expect(try failures { $0.add(invalid) } == [false])
            let down = { _ = try run("ip", "-n", host.name, "link", "set", "p1", "down") }
            #expect(try failures({ $0.add(gateway) }, when: down) == [true])
            let delete = { _ = try run("ip", "-n", host.name, "link", "del", "p1") }
            let afterDeletion = try failures({ $0.add(gateway) }, when: delete)
            #expect(!afterDeletion.isEmpty && afterDeletion.allSatisfy { $0 })
        }
    }

    @Test func guestsAreConfigured() throws {
        try withHost { host, guests in
            try host.addPort("p1", guest: guests[0])
            try host.addPort("p2", guest: guests[0], device: "eth1")
            let device = try "eth0".device
            host.intent.guests[0].intent.addresses = [
                Attributed(Address(device: device, address: try "10.0.1.10".address, prefixLength: 24), from: Origin(2))
            ]
            host.intent.guests[0].intent.routes = [
                Attributed(
                    .gateway(
                        try "10.0.1.1".address, device: device, Route.Key(table: .main, destination: .defaultIPv4)),
                    from: Origin(2))
            ]
            host.intent.guests[0].intent.rules = [
                Attributed(
                    Rule(
                        priority: 10_000, source: try "10.0.1.10/32".prefix, action: .lookup(TableID(1_000_001)),
                        routeProtocol: owner.routeProtocol), from: Origin(2))
            ]
            try host.converge()
            let text = try run("ip", "-n", guests[0], "route")
            #expect(text.contains("default via 10.0.1.1 dev eth0 proto 118"))
            try run("ip", "-n", guests[0], "route", "del", "default")
            try run("ip", "-n", guests[0], "link", "set", "eth0", "mtu", "1200")
            #expect(try host.converge().applied == .init(created: 1, changed: 1))
        }
    }
}
