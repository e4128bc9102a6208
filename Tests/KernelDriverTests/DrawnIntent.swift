import IPAddressing
import KernelModel
import KernelNames
import NFTables
import TestSupport

/// What a host may be wanted to hold, as a seed has it: objects of every kind, some of which cannot be had.
struct DrawnIntent {
    /// The names of the namespaces that its ports lead to.
    let guests: [String]
    let table: NFTable
    var dice: Dice

    private mutating func address() -> String {
        "10.\(dice.pick([7, 8, 9])).0.\(Int.random(in: 1...3, using: &dice))"
    }

    mutating func next() throws -> KernelIntent {
        var intent = KernelIntent()
        func add<Object: KernelObject>(_ object: Object, to list: inout [Attributed<Object>]) {
            if dice.happens(70), !list.contains(where: { $0.object.key == object.key }) {
                list.append(Attributed(object, from: Origin(1)))
            }
        }
        for (number, guest) in guests.enumerated() {
            let namespace = NamespaceName(guest)
            let peer = VethPeer(
                name: try "eth0".device, namespace: namespace, hardwareAddress: try "02:00:0a:00:01:0a".mac, mtu: 1400)
            let port = Link(
                name: try "p\(number)".device, kind: .veth(peer: peer),
                alias: "test:interface/p\(number) " + VethPeer.note(name: peer.name, namespace: namespace),
                group: UInt32.random(in: 10...11, using: &dice), mtu: 1400, isUp: dice.happens(90),
                ipv4: IPv4DeviceConfiguration(proxyARP: dice.happens(50), acceptLocal: dice.happens(50)),
                proxyDelay: dice.pick([0, 80]), ipv6Disabled: dice.happens(50))
            add(port, to: &intent.host.links)
            var inside = NamespaceIntent()
            inside.links = [
                Attributed(
                    Link(
                        name: peer.name, kind: .adopted, mtu: dice.pick([1300, 1400]), ipv6Disabled: dice.happens(50)),
                    from: Origin(1))
            ]
            add(
                Address(device: peer.name, address: try "10.7.0.9".address, prefixLength: 24), to: &inside.addresses)
            add(
                .gateway(
                    try "10.7.0.1".address, device: peer.name,
                    Route.Key(table: .main, destination: try "0.0.0.0/0".prefix)), to: &inside.routes)
            intent.guests.append(.init(namespace: namespace, intent: inside))
        }
        add(Link(name: try "b0".device, kind: .bridge, alias: "test:host/h1", group: 30), to: &intent.host.links)
        for _ in 0..<4 {
            let device = try dice.pick(["p0", "p1", "b0"]).device
            let table = TableID(dice.pick([1_000_001, 1_000_002]))
            add(
                Address(device: device, address: try address().address, prefixLength: 32), to: &intent.host.addresses)
            add(
                Neighbor(
                    device: device, address: try address().address, hardwareAddress: try "02:00:00:00:00:77".mac),
                to: &intent.host.neighbors)
            let id = NexthopID(dice.pick([101, 102, 103]))
            add(Nexthop(id: id, body: .gateway(try address().address, device: device)), to: &intent.host.nexthops)
            let members = [NexthopGroup.Member(id: id, weight: 1)]
            add(
                Nexthop(id: NexthopID(201), body: .group(.init(members: members, algorithm: .hashThreshold))),
                to: &intent.host.nexthops)
            let key = Route.Key(table: table, destination: try dice.pick(["10.1.0.1/32", "10.2.0.1/32"]).prefix)
            add(dice.pick([.via(id, key), .link(device, key), .blackhole(key)]), to: &intent.host.routes)
        }
        add(
            Rule(priority: 100, action: .lookup(TableID(100)), routeProtocol: owner.routeProtocol),
            to: &intent.host.rules)
        add(Sysctl("net/ipv4/ip_forward", dice.pick(["0", "1"])), to: &intent.host.sysctls)
        intent.host.firewall = [try drawnTable()]
        intent.normalize()
        return intent
    }

    private mutating func drawnTable() throws -> NFTableIntent {
        var table = NFTableIntent(self.table)
        table.counters = [NFCounter("c1")]
        var hosts = NFSet("hosts", of: .ipv4Address)
        var blocks = NFSet("blocks", of: .ipv4Address, isInterval: true)
        var boxes = NFSet("boxes", of: .ipv4Address, .internetService, isInterval: true)
        var verdicts = NFSet("verdicts", of: .interfaceName, to: .verdict)
        for number in 1...4 where dice.happens(60) {
            hosts.add(try address().address)
            blocks.add(try "10.\(number).0.0/16".prefix)
            boxes.add(try "10.\(number).0.0/16".prefix, NFPort(UInt16(number))...NFPort(90))
            verdicts.add(try "p\(number)".device, verdict: dice.pick([.drop, .jump("sub1")]))
        }
        table.sets = [hosts, blocks, boxes, verdicts]
        table.chain("in", NFBaseChain(.filter, .input, priority: 0)) { chain in
            for mark in 1...4 where dice.happens(60) { chain.rule(.match(.mark, NFMark(UInt32(mark))), .accept) }
            chain.rule(.match(.ipSource, in: "hosts"), .counter("c1"), .drop)
        }
        table.chain("sub1") { chain in
            if dice.happens(50) { chain.rule(.match(.ipSource, in: "blocks"), .drop) }
        }
        return table
    }
}
