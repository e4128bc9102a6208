import IPAddressing
import KernelModel
import KernelNames
import NFTables
import TestSupport
import Testing

private let owner = Ownership(routeProtocol: RouteProtocol(99), aliasPrefix: "test:")
private let vrf = InterfaceName("v1")!
private let port = InterfaceName("e1")!
private let guest = NamespaceName("web")
private let eth0 = InterfaceName("eth0")!
private let mac = MACAddress("02:00:00:00:00:01")!

private func prefix(_ text: String) -> IPPrefix { IPPrefix(text)! }
private func address(_ text: String) -> IPAddress { IPAddress(text)! }
private func made<Object>(_ object: Object) -> Attributed<Object> { Attributed(object, from: Origin(7)) }

/// A VRF with one guest port, a neighbour, a gateway nexthop, a group and three routes.
private func sample() -> KernelIntent {
    var intent = KernelIntent()
    let table = TableID(11)
    let peer = VethPeer(name: eth0, namespace: guest, hardwareAddress: mac, mtu: 1500)
    intent.host.links = [
        made(
            Link(
                name: port, kind: .veth(peer: peer), alias: "test:web peer web/eth0", master: vrf, group: 10, mtu: 1500,
                ipv4: IPv4DeviceConfiguration(proxyARP: true))),
        made(Link(name: vrf, kind: .vrf(table: table), alias: "test:vpc")),
    ]
    intent.host.rules = [
        made(Rule(priority: 1001, l3mdev: true, action: .unreachable, routeProtocol: RouteProtocol(99)))
    ]
    intent.host.addresses = [made(Address(device: port, address: address("10.0.1.1"), prefixLength: 32))]
    intent.host.neighbors = [made(Neighbor(device: port, address: address("10.0.1.9"), hardwareAddress: mac))]
    let group = NexthopGroup(members: [.init(id: NexthopID(1), weight: 1)], algorithm: .hashThreshold)
    intent.host.nexthops = [
        made(Nexthop(id: NexthopID(1), body: .gateway(address("10.0.1.9"), device: port))),
        made(Nexthop(id: NexthopID(2), body: .group(group))),
    ]
    intent.host.routes = [
        made(.via(NexthopID(2), Route.Key(table: table, destination: .defaultIPv4))),
        made(.unreachable(Route.Key(table: table, destination: prefix("10.0.0.0/16")))),
        made(.link(port, Route.Key(table: table, destination: prefix("10.0.1.9/32")))),
    ]
    var inside = NamespaceIntent()
    inside.links = [made(Link(name: eth0, kind: .adopted, mtu: 1500, hardwareAddress: mac))]
    inside.addresses = [made(Address(device: eth0, address: address("10.0.1.9"), prefixLength: 24))]
    inside.routes = [
        made(.gateway(address("10.0.1.1"), device: eth0, Route.Key(table: .main, destination: .defaultIPv4)))
    ]
    intent.guests = [.init(namespace: guest, intent: inside)]
    intent.normalize()
    return intent
}

/// What the kernel shows when all of `intent` is there.
private func observed(_ intent: KernelIntent) -> KernelSnapshot {
    var snapshot = KernelSnapshot()
    func fill(_ seen: inout NamespaceSnapshot, _ intent: NamespaceIntent, isOwned: Bool) {
        seen.rules = intent.rules.map(\.object)
        seen.links = intent.links.map {
            ObservedLink(
                index: 5, link: $0.object, kindName: "", isOwned: isOwned, isOperational: true, peerIndex: 5)
        }
        seen.addresses = intent.addresses.map(\.object)
        seen.neighbors = intent.neighbors.map(\.object)
        seen.nexthops = intent.nexthops.map(\.object)
        seen.routes = intent.routes.map(\.object)
    }
    fill(&snapshot.host, intent.host, isOwned: true)
    snapshot.guests[guest] = NamespaceSnapshot()
    fill(&snapshot.guests[guest]!, intent.guests[0].intent, isOwned: false)
    return snapshot
}

