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
        var snapshot = NamespaceSnapshot()
        snapshot.sysctls = try namespace.sysctls(sysctls)
        let names = try readLinks(into: &snapshot, proxyDelays: try socket.proxyDelays())
        try readAddresses(into: &snapshot, names)
        snapshot.rules = try socket.rules()
        snapshot.neighbors = try socket.neighbors(owner.routeProtocol, names)
        let nexthops = try socket.nexthops(owner.routeProtocol, names)
        snapshot.nexthops = nexthops.owned
        snapshot.foreignNexthops = nexthops.foreign
        snapshot.routes = try socket.routes(owner.routeProtocol, names)
        return snapshot
    }

    /// What is planned for guests: no parameters, neighbours or nexthops. A host may have hundreds of them.
    mutating func guest() throws(NetlinkError) -> NamespaceSnapshot {
        var snapshot = NamespaceSnapshot()
        let names = try readLinks(into: &snapshot, proxyDelays: [:])
        try readAddresses(into: &snapshot, names)
        snapshot.rules = try socket.rules()
        snapshot.routes = try socket.routes(owner.routeProtocol, names)
        return snapshot
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

    private mutating func readLinks(
        into snapshot: inout NamespaceSnapshot, proxyDelays: [UInt32: UInt64]
    ) throws(NetlinkError) -> DeviceNames {
        let readings = try socket.links()
        let names = DeviceNames(readings)
        snapshot.links = readings.map { $0.observed(owner, names, proxyDelay: proxyDelays[$0.index]) }
        snapshot.links.sort { $0.link.name < $1.link.name }
        return names
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
struct DeviceNames {
    private var names: [UInt32: InterfaceName]

    init() { names = [:] }

    init(_ readings: [LinkReading]) {
        names = Dictionary(readings.map { ($0.index, $0.name) }, uniquingKeysWith: { first, _ in first })
    }

    /// `.none` for a number that no device had when they were listed.
    subscript(index: UInt32) -> InterfaceName { names[index] ?? .none }
}
