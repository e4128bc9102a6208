import CLinux
import IPAddressing
import KernelModel
import KernelNames
import Netlink

/// Reads one network namespace.
struct Observer: ~Copyable {
    let namespace: NetworkNamespace
    let owner: Ownership
    var socket: NetlinkSocket
    var likelyRoutes = 0
    /// The ways to tell of.
    var paths: PathRequest?
    /// The devices of the namespace that tunnels leave by, where that is another one.
    private let tunnelsBy: DeviceNames?

    init(
        _ namespace: NetworkNamespace, owner: Ownership, tunnelsBy names: DeviceNames? = nil
    ) throws(NetlinkError) {
        tunnelsBy = names
        self.namespace = namespace
        self.owner = owner
        socket = try NetlinkSocket(in: namespace)
    }

    /// Everything the model knows of.
    mutating func host(sysctls: [String]) throws(NetlinkError) -> NamespaceReading {
        let parameters = try namespace.sysctls(sysctls)
        return try consistently { observer, reading throws(NetlinkError) in
            reading.snapshot.sysctls = parameters
            reading.snapshot.neighbors = try observer.socket.neighbors(
                observer.owner.routeProtocol, reading.devices.names)
            reading.takeNexthops(try observer.socket.nexthops(), observer.owner)
            reading.paths = PathReadings(observer.paths)
            try reading.paths.read(reading.paths.all, &observer.socket)
            reading.snapshot.paths = reading.paths.paths(reading.devices)
        }
    }

    /// What is planned for guests: no parameters, neighbours or nexthops. A host may have hundreds of them.
    mutating func guest(onlyRules: Bool = false) throws(NetlinkError) -> NamespaceReading {
        guard onlyRules else { return try consistently { _, _ in } }
        var reading = NamespaceReading(devices: DeviceReadings([]))
        reading.snapshot.rules = try socket.rules()
        return reading
    }

    /// Reads links, addresses, rules and routes, and what `more` adds.
    ///
    /// Each kind is a list of its own: a device made after the links were listed is unknown to the rest. Then all is read
    /// again, a few times; after that the kernel's state is taken as it is, and what names no device is left to the
    /// plan, which makes it anew or fails.
    private mutating func consistently(
        _ more: (inout Observer, inout NamespaceReading) throws(NetlinkError) -> Void
    ) throws(NetlinkError) -> NamespaceReading {
        var attempt = 1
        while true {
            var reading = NamespaceReading(devices: DeviceReadings(try socket.links(), tunnelsBy: tunnelsBy))
            reading.devices.proxyDelays = try socket.proxyDelays()
            reading.snapshot.links = reading.devices.observed(owner)
            let names = reading.devices.names
            reading.takeAddresses(try socket.addresses(names), owner)
            reading.snapshot.rules = try socket.rules()
            try more(&self, &reading)
            reading.snapshot.routes = try socket.routes(owner.routeProtocol, names, likely: likelyRoutes)
            if !names.hasMissed || attempt == 4 { return reading }
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
}

/// What was read of a namespace, with what the model has no room for.
struct NamespaceReading {
    var snapshot = NamespaceSnapshot()
    var devices: DeviceReadings
    var nexthopDevices = NexthopDevices()
    var paths = PathReadings()
    /// Whether there is an address with another end: only then two can have one key.
    var hasPointToPoint = false

    init(devices: DeviceReadings) { self.devices = devices }

    fileprivate mutating func takeAddresses(_ readings: [AddressReading], _ owner: Ownership) {
        (snapshot.addresses, snapshot.foreignAddresses) = readings.byOwner(owner)
        hasPointToPoint = readings.contains(where: \.isPointToPoint)
    }

    fileprivate mutating func takeNexthops(_ readings: [NexthopReading], _ owner: Ownership) {
        for reading in readings {
            nexthopDevices[reading.id] = reading.source
            if reading.routeProtocol == owner.routeProtocol {
                snapshot.nexthops.append(reading.nexthop(devices.names))
            } else {
                snapshot.foreignNexthops.append(reading.id)
            }
        }
    }
}

extension [AddressReading] {
    /// The owner's and the others', both sorted by key.
    func byOwner(_ owner: Ownership) -> (owned: [Address], foreign: [Address]) {
        var owned: [Address] = []
        var foreign: [Address] = []
        for reading in self {
            if reading.routeProtocol == owner.routeProtocol {
                owned.append(reading.address)
            } else if !reading.isKernelLinkLocal {
                foreign.append(reading.address)
            }
        }
        owned.sort { $0.key < $1.key }
        foreign.sort { $0.key < $1.key }
        return (owned, foreign)
    }
}