private func lines(_ plan: ChangePlan) -> [String] {
    plan.operations.map { operation in
        let place = operation.place.guest.map { "[\($0)] " } ?? ""
        return "\(operation.action.rawValue) \(place)\(operation.object)"
    }
}

@Suite(.timeLimit(minutes: 10)) struct ChangePlanTests {
    /// From nothing to everything, in an order in which each step finds what it needs.
    @Test func creationGoesUp() {
        var snapshot = KernelSnapshot()
        snapshot.guests[guest] = NamespaceSnapshot()
        #expect(
            lines(sample().changes(from: snapshot, owner: owner)) == [
                "create rule pref 1001 l3mdev unreachable",
                "create link v1 type vrf table 11",
                "create link e1 type veth peer eth0 netns web master v1",
                "create address 10.0.1.1/32 dev e1",
                "create neigh 10.0.1.9 lladdr 02:00:00:00:00:01 dev e1",
                "change [web] link eth0 set up",
                "create [web] address 10.0.1.9/24 dev eth0",
                "create [web] route default via 10.0.1.1 dev eth0 table 254",
                "wait link e1 operational",
                "create nexthop id 1 via 10.0.1.9 dev e1 onlink",
                "create nexthop id 2 group 1,1",
                "create route default nhid 2 table 11",
                "create route unreachable 10.0.0.0/16 table 11",
                "create route 10.0.1.9/32 dev e1 table 11",
            ])
    }

    /// The firewall is in before any device, one transaction after the other, each on the generation of the one before.
    @Test func aLargeFirewallIsCut() {
        var intent = sample()
        for family in [NFFamily.inet, .arp] {
            var table = NFTableIntent(NFTable(family, "t"))
            var door = NFSet("door", of: .ipv4Address, admits: true)
            var policy = NFSet("policy", of: .ipv4Address)
            for number in 0..<5 as Range<UInt32> {
                door.add(IPAddress(v4: number))
                policy.add(IPAddress(v4: number))
            }
            table.sets = family == .inet ? [door, policy] : [policy]
            intent.host.firewall.append(table)
        }
        var snapshot = KernelSnapshot()
        snapshot.host.firewall = NFSnapshot(generation: .max - 1)
        let plan = intent.changes(from: snapshot, owner: owner, elementLimit: 3)
        var transactions: [String] = []
        for (index, step) in plan.steps.enumerated() {
            guard case .firewall(let tables, let generation) = step.work else {
                if step.work.kind == .link { #expect(transactions.count == 5, "step \(index)") }
                continue
            }
            let words = tables.flatMap { table in
                table.operations.map { "\(table.table.family) \($0.weight) \($0.text(in: table.table))" }
            }
            transactions.append("\(generation ?? 0) " + words.joined(separator: ", "))
        }
        #expect(
            transactions == [
                "4294967294 inet 1 table inet t, inet 1 set inet t door, inet 1 set inet t policy, "
                    + "arp 1 table arp t, arp 1 set arp t policy",
                "4294967295 inet 3 elements of set inet t policy, arp 3 elements of set arp t policy",
                "1 inet 2 elements of set inet t policy, arp 2 elements of set arp t policy",
                "2 inet 3 elements of set inet t door",
                "3 inet 2 elements of set inet t door",
            ])
    }

    @Test func nothingToDoIsNothing() {
        let plan = sample().changes(from: observed(sample()), owner: owner)
        #expect(plan.isEmpty)
        #expect(plan.steps.isEmpty)
    }

    /// Ports before their VRF; what sits on a device goes with it.
    @Test func deletionGoesDown() {
        #expect(
            lines(KernelIntent().changes(from: observed(sample()), owner: owner)) == [
                "delete route default nhid 2 table 11",
                "delete route unreachable 10.0.0.0/16 table 11",
                "delete route 10.0.1.9/32 dev e1 table 11",
                "delete nexthop id 2 group 1,1",
                "delete nexthop id 1 via 10.0.1.9 dev e1 onlink",
                "delete link e1 type veth peer eth0 netns web master v1",
                "delete link v1 type vrf table 11",
                "delete rule pref 1001 l3mdev unreachable",
            ])
    }

    /// Another master takes the port down and up: its neighbour, its nexthop, the group and the routes are gone then.
    @Test func whatTheKernelDropsIsMadeAgain() {
        var snapshot = observed(sample())
        let index = snapshot.host.links.firstIndex { $0.link.name == port }!
        snapshot.host.links[index].link.master = InterfaceName("v9")
        #expect(
            lines(sample().changes(from: snapshot, owner: owner)) == [
                "change link e1 type veth peer eth0 netns web master v1 set master",
                "create neigh 10.0.1.9 lladdr 02:00:00:00:00:01 dev e1",
                "wait link e1 operational",
                "create nexthop id 1 via 10.0.1.9 dev e1 onlink",
                "create nexthop id 2 group 1,1",
                "create route 10.0.1.9/32 dev e1 table 11",
                "create route default nhid 2 table 11",
            ])
    }

    /// The guest's namespace was deleted and made anew under the same name, or its device was taken out of it.
    @Test func aPairWithoutItsOtherEndIsMadeAgain() {
        var snapshot = observed(sample())
        snapshot.guests[guest] = NamespaceSnapshot()
        let plan = lines(sample().changes(from: snapshot, owner: owner))
        #expect(
            plan.prefix(2) == [
                "delete link e1 type veth peer eth0 netns web master v1",
                "create link e1 type veth peer eth0 netns web master v1",
            ])
        #expect(plan.contains("create address 10.0.1.1/32 dev e1"))
        #expect(plan.contains("create [web] address 10.0.1.9/24 dev eth0"))
    }

    @Test func aForeignDeviceInTheWayIsAConflict() {
        var snapshot = KernelSnapshot()
        snapshot.guests[guest] = NamespaceSnapshot()
        snapshot.host.links = [
            ObservedLink(
                index: 3, link: Link(name: vrf, kind: .adopted), kindName: "dummy", isOwned: false, isOperational: true,
                peerIndex: 0)
        ]
        let plan = sample().changes(from: snapshot, owner: owner)
        #expect(plan.conflicts.map(\.device) == [vrf])
        #expect(plan.conflicts.first?.reason == "a dummy device of somebody else has the name v1")
        #expect(!lines(plan).contains { $0.contains("link v1 ") })
        #expect(lines(KernelIntent().changes(from: snapshot, owner: owner)) == [])
    }

    /// Nothing of ours is put on a device because it has the name of one of ours.
    @Test func nothingIsPlannedOnAForeignDevice() {
        for name in [port, vrf] {
            var snapshot = KernelSnapshot()
            snapshot.guests[guest] = NamespaceSnapshot()
            snapshot.host.links = [
                ObservedLink(
                    index: 3, link: Link(name: name, kind: .adopted), kindName: "dummy", isOwned: false,
                    isOperational: true, peerIndex: 0)
            ]
            let plan = lines(sample().changes(from: snapshot, owner: owner))
            let onlyWithoutDevices = [
                "create rule pref 1001 l3mdev unreachable", "create link v1 type vrf table 11",
                "create route unreachable 10.0.0.0/16 table 11",
            ]
            #expect(plan.allSatisfy { onlyWithoutDevices.contains($0) }, "\(plan)")
            #expect(plan.contains("create route unreachable 10.0.0.0/16 table 11"))
        }
    }

    /// A device of somebody else under a master of ours is given back, not deleted.
    @Test func anAdoptedDeviceIsReleased() {
        var snapshot = observed(sample())
        let tap = InterfaceName("tap7")!
        snapshot.host.links.append(
            ObservedLink(
                index: 9, link: Link(name: tap, kind: .adopted, master: vrf), kindName: "tun", isOwned: false,
                isOperational: true, peerIndex: 0))
        snapshot.host.links.sort { $0.link.name < $1.link.name }
        snapshot.host.neighbors.append(Neighbor(device: tap, address: address("10.0.1.8"), hardwareAddress: mac))
        let plan = sample().changes(from: snapshot, owner: owner)
        #expect(
            lines(plan) == ["delete neigh 10.0.1.8 lladdr 02:00:00:00:00:01 dev tap7", "delete link tap7 master v1"])
        guard case .links(let links) = plan.steps.last?.work else {
            Issue.record("the last step is no link")
            return
        }
        #expect(links.deletions.map(\.kind) == [.adopted])
    }

    /// A changed weight or nexthop replaces in place, without a deletion in between.
    @Test func changesInPlaceAreReplacements() {
        var changed = sample()
        changed.host.nexthops[1].object.body = .group(
            NexthopGroup(members: [.init(id: NexthopID(1), weight: 3)], algorithm: .hashThreshold))
        changed.host.routes[0].object.nexthop = NexthopID(1)
        #expect(
            lines(changed.changes(from: observed(sample()), owner: owner)) == [
                "change nexthop id 2 group 1,3", "change route default nhid 1 table 11",
            ])
    }

    /// A rule that says the same is left to whoever made it, and not deleted with ours.
    @Test func anEqualRuleOfOthersIsGoodEnough() {
        var snapshot = observed(sample())
        snapshot.host.rules[0].routeProtocol = RouteProtocol(3)
        #expect(sample().changes(from: snapshot, owner: owner).isEmpty)
        #expect(!lines(KernelIntent().changes(from: snapshot, owner: owner)).contains { $0.contains("rule") })
    }

    @Test func onlySysctlsThatDifferAreWritten() {
        var intent = KernelIntent()
        intent.host.sysctls = [made(Sysctl("net/ipv4/ip_forward", "1")), made(Sysctl("net/ipv4/x", "0"))]
        var snapshot = KernelSnapshot()
        snapshot.host.sysctls = [Sysctl("net/ipv4/ip_forward", "0"), Sysctl("net/ipv4/x", "0")]
        let plan = intent.changes(from: snapshot, owner: owner)
        #expect(plan.operations.map(\.object) == ["sysctl net.ipv4.ip_forward=1"])
        #expect(plan.operations.first?.previous == "sysctl net.ipv4.ip_forward=0")
    }
}

