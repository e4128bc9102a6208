import CLinux
import Glibc
import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import NFTables
import Netlink
import Synchronization
import TestSupport
import Testing

@testable import KernelWitness

/// What libnl reads, and what it cannot.
@Suite(.timeLimit(minutes: 10)) struct WitnessTests {
    /// A first reader that tells what it is told to.
    private struct Liar: KernelAccess {
        let kernel: KernelDriver
        /// Changes what was seen; the number says how often it was asked before.
        let change: @Sendable (inout KernelSnapshot, _ number: Int) -> Void
        private let calls = Counter()

        init(_ kernel: KernelDriver, _ change: @escaping @Sendable (inout KernelSnapshot, Int) -> Void) {
            self.kernel = kernel
            self.change = change
        }

        func serving(_ namespace: NamespaceName, of owner: Ownership) -> any KernelAccess { self }
        func observe(_ request: ObservationRequest) throws -> KernelSnapshot {
            var snapshot = try kernel.observe(request)
            change(&snapshot, calls.next())
            return snapshot
        }

        func commit(_ plan: ChangePlan, owner: Ownership) -> CommitReport { kernel.commit(plan, owner: owner) }
        func mirror(_ request: ObservationRequest) throws -> any KernelMirroring { try kernel.mirror(request) }
        func occupied(_ tables: [TableID]) throws -> Set<TableID> { try kernel.occupied(tables) }
        func foreignRoutes(by devices: [InterfaceName], owner: Ownership) throws -> [InterfaceName: String] { [:] }
        func counters(of table: NFTable) throws -> [NFObservedObject] { [] }
        func listings(of tables: [NFTable], in place: Place) throws -> [NFListing] { [] }
        func connections() throws -> [Connection] { [] }
        func filters(readingSetsOf table: NFTable) throws -> PresentFilters { PresentFilters() }
        func lookUp(_ key: [UInt8?], in set: String, of table: NFTable) throws -> NFLookup { .unknown }
        func trackingTable() throws -> TrackingTable? { nil }
        func connectionCounts(sample: Int?) throws -> [UInt16: Int] { [:] }
        func unplacedConnections() throws -> Int { 0 }
        func traffic() throws -> [InterfaceName: LinkTraffic] { [:] }
        func offloadObstacle() -> String? { kernel.offloadObstacle() }
        func localAddresses() throws -> Set<IPAddress> { [] }
        func tracksLoopback() throws -> Bool { false }
    }

    private final class Counter: Sendable {
        private let count = Atomic(0)
        func next() -> Int { count.add(1, ordering: .relaxed).oldValue }
    }

    /// Ports, addresses, neighbours, rules and every form of a route, ours and others', on the host and in a guest.
    private func populate(_ host: inout Host, _ guest: String) throws {
        try run("ip", "-n", host.name, "link", "set", "lo", "up")
        try host.addPort("p1", guest: guest)
        let (port, table) = (try "p1".device, TableID(1_000_001))
        let mac = try "02:00:00:00:00:01".mac
        host.add(Address(device: port, address: try "10.1.0.1".address, prefixLength: 32))
        host.add(Neighbor(device: port, address: try "10.1.0.2".address, hardwareAddress: mac))
        host.add(Rule(priority: 900, source: try "10.0.0.0/8".prefix, action: .lookup(table), routeProtocol: .ours))
        host.add(Rule(priority: 1001, l3mdev: true, action: .unreachable, routeProtocol: .ours))
        host.add(Nexthop(id: NexthopID(7), body: .gateway(try "10.1.0.9".address, device: port)))
        host.add(.via(NexthopID(7), Route.Key(table: table, destination: try "10.2.0.0/16".prefix)))
        host.add(.link(port, Route.Key(table: table, destination: try "10.3.0.0/16".prefix, metric: 5)))
        host.add(.unreachable(Route.Key(table: table, destination: .defaultIPv4, metric: .max)))
        host.add(.blackhole(Route.Key(table: .main, destination: try "10.4.0.0/16".prefix)))
        try host.converge()
        try run(
            "sh", "-c",
            """
            ip -n \(guest) addr add 10.1.0.2/24 dev eth0
            ip -n \(guest) -6 addr add 2001:db8::1/64 dev eth0
            ip -n \(host.name) addr add 192.0.2.1 peer 192.0.2.2 dev lo
            ip -n \(host.name) rule add pref 77 uidrange 1-2 lookup 77
            ip -n \(host.name) -6 rule add pref 78 from 2001:db8::/32 lookup 78
            ip -n \(host.name) route add 10.5.0.0/16 dev p1 mtu 1300 proto 118
            ip -n \(host.name) route add 10.6.0.0/16 dev p1 src 192.0.2.1 proto 118
            ip -n \(host.name) route append 10.3.0.0/16 via 192.0.2.2 metric 5 table 1000001 proto 118
            ip -n \(host.name) neigh add 10.1.0.77 lladdr 02:00:00:00:00:77 dev p1 nud permanent
            """)
    }

    @Test func bothReadersSeeTheSame() throws {
        try withHost { host, guests in
            try populate(&host, guests[0])
            let report = try host.witness()
            #expect(report.disagreements.isEmpty, "\(report.disagreements)")
            #expect(report.namespaces == 2)
            // lo and the port here, lo and the other end there; fallback tunnels where the kernel makes some.
            #expect(report.objects[.link] ?? 0 >= 4)
            // One of ours, two on each lo, two of the guest's.
            #expect(report.objects[.address] ?? 0 >= 6)
            #expect(report.objects[.neighbor] == 1)
            #expect(report.objects[.rule] ?? 0 >= 8)
            #expect(report.objects[.route] == 7)
        }
    }

    /// Whatever the first reader gets wrong of any kind is told, and of nothing else.
    @Test func everyKindOfErrorIsTold() throws {
        let errors: [(what: String, told: String, change: @Sendable (inout NamespaceSnapshot) -> Void)] = [
            ("link p1", "vpcctl reads mtu 1399; libnl reads mtu 1400", { $0.change("p1") { $0.link.mtu = 1399 } }),
            ("link p1", "up false; libnl reads up true", { $0.change("p1") { $0.link.isUp = false } }),
            ("link p1", "group 9; libnl reads group 10", { $0.change("p1") { $0.link.group = 9 } }),
            ("link p1", "arp_filter 1; libnl reads", { $0.change("p1") { $0.link.ipv4?[.arpFilter] = 1 } }),
            ("link lo", "reads not there; libnl reads there", { $0.links.removeAll { $0.isLoopback } }),
            ("address 10.1.0.1/32 dev p1", "reads not there; libnl reads there", { $0.addresses = [] }),
            (
                "address 192.0.2.1/32 dev lo", "reads not there",
                { $0.foreignAddresses.removeAll { $0.prefixLength == 32 } }
            ),
            (
                "neigh 10.1.0.2 dev p1", "lladdr 00:00:00:00:00:00",
                { $0.neighbors[0].linkLayerAddress = .ethernet(MACAddress(rawValue: 0)) }
            ),
            ("rule pref 1001 l3mdev unreachable", "reads not there", { $0.rules.removeAll { $0.priority == 1001 } }),
            (
                "route 10.2.0.0/16 table 1000001", "nhid 8; libnl reads nhid 7",
                { $0.change(7) { $0.nexthop = NexthopID(8) } }
            ),
            ("route 10.2.0.0/16 table 1000001", "scope link; libnl", { $0.change(7) { $0.scope = .link } }),
            (
                "route 10.4.0.0/16 table 254", "reads not there",
                { $0.routes.removeAll { $0.key.table == .main && $0.kind == .blackhole } }
            ),
            (
                "route 10.3.0.0/16 table 1000001 metric 5", "reads not there",
                { $0.routes.removeAll { $0.gateway != nil } }
            ),
        ]
        try withHost { host, guests in
            try populate(&host, guests[0])
            for (object, told, change) in errors {
                let liar = Liar(host.driver) { snapshot, _ in change(&snapshot.host) }
                let found = try KernelWitness(namespace: host.namespace).examine(liar, owner: owner).disagreements
                #expect(found.map(\.object) == [object])
                #expect(found.first?.description.contains(told) == true, "\(found)")
            }
            let guest = NamespaceName(guests[0])
            let liar = Liar(host.driver) { snapshot, _ in snapshot.guests[guest]?.foreignAddresses = [] }
            let found = try KernelWitness(namespace: host.namespace).examine(liar, owner: owner).disagreements
            #expect(found.count >= 2 && found.allSatisfy { $0.place == guest })
        }
    }

    /// What changes between two readings is no disagreement.
    @Test func whatPassesIsNotTold() throws {
        try withHost { host, guests in
            try populate(&host, guests[0])
            let liar = Liar(host.driver) { snapshot, number in
                snapshot.host.change("p1") { $0.link.mtu = UInt32(number) }
            }
            #expect(try KernelWitness(namespace: host.namespace).examine(liar, owner: owner).disagreements.isEmpty)
        }
    }

    // MARK: What libnl cannot do

    /// libnl-route 3.7 has no nexthop objects: it takes no message of theirs, and no route object has an id.
    @Test func itKnowsNoNexthopObjects() throws {
        try withScratchNamespace { name, namespace in
            try run("ip", "-n", name, "link", "set", "lo", "up")
            try run("ip", "-n", name, "nexthop", "add", "id", "7", "blackhole")
            try run("ip", "-n", name, "route", "add", "10.2.0.0/16", "nhid", "7", "proto", "118")
            let socket = try WitnessSocket(in: namespace)
            let error = #expect(throws: WitnessError.self) {
                try socket.list(RTM_GETNEXTHOP, nhmsg()) { message in try message.object { _ in } }
            }
            #expect(error?.description.contains("Netlink message type is not supported") == true)
            // The message has the id; who asks libnl-3 for the attribute gets it.
            let ids = try socket.list(RTM_GETROUTE, rtmsg()) { $0.number(RTA_NH_ID.rawValue) }
            #expect(ids == [7])
            for function in ["rtnl_nh_alloc_cache", "rtnl_nh_get_id", "rtnl_route_get_nhid", "rtnl_route_nh_get_nhid"] {
                #expect(dlsym(nil, function) == nil, "\(function) is there")
            }
        }
    }

    /// libnl-3 3.7 does not ask the kernel for its words: of a refusal there is a code of its own.
    @Test func itHearsNoneOfTheKernelsWords() throws {
        try withScratchNamespace { _, namespace in
            let socket = try WitnessSocket(in: namespace)
            var (value, size) = (Int32(-1), socklen_t(MemoryLayout<Int32>.size))
            let descriptor = socket.nl.pointee.nl_socket_get_fd(socket.socket)
            #expect(getsockopt(descriptor, SOL_NETLINK, NETLINK_EXT_ACK, &value, &size) == 0)
            #expect(value == 0)

            var writer = MessageWriter()
            var header = rtmsg()
            header.rtm_family = UInt8(AF_INET)
            header.rtm_type = UInt8(RTN_UNICAST)
            writer.message(MessageType(RTM_NEWROUTE), [.create], header) { $0.put(RTA_NH_ID.rawValue, UInt32(4242)) }
            var payload = writer.bytes.withUnsafeBytes { Array($0.dropFirst(MemoryLayout<nlmsghdr>.size)) }
            let sent = socket.nl.pointee.nl_send_simple(
                socket.socket, Int32(RTM_NEWROUTE), NLM_F_CREATE | NLM_F_ACK, &payload, payload.count)
            #expect(sent > 0)
            let code = socket.nl.pointee.nl_wait_for_ack(socket.socket)
            #expect(socket.nl.words(for: code) == "Invalid input data or parameter")

            var ours = try NetlinkSocket(in: namespace)
            let error = #expect(throws: NetlinkError.self) {
                try ours.modify { writer in
                    writer.message(MessageType(RTM_NEWROUTE), [.create], header) {
                        $0.put(RTA_NH_ID.rawValue, UInt32(4242))
                    }
                }
            }
            #expect(error?.message == "Nexthop id does not exist")
        }
    }
}

extension RouteProtocol {
    fileprivate static let ours = owner.routeProtocol
}

extension NamespaceSnapshot {
    fileprivate mutating func change(_ device: String, _ change: (inout ObservedLink) -> Void) {
        for index in links.indices where "\(links[index].link.name)" == device { change(&links[index]) }
    }

    fileprivate mutating func change(_ nexthop: UInt32, _ change: (inout Route) -> Void) {
        for index in routes.indices where routes[index].nexthop == NexthopID(nexthop) { change(&routes[index]) }
    }
}
