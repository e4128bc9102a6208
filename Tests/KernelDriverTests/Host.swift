import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import KernelWitness
import Netlink
import Testing

let owner = Ownership(routeProtocol: RouteProtocol(118), aliasPrefix: "test:")

/// A namespace that plays the host, and the intent that it shall come to hold.
struct Host {
    let name: String
    let namespace: NetworkNamespace
    var intent = KernelIntent()
    var sysctls: [String] = []
    var guests: [NamespaceName] = []
    /// The name of the host's own namespace, if it is to have one; `namespace` is that of its tunnels' packets then.
    var own: NamespaceName? {
        didSet {
            intent.namespace = own.map { Attributed(OwnNamespace(name: $0, alias: "test:host"), from: Origin(7)) }
        }
    }

    init(_ name: String, _ namespace: NetworkNamespace) {
        self.name = name
        self.namespace = namespace
    }

    var driver: KernelDriver {
        let driver = KernelDriver(namespace: namespace)
        return own.map { driver.withOwnNamespace($0, of: owner) } ?? driver
    }

    func observe() throws -> KernelSnapshot {
        try driver.observe(ObservationRequest(owner: owner, sysctls: sysctls, guests: guests))
    }

    func plan() throws -> ChangePlan {
        var intent = intent
        intent.normalize()
        return intent.changes(from: try observe(), owner: owner)
    }

    /// What libnl reads beside the driver.
    func witness() throws -> WitnessReport {
        try KernelWitness(namespace: own.map { .named($0.rawValue) } ?? namespace).examine(driver, owner: owner)
    }

    /// Applies the intent and expects what every apply must show: nothing refused, nothing left to do when the kernel is
    /// read back, by the driver and by libnl, and a second apply that writes nothing.
    @discardableResult
    func converge(sourceLocation: SourceLocation = #_sourceLocation) throws -> CommitReport {
        let plan = try plan()
        let report = driver.commit(plan, owner: owner)
        #expect(report.failures.isEmpty, sourceLocation: sourceLocation)
        #expect(report.applied == plan.counts, sourceLocation: sourceLocation)
        let rest = try self.plan()
        #expect(rest.operations.isEmpty, sourceLocation: sourceLocation)
        #expect(rest.isEmpty, sourceLocation: sourceLocation)
        let again = driver.commit(rest, owner: owner)
        #expect(again.writes == 0, sourceLocation: sourceLocation)
        #expect(again.failures.isEmpty, sourceLocation: sourceLocation)
        #expect(try witness().disagreements == [], sourceLocation: sourceLocation)
        return report
    }

    mutating func add(_ link: Link) { intent.host.links.append(Attributed(link, from: Origin(1))) }
    mutating func add(_ address: Address) { intent.host.addresses.append(Attributed(address, from: Origin(2))) }
    mutating func add(_ neighbor: Neighbor) { intent.host.neighbors.append(Attributed(neighbor, from: Origin(3))) }
    mutating func add(_ nexthop: Nexthop) { intent.host.nexthops.append(Attributed(nexthop, from: Origin(4))) }
    mutating func add(_ route: Route) { intent.host.routes.append(Attributed(route, from: Origin(5))) }
    mutating func add(_ rule: Rule) { intent.host.rules.append(Attributed(rule, from: Origin(6))) }

    /// A port of a guest with everything that the product gives to one, and the guest's end.
    mutating func addPort(_ port: String, guest: String, device: String = "eth0", master: InterfaceName? = nil) throws {
        let namespace = NamespaceName(guest)
        let peer = VethPeer(
            name: try device.device, namespace: namespace, hardwareAddress: try "02:00:0a:00:01:0a".mac, mtu: 1400)
        add(
            Link(
                name: try port.device, kind: .veth(peer: peer),
                alias: "test:interface/\(port) " + VethPeer.note(name: peer.name, namespace: namespace), master: master,
                group: 10, mtu: 1400, hardwareAddress: try "02:00:5e:00:00:01".mac,
                ipv4: IPv4DeviceConfiguration(proxyARP: true, acceptLocal: true), proxyDelay: 0, ipv6Disabled: true))
        let far = Link(name: peer.name, kind: .adopted, mtu: 1400, hardwareAddress: peer.hardwareAddress)
        if let index = intent.guests.firstIndex(where: { $0.namespace == namespace }) {
            intent.guests[index].intent.links.append(Attributed(far, from: Origin(1)))
        } else {
            var guestIntent = NamespaceIntent()
            guestIntent.links = [Attributed(far, from: Origin(1))]
            intent.guests.append(.init(namespace: namespace, intent: guestIntent))
            guests.append(namespace)
        }
    }
}

/// Runs a test in a namespace of its own with a namespace for a guest.
func withHost(guests: Int = 1, _ body: (_ host: inout Host, _ guests: [String]) throws -> Void) throws {
    func nest(_ names: [String]) throws {
        if names.count < guests {
            try withScratchNamespace { name, _ in try nest(names + [name]) }
            return
        }
        try withScratchNamespace { name, namespace in
            var host = Host(name, namespace)
            try body(&host, names)
        }
    }
    try nest([])
}

extension String {
    var device: InterfaceName { get throws { try #require(InterfaceName(self)) } }
    var mac: MACAddress { get throws { try #require(MACAddress(self)) } }
    var address: IPAddress { get throws { try #require(IPAddress(self)) } }
    var prefix: IPPrefix { get throws { try #require(IPPrefix(self)) } }
}
