import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import Netlink
import TestSupport
import Testing

/// One state over another, at the first try.
@Suite(.timeLimit(minutes: 10)) struct TransitionTests {
    /// A port with an address of its own and a route to its guest, which has an address and a default route.
    private func add(
        _ port: String, _ guest: String, _ address: String, device: String = "eth0", to host: inout Host
    ) throws {
        try host.addPort(port, guest: guest, device: device)
        let (inside, address) = (try device.device, try address.address)
        host.add(Address(device: try port.device, address: try "10.0.1.1".address, prefixLength: 32))
        host.add(
            Neighbor(device: try port.device, address: address, hardwareAddress: try "02:00:0a:00:01:0a".mac))
        host.add(Nexthop(id: NexthopID(address.v4 & 0xFF), body: .gateway(address, device: try port.device)))
        host.add(.link(try port.device, Route.Key(table: TableID(77), destination: IPPrefix(address))))
        let index = try #require(host.intent.guests.firstIndex { $0.namespace.rawValue == guest })
        let count = host.intent.guests[index].intent.links.count
        host.intent.guests[index].intent.links[count - 1].object.promotesSecondaries = true
        host.intent.guests[index].intent.addresses.append(
            Attributed(Address(device: inside, address: address, prefixLength: 24), from: .none))
        let key = Route.Key(table: .main, destination: .defaultIPv4, metric: UInt32(count))
        host.intent.guests[index].intent.routes.append(
            Attributed(.gateway(try "10.0.1.1".address, device: inside, key), from: .none))
    }

    private func change(_ host: inout Host, _ body: (inout Host) throws -> Void) throws {
        host.intent = KernelIntent()
        host.guests = []
        try body(&host)
        try host.converge()
    }

    /// The guest's device stays, with all that the guest has put on it.
    @Test func aPairIsRenamed() throws {
        try withHost { host, guests in
            let guest = guests[0]
            try change(&host) { try add("p1", guest, "10.0.1.10", to: &$0) }
            try run("ip", "-n", guest, "addr", "add", "10.0.1.99/24", "dev", "eth0")
            try run("ip", "-n", guest, "addr", "add", "192.0.2.1/32", "dev", "eth0")
            try run("ip", "-n", guest, "route", "add", "203.0.113.0/24", "via", "10.0.1.7", "dev", "eth0")
            let before = try run("ip", "-n", guest, "-o", "addr", "show", "dev", "eth0")
            let routes = try run("ip", "-n", guest, "route", "show", "scope", "global")
            try change(&host) { try add("p2", guest, "10.0.1.10", to: &$0) }
            #expect(try devices(host.name) == ["p2"])
            #expect(try run("ip", "-n", guest, "-o", "addr", "show", "dev", "eth0") == before)
            #expect(try run("ip", "-n", guest, "route", "show", "scope", "global") == routes)
            // With another address at the same time.
            try change(&host) { try add("p3", guest, "10.0.1.20", to: &$0) }
            let list = try run("ip", "-n", guest, "-o", "addr", "show", "dev", "eth0")
            #expect(list.contains("10.0.1.20/24") && list.contains("10.0.1.99/24") && list.contains("192.0.2.1/32"))
            #expect(!list.contains("10.0.1.10/"))
            #expect(try run("ip", "-n", guest, "route", "show", "scope", "global") == routes)
        }
    }

    @Test func addressesAreExchanged() throws {
        try withHost(guests: 3) { host, guests in
            let addresses = ["10.0.1.10", "10.0.1.11", "10.0.1.12"]
            func apply(_ order: [Int]) throws {
                try change(&host) { host in
                    for (number, place) in order.enumerated() {
                        try add("p\(number)", guests[number], addresses[place], to: &host)
                    }
                }
            }
            try apply([0, 1, 2])
            for guest in guests {
                // As the kernel has it by itself, and as others would lose theirs by it.
                try run("ip", "-n", guest, "addr", "add", "10.0.1.200/24", "dev", "eth0")
                try run("ip", "-n", guest, "route", "add", "203.0.113.0/24", "via", "10.0.1.7", "dev", "eth0")
            }
            for order in [[1, 0, 2], [0, 2, 1], [2, 0, 1], [1, 2, 0]] {
                try apply(order)
                for (number, guest) in guests.enumerated() {
                    let list = try run("ip", "-n", guest, "-o", "addr", "show", "dev", "eth0")
                    #expect(list.contains(addresses[order[number]] + "/24") && list.contains("10.0.1.200/24"))
                    let routes = try run("ip", "-n", guest, "route")
                    #expect(routes.contains("default via 10.0.1.1") && routes.contains("203.0.113.0/24"))
                }
            }
        }
    }

    /// Names that go around, and guests that change places behind them.
    @Test(arguments: [
        [("p2", 0, "eth0"), ("p1", 1, "eth0")], [("p2", 0, "eth0"), ("p3", 1, "eth0")],
        [("p1", 1, "eth0"), ("p2", 0, "eth0")], [("p1", 0, "eth1"), ("p2", 1, "eth1")],
        [("p3", 1, "eth0"), ("p4", 0, "eth0")], [("p2", 0, "eth1"), ("p1", 0, "eth0")],
        [("p1", 1, "eth0"), ("p3", 0, "eth0")],
    ]) func namesGoAround(_ ports: [(String, Int, String)]) throws {
        try withHost(guests: 2) { host, guests in
            for _ in 0..<2 {
                try change(&host) { host in
                    try add("p1", guests[0], "10.0.1.10", to: &host)
                    try add("p2", guests[1], "10.0.1.11", to: &host)
                }
                try change(&host) { host in
                    for (number, port) in ports.enumerated() {
                        try add(port.0, guests[port.1], "10.0.1.1\(number)", device: port.2, to: &host)
                    }
                }
            }
        }
    }

    @Test func devicesOfAGuestAreExchanged() throws {
        try withHost { host, guests in
            for order in [["eth0", "eth1"], ["eth1", "eth0"], ["eth0", "eth1"]] {
                try change(&host) { host in
                    try add("p1", guests[0], "10.0.1.10", device: order[0], to: &host)
                    try add("p2", guests[0], "10.0.1.11", device: order[1], to: &host)
                }
            }
        }
    }

    /// A master that somebody made into something else is made anew, and its ports are enslaved again.
    @Test func aMasterIsMadeAnew() throws {
        try withHost { host, guests in
            let bridge = try "b0".device
            try change(&host) { host in
                host.add(Link(name: bridge, kind: .bridge, alias: "test:b0"))
                try host.addPort("p1", guest: guests[0], master: bridge)
            }
            try run("ip", "-n", host.name, "link", "del", "b0")
            try run("ip", "-n", host.name, "link", "add", "b0", "type", "veth", "peer", "name", "x0")
            try run("ip", "-n", host.name, "link", "set", "b0", "alias", "test:b0")
            try host.converge()
            #expect(try ip(host.name, "link", "show", "p1").first?["master"] as? String == "b0")
        }
    }
}
