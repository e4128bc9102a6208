import IPAddressing
import KernelNames
import TestSupport
import Testing

@testable import KernelModel

private let owner = Ownership(routeProtocol: RouteProtocol(99), aliasPrefix: "test:")

private func name(_ text: String) -> InterfaceName { InterfaceName(text)! }
private func made<Object>(_ object: Object) -> Attributed<Object> { Attributed(object, from: Origin(7)) }

/// A port of a guest: its pair, its neighbour, a nexthop and a route.
private struct Port {
    var name: String
    var namespace = "web"
    var device = "eth0"
    var address: UInt32 = 0x0A00_0109
    var master = "v1"
    var nexthop: UInt32?
}

private func intent(
    _ ports: [Port], vrfs: [String: UInt32] = ["v1": 11], tunnels: [String: UInt32] = [:]
) -> KernelIntent {
    var intent = KernelIntent()
    for (vrf, table) in vrfs {
        intent.host.links.append(made(Link(name: name(vrf), kind: .vrf(table: TableID(table)), alias: "test:\(vrf)")))
    }
    for (tunnel, key) in tunnels {
        let kind = Link.Kind.gre(GRETunnel(local: IPAddress(v4: 1), key: key, ttl: 64, underlay: name("u0")))
        intent.host.links.append(made(Link(name: name(tunnel), kind: kind, alias: "test:t", master: name("v1"))))
    }
    var guests: [String: NamespaceIntent] = [:]
    for port in ports {
        add(port, vrfs[port.master] ?? 0, &intent.host, &guests[port.namespace, default: NamespaceIntent()])
    }
    intent.guests = guests.map { .init(namespace: NamespaceName($0.key), intent: $0.value) }
    intent.normalize()
    return intent
}

private func add(_ port: Port, _ table: UInt32, _ host: inout NamespaceIntent, _ guest: inout NamespaceIntent) {
    let (device, far, address) = (name(port.name), name(port.device), IPAddress(v4: port.address))
    let mac = MACAddress(rawValue: 0x0200_0000_0000 | UInt64(port.address & 0xFFFF))
    let peer = VethPeer(name: far, namespace: NamespaceName(port.namespace), hardwareAddress: mac, mtu: 1500)
    let alias = "test:\(port.name) " + VethPeer.note(name: far, namespace: peer.namespace)
    host.links.append(made(Link(name: device, kind: .veth(peer: peer), alias: alias, master: name(port.master))))
    host.addresses.append(made(Address(device: device, address: IPAddress(v4: 0x0A00_0101), prefixLength: 32)))
    host.neighbors.append(made(Neighbor(device: device, address: address, hardwareAddress: mac)))
    if let id = port.nexthop {
        host.nexthops.append(made(Nexthop(id: NexthopID(id), body: .gateway(address, device: device))))
    }
    host.routes.append(made(.link(device, Route.Key(table: TableID(table), destination: IPPrefix(address)))))
    guest.links.append(made(Link(name: far, kind: .adopted, hardwareAddress: mac, promotesSecondaries: true)))
    guest.addresses.append(made(Address(device: far, address: address, prefixLength: 24)))
    let key = Route.Key(table: .main, destination: .defaultIPv4, metric: UInt32(guest.routes.count))
    guest.routes.append(made(.gateway(IPAddress(v4: 0x0A00_0101), device: far, key)))
}

/// What the kernel shows when all of `intent` is there.
private func observed(_ intent: KernelIntent) -> KernelSnapshot {
    var snapshot = KernelSnapshot()
    var ends: [String: UInt32] = [:]
    for guest in intent.guests {
        var seen = NamespaceSnapshot()
        for (index, link) in guest.intent.links.enumerated() {
            let number = UInt32(index + 2)
            // The pair's host end has a number of its own: 100 and that of the place among all.
            let pair = intent.host.links.firstIndex {
                guard case .veth(let peer) = $0.object.kind else { return false }
                return peer.namespace == guest.namespace && peer.name == link.object.name
            }
            ends["\(guest.namespace)/\(link.object.name)"] = number
            seen.links.append(
                ObservedLink(
                    index: number, link: link.object, kindName: "veth", isOwned: false, isOperational: true,
                    peerIndex: UInt32(100 + (pair ?? 0))))
        }
        seen.addresses = guest.intent.addresses.map(\.object)
        seen.routes = guest.intent.routes.map(\.object)
        seen.rules = guest.intent.rules.map(\.object)
        snapshot.guests[guest.namespace] = seen
    }
    for (index, link) in intent.host.links.enumerated() {
        var peerIndex: UInt32 = 0
        if case .veth(let peer) = link.object.kind { peerIndex = ends["\(peer.namespace)/\(peer.name)"] ?? 0 }
        snapshot.host.links.append(
            ObservedLink(
                index: UInt32(100 + index), link: link.object, kindName: "", isOwned: true, isOperational: true,
                peerIndex: peerIndex))
    }
    snapshot.host.addresses = intent.host.addresses.map(\.object)
    snapshot.host.neighbors = intent.host.neighbors.map(\.object)
    snapshot.host.nexthops = intent.host.nexthops.map(\.object)
    snapshot.host.routes = intent.host.routes.map(\.object)
    return snapshot
}

