import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import NFTables
import TestSupport
import Testing

/// What is left when the kernel refuses one thing in the middle of everything: nothing, or what is known as ours.
@Suite(.timeLimit(minutes: 10)) struct HalfWayTests {
    private static let table = NFTable(.inet, "halfway")

    /// One of every kind that any kernel has.
    private func withEverything(_ body: (HalfWay) throws -> Void) throws {
        try withHost(guests: 2) { host, guests in
            try run("ip", "-n", host.name, "link", "set", "lo", "up")
            try run("ip", "-n", host.name, "link", "add", "tap0", "type", "veth", "peer", "name", "tap1")
            for tap in ["tap0", "tap1"] { try run("ip", "-n", host.name, "link", "set", tap, "up") }
            let bridge = try "b0".device
            host.sysctls = ["net/ipv4/fib_multipath_hash_policy"]
            host.intent.host.sysctls = [Attributed(Sysctl("net/ipv4/fib_multipath_hash_policy", "1"), from: .none)]
            host.add(Link(name: bridge, kind: .bridge, alias: "test:b0", mtu: 1400))
            try host.addPort("p1", guest: guests[0], master: bridge)
            try host.addPort("p2", guest: guests[0], device: "eth1")
            try host.addPort("p3", guest: guests[1])
            host.add(
                Link(
                    name: try "tap0".device, kind: .adopted, master: bridge, group: 10,
                    ipv4: IPv4DeviceConfiguration(proxyARP: true), proxyDelay: 0, ipv6Disabled: true))
            let table = TableID(1_000_001)
            let port = try "p2".device
            host.add(Address(device: port, address: try "10.0.1.1".address, prefixLength: 32))
            host.add(
                Neighbor(device: port, address: try "10.0.1.9".address, hardwareAddress: try "02:00:00:00:00:09".mac))
            host.add(Nexthop(id: NexthopID(101), body: .gateway(try "10.0.1.9".address, device: port)))
            let group = NexthopGroup(members: [.init(id: NexthopID(101), weight: 1)], algorithm: .hashThreshold)
            host.add(Nexthop(id: NexthopID(102), body: .group(group)))
            host.add(.via(NexthopID(102), Route.Key(table: table, destination: try "10.0.1.9/32".prefix)))
            host.add(.unreachable(Route.Key(table: table, destination: try "10.0.0.0/16".prefix)))
            // The rule for local addresses is moved, as the product does it.
            host.add(Rule(priority: 32765, action: .lookup(.local), routeProtocol: owner.routeProtocol))
            host.intent.host.displacedRules = [
                Rule(priority: 0, action: .lookup(.local), routeProtocol: .kernel)
            ]
            host.intent.host.firewall = [NFTableIntent(Self.table)]
            for (index, guest) in host.intent.guests.enumerated() {
                for (number, link) in guest.intent.links.enumerated() {
                    let address = IPAddress(v4: 0x0A00_0109 + UInt32(number))
                    let source = TableID(1_000_001 + UInt32(number))
                    host.intent.guests[index].intent.addresses.append(
                        Attributed(Address(device: link.object.name, address: address, prefixLength: 24), from: .none))
                    host.intent.guests[index].intent.routes.append(
                        Attributed(
                            .link(link.object.name, Route.Key(table: source, destination: try "10.0.1.0/24".prefix)),
                            from: .none))
                    host.intent.guests[index].intent.rules.append(
                        Attributed(
                            Rule(
                                priority: 10_000, source: IPPrefix(address), action: .lookup(source),
                                routeProtocol: owner.routeProtocol), from: .none))
                }
            }
            host.intent.normalize()
            try body(HalfWay(host, guests, firewall: [Self.table]))
        }
    }

    @Test func everyStepOfAnApplyFailsOnce() throws {
        try withEverything { world in
            let steps = try world.failAtEveryStepOfAnApply()
            #expect(steps > 40)
        }
    }

    @Test func everyStepOfARemovalFailsOnce() throws {
        try withEverything { world in
            let steps = try world.failAtEveryStepOfARemoval()
            #expect(steps > 15)
        }
    }
}
