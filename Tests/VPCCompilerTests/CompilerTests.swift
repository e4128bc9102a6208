import IPAddressing
import KernelModel
import KernelNames
import TestSupport
import Testing
import VPCCompiler
import VPCManifest
import VPCTopology

@Suite(.timeLimit(minutes: 10)) struct CompilerTests {
    let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)

    /// A manifest of `count` interfaces of one VPC, spread over `hosts` hosts.
    static func topology(interfaces count: Int, hosts: Int) throws -> Topology {
        var text = ""
        for host in 0..<hosts {
            text += "---\napiVersion: vpcctl.dev/v1\nkind: Host\nmetadata: {name: h\(host)}\n"
            text += "spec: {underlay: {address: 172.31.\(host / 250).\(host % 250 + 1)}}\n"
        }
        text += "---\napiVersion: vpcctl.dev/v1\nkind: VPC\nmetadata: {name: v}\nspec: {id: 5, cidrs: [10.0.0.0/8]}\n"
        text += "---\napiVersion: vpcctl.dev/v1\nkind: Subnet\nmetadata: {name: s}\nspec: {vpc: v, cidr: 10.0.0.0/8}\n"
        for index in 0..<count {
            let address = IPAddress(v4: 0x0A00_0010 + UInt32(index))
            text += "---\napiVersion: vpcctl.dev/v1\nkind: NetworkInterface\nmetadata: {name: i\(index)}\n"
            text += "spec: {subnet: s, host: h\(index % hosts), address: \(address), "
            text += "attachment: {netns: n\(index), device: eth0}}\n"
        }
        let set = ManifestSet(text: text)
        try #require(set.isValid)
        return try #require(Topology.resolve(set.model).topology)
    }

    /// A snapshot that holds exactly what an intent asks for.
    static func snapshot(of intent: KernelIntent) -> KernelSnapshot {
        func observe(_ intent: NamespaceIntent, isHost: Bool) -> NamespaceSnapshot {
            var seen = NamespaceSnapshot()
            seen.sysctls = intent.sysctls.map(\.object)
            seen.rules = intent.rules.map(\.object)
            seen.links = intent.links.enumerated().map { index, link in
                ObservedLink(
                    index: UInt32(index + 10), link: link.object, kindName: "", isOwned: isHost, isOperational: true,
                    peerIndex: 0)
            }
            seen.addresses = intent.addresses.map(\.object)
            seen.neighbors = intent.neighbors.map(\.object)
            seen.nexthops = intent.nexthops.map(\.object)
            seen.routes = intent.routes.map(\.object)
            return seen
        }
        var snapshot = KernelSnapshot()
        snapshot.host = observe(intent.host, isHost: true)
        for guest in intent.guests { snapshot.guests[guest.namespace] = observe(guest.intent, isHost: false) }
        for (position, seen) in snapshot.host.links.enumerated() {
            guard case .veth(let peer) = seen.link.kind,
                let far = snapshot.guests[peer.namespace]?.links.firstIndex(where: { $0.link.name == peer.name })
            else { continue }
            snapshot.host.links[position].peerIndex = snapshot.guests[peer.namespace]!.links[far].index
            snapshot.guests[peer.namespace]!.links[far].peerIndex = seen.index
        }
        return snapshot
    }

    @Test func whatIsThereNeedsNoChange() throws {
        let topology = try Self.topology(interfaces: 40, hosts: 4)
        var intent = topology.compiled(for: 1, facts: facts).intent
        // What the kernel makes of tables of nf_tables is the driver's test.
        intent.host.firewall = []
        let changes = intent.changes(from: Self.snapshot(of: intent), owner: Conventions.ownership)
        #expect(changes.operations == [])
        #expect(!intent.host.routes.isEmpty && !intent.guests.isEmpty)
    }

    @Test func routesComeOutInTheKernelsOrder() throws {
        let topology = try Self.topology(interfaces: 500, hosts: 7)
        let keys = topology.compiled(for: 0, facts: facts).intent.host.routes.map(\.object.key)
        #expect(keys == keys.sorted())
        #expect(Set(keys).count == keys.count)
        #expect(keys.count == 501)
    }

    /// Numbers that are in use stay; a new context and a new nexthop take free ones.
    @Test func numbersAreKept() throws {
        let small = try Self.topology(interfaces: 2, hosts: 2)
        let first = small.compiled(for: 0, facts: facts).intent
        var snapshot = Self.snapshot(of: first)
        // As if the numbers had been given in another order.
        let table = TableID(1_000_777)
        snapshot.host.links[snapshot.host.links.firstIndex { $0.link.name.description == "vpc-v1000001" }!].link.kind =
            .vrf(
                table: table)
        snapshot.host.nexthops[0].id = NexthopID(1_000_500)
        let again = try Self.topology(interfaces: 6, hosts: 3).compiled(
            for: 0, facts: facts, numbering: Numbering(from: snapshot.host))
        #expect(again.tables == [table])
        #expect(again.intent.host.nexthops.map(\.object.id.rawValue) == [1_000_001, 1_000_500])
    }

    @Test func numbersOfOthersAreLeftAlone() throws {
        let topology = try Self.topology(interfaces: 4, hosts: 2)
        var snapshot = NamespaceSnapshot()
        snapshot.foreignNexthops = [NexthopID(1_000_001), NexthopID(1_000_002)]
        snapshot.rules = [
            Rule(priority: 7, action: .lookup(TableID(1_000_001)), routeProtocol: RouteProtocol(3))
        ]
        let numbering = Numbering(from: snapshot, foreignTables: [TableID(1_000_002)])
        let compiled = topology.compiled(for: 0, facts: facts, numbering: numbering)
        #expect(compiled.tables == [TableID(1_000_003)])
        #expect(compiled.intent.host.nexthops.map(\.object.id) == [NexthopID(1_000_003)])
    }

    @Test func aMissingGuestIsLeftOutAndNamed() throws {
        let topology = try Self.topology(interfaces: 4, hosts: 2)
        var facts = facts
        facts.missingNamespaces = [NamespaceName("n2")]
        let compiled = topology.compiled(for: 0, facts: facts)
        #expect(compiled.unattached.map { topology.interfaces[$0.interface].name } == ["i2"])
        #expect(compiled.unattached.first?.reason.description.contains("ip netns add n2") == true)
        let destinations = compiled.intent.host.routes.map(\.object.key.destination.description)
        #expect(!destinations.contains("10.0.0.18/32"))
        #expect(destinations.contains("10.0.0.17/32"))
        #expect(compiled.intent.guests.map(\.namespace.rawValue) == ["n0"])
    }

    /// Ten times the interfaces, ten times the objects: counted, not timed.
    @Test func sizeIsLinear() throws {
        let counts = try [300, 3000].map { count -> (Int, Int) in
            let intent = try Self.topology(interfaces: count, hosts: 30).compiled(for: 3, facts: facts).intent
            return (intent.host.routes.count, intent.host.nexthops.count)
        }
        #expect(counts[0] == (301, 29))
        #expect(counts[1] == (3001, 29))
    }
}