private func plan(from old: KernelIntent, to new: KernelIntent) -> [String] {
    new.changes(from: observed(old), owner: owner).operations.map { operation in
        let place = operation.place.guest.map { "[\($0)] " } ?? ""
        return "\(operation.action.rawValue) \(place)\(operation.object)"
    }
}

/// One state over another: who holds what somebody else wants.
@Suite(.timeLimit(minutes: 10)) struct TransitionPlanTests {
    @Test func theSnapshotIsWhatTheIntentSays() {
        let one = intent([Port(name: "a", nexthop: 1), Port(name: "b", namespace: "db")], tunnels: ["t1": 7])
        #expect(plan(from: one, to: one) == [])
    }

    /// The guest's end, and whatever the guest has put on it, stays.
    @Test func aPairIsRenamed() {
        #expect(
            plan(from: intent([Port(name: "a", nexthop: 1)]), to: intent([Port(name: "b", nexthop: 1)])) == [
                "change link b type veth peer eth0 netns web master v1 set alias,name",
                "create neigh 10.0.1.9 lladdr 02:00:00:00:01:09 dev b",
                "wait link b operational",
                "create nexthop id 1 via 10.0.1.9 dev b onlink",
                "create route 10.0.1.9/32 dev b table 11",
            ])
    }

    /// To another VPC, with another address: what does not lie on its port changes around it.
    @Test func aRenamedPairMoves() {
        let vrfs: [String: UInt32] = ["v1": 11, "v2": 12]
        let old = intent([Port(name: "a")], vrfs: vrfs)
        let new = intent([Port(name: "b", address: 0x0A00_010A, master: "v2")], vrfs: vrfs)
        #expect(
            plan(from: old, to: new) == [
                "change link b type veth peer eth0 netns web master v2 set alias,master,name",
                "create neigh 10.0.1.10 lladdr 02:00:00:00:01:0a dev b",
                "change [web] link eth0 set address",
                "create [web] address 10.0.1.10/24 dev eth0",
                "delete [web] address 10.0.1.9/24 dev eth0",
                "wait link b operational",
                "create route 10.0.1.10/32 dev b table 12",
            ])
    }

    /// A new name that somebody of ours has already: nothing can be renamed into it.
    @Test func namesThatAreExchangedAreMadeAnew() {
        let old = intent([Port(name: "a"), Port(name: "b", namespace: "db", address: 0x0A00_010A)])
        let new = intent([Port(name: "b"), Port(name: "a", namespace: "db", address: 0x0A00_010A)])
        let steps = plan(from: old, to: new)
        #expect(
            steps.prefix(4) == [
                "delete link a type veth peer eth0 netns web master v1",
                "delete link b type veth peer eth0 netns db master v1",
                "create link a type veth peer eth0 netns db master v1",
                "create link b type veth peer eth0 netns web master v1",
            ])
        // All that was on them is made again, and nothing of it deleted once more.
        #expect(steps.filter { $0.hasPrefix("delete") }.count == 2)
        #expect(steps.contains("create [web] address 10.0.1.9/24 dev eth0"))
        #expect(steps.contains("create [db] address 10.0.1.10/24 dev eth0"))
    }

    /// a becomes b, whose guest is now behind c: b cannot be renamed, because a name is taken, so both give way.
    @Test func aChainOfNames() {
        let old = intent([Port(name: "a"), Port(name: "b", namespace: "db", address: 0x0A00_010A)])
        let new = intent([Port(name: "b"), Port(name: "c", namespace: "db", address: 0x0A00_010A)])
        let steps = plan(from: old, to: new)
        #expect(
            steps.prefix(4) == [
                "delete link b type veth peer eth0 netns db master v1",
                "delete link a type veth peer eth0 netns web master v1",
                "create link b type veth peer eth0 netns web master v1",
                "create link c type veth peer eth0 netns db master v1",
            ])
        #expect(steps.filter { $0.hasPrefix("delete") }.count == 2)
    }

    @Test func devicesOfAGuestAreExchanged() {
        let old = intent([Port(name: "a"), Port(name: "b", device: "eth1", address: 0x0A00_010A)])
        let new = intent([Port(name: "a", device: "eth1"), Port(name: "b", address: 0x0A00_010A)])
        let steps = plan(from: old, to: new)
        #expect(
            steps.prefix(4) == [
                "delete link a type veth peer eth0 netns web master v1",
                "delete link b type veth peer eth1 netns web master v1",
                "create link a type veth peer eth1 netns web master v1",
                "create link b type veth peer eth0 netns web master v1",
            ])
        #expect(steps.filter { $0.hasPrefix("delete") }.count == 2)
    }

    /// The guest called its device otherwise: who has the name now is known by the numbers, not by the mark.
    @Test func aGuestHasRenamedItsDevice() {
        let old = intent([Port(name: "a")])
        var snapshot = observed(old)
        snapshot.guests[NamespaceName("web")]?.links[0].link.name = name("eth7")
        let new = intent([Port(name: "b", device: "eth7")])
        let first = new.changes(from: snapshot, owner: owner).operations.first
        #expect(first?.action == .change)
        #expect(first?.object == "link b type veth peer eth7 netns web master v1 set alias,name")
        // In the way of nobody it goes at the end.
        let apart = intent([Port(name: "b")])
        let operations = apart.changes(from: snapshot, owner: owner).operations.filter { $0.kind == .link }
        #expect(operations.first?.action == .create && operations.last?.action == .delete)
    }

    /// Ours in spite of another name, with what only one tunnel, or one VRF, can have.
    @Test func whatSomebodyRenamedGivesWay() {
        let old = intent([Port(name: "a")], vrfs: ["x1": 11, "v1": 12], tunnels: ["t9": 7])
        let new = intent([Port(name: "a")], vrfs: ["v1": 12, "v3": 11], tunnels: ["t1": 7])
        let steps = plan(from: old, to: new)
        #expect(
            steps == [
                "delete link t9 type gre local 0.0.0.1 key 7 dev u0 master v1",
                "delete link x1 type vrf table 11",
                "create link v3 type vrf table 11",
                "create link t1 type gre local 0.0.0.1 key 7 dev u0 master v1",
            ])
    }

    /// Without its master a port is nobody's: it is enslaved again.
    @Test func aMasterIsMadeAnew() {
        let steps = plan(from: intent([Port(name: "a")], vrfs: ["v1": 10]), to: intent([Port(name: "a")]))
        #expect(
            steps == [
                "delete link v1 type vrf table 10",
                "create link v1 type vrf table 11",
                "change link a type veth peer eth0 netns web master v1 set master",
                "create neigh 10.0.1.9 lladdr 02:00:00:00:01:09 dev a",
                "wait link a operational",
                "create route 10.0.1.9/32 dev a table 11",
            ])
    }

    /// Another address of the same subnet comes before the former goes, which does not take it along.
    @Test func addressesAreExchanged() {
        let (one, other): (UInt32, UInt32) = (0x0A00_0109, 0x0A00_010A)
        let old = intent([Port(name: "a", address: one), Port(name: "b", namespace: "db", address: other)])
        let new = intent([Port(name: "a", address: other), Port(name: "b", namespace: "db", address: one)])
        let steps = plan(from: old, to: new)
        #expect(steps.filter { $0.contains("link") && !$0.contains("[") } == [])
        for (guest, from, to) in [("web", "10.0.1.9", "10.0.1.10"), ("db", "10.0.1.10", "10.0.1.9")] {
            let creation = steps.firstIndex(of: "create [\(guest)] address \(to)/24 dev eth0")
            let deletion = steps.firstIndex(of: "delete [\(guest)] address \(from)/24 dev eth0")
            #expect(creation != nil && deletion != nil && creation! < deletion!)
        }
        // A guest of before this was known.
        var snapshot = observed(old)
        snapshot.guests[NamespaceName("web")]?.links[0].link.promotesSecondaries = false
        let operations = new.changes(from: snapshot, owner: owner).operations.filter { $0.place.guest != nil }
        #expect(operations.map(\.object).contains("link eth0 set address,promote_secondaries"))
    }
}