@Suite(.timeLimit(minutes: 10)) struct KernelValueTests {
    @Test(arguments: ["lo", "a", "e-web1-eth0", "abcdefghijklmno"]) func namesRoundTrip(_ text: String) {
        #expect(InterfaceName(text)?.description == text)
        #expect(InterfaceName(bytes: Array(text.utf8) + [0, 65]).description == text)
    }

    @Test(arguments: ["", ".", "..", "a/b", "a b", "a:b", "abcdefghijklmnop", "a\tb"])
    func namesTheKernelRefusesAreNil(_ text: String) { #expect(InterfaceName(text) == nil) }

    @Test func namesSortAsText() {
        let names = ["b", "abcdefghij", "abcdefghi", "a", "abcdefghijklmno"]
        #expect(names.compactMap { InterfaceName($0) }.sorted().map(\.description) == names.sorted())
    }

    @Test func aVethsNoteIsReadBack() {
        let note = "test:x " + VethPeer.note(name: eth0, namespace: NamespaceName("peer of it"))
        #expect(VethPeer(noteIn: note)?.namespace == NamespaceName("peer of it"))
        #expect(VethPeer(noteIn: note)?.name == eth0)
        #expect(VethPeer(noteIn: "test:x") == nil)
    }

    /// What a route costs in memory: no reference, a fixed size.
    @Test func aRouteIsPlainMemory() {
        #expect(_isPOD(Route.self))
        #expect(MemoryLayout<Attributed<Route>>.stride <= 96)
    }
}
