import CLinux
import IPAddressing
import KernelModel
import Netlink

/// Reads one network namespace.
struct Observer: ~Copyable {
    let namespace: NetworkNamespace
    let owner: Ownership
    var socket: NetlinkSocket

    init(_ namespace: NetworkNamespace, owner: Ownership) throws(NetlinkError) {
        self.namespace = namespace
        self.owner = owner
        socket = try NetlinkSocket(in: namespace)
    }

    /// Everything the model knows of.
    mutating func host(sysctls: [String]) throws(NetlinkError) -> NamespaceSnapshot {
        let parameters = try namespace.sysctls(sysctls)
        return try consistently { observer, names, snapshot throws(NetlinkError) in
            snapshot.sysctls = parameters
            snapshot.neighbors = try observer.socket.neighbors(observer.owner.routeProtocol, names)
            let nexthops = try observer.socket.nexthops(observer.owner.routeProtocol, names)
            snapshot.nexthops = nexthops.owned
            snapshot.foreignNexthops = nexthops.foreign
        }
    }

    /// What is planned for guests: no parameters, neighbours or nexthops. A host may have hundreds of them.
    mutating func guest(onlyRules: Bool) throws(NetlinkError) -> NamespaceSnapshot {
        guard onlyRules else { return try consistently { _, _, _ in } }
        var snapshot = NamespaceSnapshot()
        snapshot.rules = try socket.rules()
        return snapshot
    }

    /// Reads links, addresses, rules and routes, and what `more` adds.
    ///
    /// Each kind is a list of its own: a device made after the links were listed is unknown to the rest. Then all is read
    /// again, a few times; after that the kernel's state is taken as it is, and what names no device is left to the
    /// plan, which makes it anew or fails.
    private mutating func consistently(
        _ more: (inout Observer, DeviceNames, inout NamespaceSnapshot) throws(NetlinkError) -> Void
    ) throws(NetlinkError) -> NamespaceSnapshot {
        var attempt = 1
        while true {
            var snapshot = NamespaceSnapshot()
            let readings = try socket.links()
            let names = DeviceNames(readings)
            let delays = try socket.proxyDelays()
            snapshot.links = readings.map { $0.observed(owner, names, proxyDelay: delays[$0.index]) }
            snapshot.links.sort { $0.link.name < $1.link.name }
            try readAddresses(into: &snapshot, names)
            snapshot.rules = try socket.rules()
            try more(&self, names, &snapshot)
            snapshot.routes = try socket.routes(owner.routeProtocol, names)
            if !names.hasMissed || attempt == 4 { return snapshot }
            attempt += 1
        }
    }

    mutating func localAddresses() throws(NetlinkError) -> Set<IPAddress> {
        Set(try socket.addresses(DeviceNames()).map(\.address.address))
    }

    /// Those of `tables` that anybody has routes in, looks up by a rule, or has given to a VRF.
    mutating func occupied(_ tables: [TableID]) throws(NetlinkError) -> Set<TableID> {
        var taken = try socket.tablesOfRules()
        for reading in try socket.links() { taken.formUnion(reading.vrfTable.map { [$0] } ?? []) }
        taken.formIntersection(tables)
        for table in Set(tables).subtracting(taken) where try socket.hasRoutes(table) { taken.insert(table) }
        return taken
    }

    private mutating func readAddresses(
        into snapshot: inout NamespaceSnapshot, _ names: DeviceNames
    ) throws(NetlinkError) {
        for reading in try socket.addresses(names) {
            if reading.routeProtocol == owner.routeProtocol {
                snapshot.addresses.append(reading.address)
            } else {
                snapshot.foreignAddresses.append(reading.address)
            }
        }
        snapshot.addresses.sort { $0.key < $1.key }
        snapshot.foreignAddresses.sort { $0.key < $1.key }
    }
}

/// Which name a device's number has.
final class DeviceNames {
    private let names: [UInt32: InterfaceName]
    /// Whether a number was asked for that no device had when they were listed.
    private(set) var hasMissed = false

    init(_ readings: [LinkReading] = []) {
        names = Dictionary(readings.map { ($0.index, $0.name) }, uniquingKeysWith: { first, _ in first })
    }

    /// The device that another one of the same list names; `.none` for 0 and for one in another namespace.
    func reference(_ index: UInt32) -> InterfaceName { names[index] ?? .none }

    /// `.none` for an unknown number.
    subscript(index: UInt32) -> InterfaceName {
        if let name = names[index] { return name }
        hasMissed = true
        return .none
    }
}
