public import IPAddressing
public import KernelModel
public import KernelNames
public import NFTables
public import Netlink
import Synchronization

/// Reads and changes the kernel of one network namespace, and of the namespaces of its guests.
///
/// A host may have a namespace of its own (``serving(_:of:)``), made and removed by plans. Then
/// its tunnels are made where their packets travel, and moved; and devices of others that it adopts come from there.
///
/// Every call opens its own sockets: a driver holds no state, so it can be shared and outlives any change of the kernel.
public struct KernelDriver: KernelAccess, Sendable {
    /// Where the packets of tunnels travel; the host's namespace, too, unless it has one of its own.
    public let underlay: NetworkNamespace
    /// The host's own namespace; nil where it has none.
    private(set) var own: (name: NamespaceName, owner: Ownership)?
    /// Keeps that from going away with its name, as long as it is mirrored.
    let hold = NamespaceHold()
    /// How long a port may take to become operational. A veth's end needs less than a second after both ends are up,
    /// even on an emulated machine.
    public var operationalTimeout: Duration
    /// For tests of what is left when something fails half-way.
    package var refusal: InjectedRefusal?

    public init(namespace: NetworkNamespace = .current, operationalTimeout: Duration = .seconds(10)) {
        underlay = namespace
        self.operationalTimeout = operationalTimeout
    }

    public func serving(_ namespace: NamespaceName, of owner: Ownership) -> any KernelAccess {
        withOwnNamespace(namespace, of: owner)
    }

    /// ``serving(_:of:)``, as what it is.
    public func withOwnNamespace(_ namespace: NamespaceName, of owner: Ownership) -> KernelDriver {
        var driver = self
        driver.own = (namespace, owner)
        return driver
    }

    /// The name of the namespace that a host with this underlay has of its own; nil where there is none.
    public func ownNamespace(of owner: Ownership) throws(NetlinkError) -> NamespaceName? {
        try HostNamespace.find(underlay.cookie(), owner)?.0
    }

    /// Where the host is now; nil where it has a namespace of its own that is not there.
    public var namespace: NetworkNamespace? { get throws(NetlinkError) { try hostNamespace().namespace } }

    /// - Throws: `NetlinkError` when the host's namespace cannot be read, or keeps changing while it is read.
    public func observe(_ request: ObservationRequest) throws(NetlinkError) -> KernelSnapshot {
        var snapshot = KernelSnapshot()
        if own != nil {
            let host = try hostNamespace()
            snapshot.standing = host.standing
            let names: DeviceNames
            (snapshot.underlay, names) = try observeUnderlay(request)
            if let namespace = host.namespace {
                snapshot.host = try observeHost(request, in: namespace, paths: nil, tunnelsBy: names)
            } else {
                let new = try hold.newNamespace()
                snapshot.host = try observeHost(request, in: new.namespace, paths: nil, tunnelsBy: names)
            }
        } else {
            snapshot.host = try observeHost(request, in: underlay, paths: request.paths, tunnelsBy: nil)
        }
        if request.guestScope == .nothing { return snapshot }
        for guest in request.guests(with: snapshot.host.links).sorted() {
            let namespace = NetworkNamespace.named(guest.rawValue)
            guard namespace.exists else { continue }
            do throws(NetlinkError) {
                var observer = try Observer(namespace, owner: request.owner)
                snapshot.guests[guest] = try observer.guest(onlyRules: request.guestScope == .rules).snapshot
            } catch {
                // Gone since we looked: as if it had never been there.
                if namespace.exists { throw error }
            }
        }
        return snapshot
    }

    /// Which namespace the host's is now.
    func hostNamespace() throws(NetlinkError) -> HostNamespace {
        guard let own else { return HostNamespace(.given, underlay) }
        return try HostNamespace(named: own.name, of: underlay, owner: own.owner, held: hold.namespace)
    }

    private func observeHost(
        _ request: ObservationRequest, in namespace: NetworkNamespace, paths: PathRequest?,
        tunnelsBy names: DeviceNames?
    ) throws(NetlinkError) -> NamespaceSnapshot {
        var observer = try Observer(namespace, owner: request.owner, tunnelsBy: names)
        observer.likelyRoutes = request.likelyRoutes
        observer.paths = paths
        var snapshot = try observer.host(sysctls: request.sysctls).snapshot
        if request.firewall.isEmpty { return snapshot }
        var firewall = try FirewallDriver(in: namespace)
        snapshot.firewall =
            try request.readsFirewall ? firewall.observe(request.firewall) : firewall.presence(of: request.firewall)
        return snapshot
    }

    private func observeUnderlay(
        _ request: ObservationRequest
    ) throws(NetlinkError) -> (NamespaceSnapshot, DeviceNames) {
        var observer = try Observer(underlay, owner: request.owner)
        observer.paths = request.paths
        let reading = try observer.host(sysctls: [])
        var snapshot = reading.snapshot
        if !request.underlayFirewall.isEmpty {
            var firewall = try FirewallDriver(in: underlay)
            snapshot.firewall = try firewall.observe(request.underlayFirewall)
        }
        return (snapshot, reading.devices.names)
    }

    public func commit(_ plan: ChangePlan, owner: Ownership) -> CommitReport {
        var committer = Committer(self, owner: owner, conflicts: plan.conflicts)
        for step in plan.steps { committer.perform(step) }
        return committer.report
    }

    /// The owner's routes of one table, by key: in time that depends on that table alone, however many others there are.
    public func routes(in table: TableID, of owner: Ownership) throws -> [Route] {
        guard let namespace = try namespace else { return [] }
        var socket = try NetlinkSocket(in: namespace)
        let names = DeviceNames()
        let routes = try socket.routes(owner.routeProtocol, names, table: table)
        // Devices are listed only where a route names one: there may be thousands.
        return names.hasMissed
            ? try socket.routes(owner.routeProtocol, DeviceNames(socket.links()), table: table) : routes
    }

    public func occupied(_ tables: [TableID]) throws -> Set<TableID> {
        guard !tables.isEmpty, let namespace = try namespace else { return [] }
        var observer = try Observer(namespace, owner: Ownership(routeProtocol: RouteProtocol(0), aliasPrefix: ""))
        return try observer.occupied(tables)
    }

    public func foreignRoutes(by devices: [InterfaceName], owner: Ownership) throws -> [InterfaceName: String] {
        if devices.isEmpty { return [:] }
        var socket = try NetlinkSocket(in: underlay)
        return try socket.foreignRoutes(by: devices, owner.routeProtocol)
    }

    public func counters(of table: NFTable) throws -> [NFObservedObject] {
        guard let namespace = try namespace else { return [] }
        var firewall = try FirewallDriver(in: namespace)
        return try firewall.counters(of: table)
    }

    public func listings(of tables: [NFTable], in place: Place) throws -> [NFListing] {
        guard let namespace = place == .underlay ? underlay : try namespace else { return [] }
        var firewall = try FirewallDriver(in: namespace)
        return try firewall.listings(of: tables)
    }

    /// Those of the namespace.
    private static var connectionCount: String { "net/netfilter/nf_conntrack_count" }

    public func connections() throws -> [Connection] {
        guard let namespace = try namespace else { return [] }
        // A packet that is being judged may yet begin one.
        PacketsUnderWay.wait()
        // For a list the kernel looks at all it has room for, of all namespaces.
        if try namespace.sysctls([Self.connectionCount]).first?.value == "0" { return [] }
        var socket = try ConntrackSocket(in: namespace)
        var connections: [Connection] = []
        try socket.forEachFlow { if $0.zone != 0 { connections.append(Connection($0)) } }
        return connections
    }

    public func trackingTable() throws -> TrackingTable? {
        guard let namespace = try namespace else { return nil }
        var socket = try ConntrackSocket(in: namespace)
        let (count, room) = try socket.statistics()
        return room > 0 ? TrackingTable(count: count, room: room) : nil
    }

    public func connectionCounts(sample: Int?) throws -> [UInt16: Int] {
        guard let namespace = try namespace else { return [:] }
        return try ConntrackSocket(in: namespace).countsByZone(sample: sample)
    }

    public func unplacedConnections() throws -> Int {
        guard let namespace = try namespace else { return 0 }
        var socket = try ConntrackSocket(in: namespace)
        return try socket.failedInserts()
    }

    public func localAddresses() throws -> Set<IPAddress> {
        var observer = try Observer(underlay, owner: Ownership(routeProtocol: RouteProtocol(0), aliasPrefix: ""))
        return try observer.localAddresses()
    }
}

/// The host's namespace, held open, or one that is to become it.
final class NamespaceHold: Sendable {
    private let state = Mutex<State>(State())

    private struct State {
        var namespace: OpenNamespace?
        var new: OpenNamespace?
    }

    var namespace: OpenNamespace? {
        get { state.withLock { $0.namespace } }
        set { state.withLock { $0.namespace = newValue } }
    }

    /// One without a name, for plans to be made from as long as there is none; the same until it is taken: to make one
    /// takes the kernel as long as many devices.
    func newNamespace() throws(NetlinkError) -> OpenNamespace {
        if let known = state.withLock({ $0.new }) { return known }
        let made = try NetworkNamespace.withTemporary { () throws(NetlinkError) in try NetworkNamespace.current.opened()
        }
        return state.withLock { state in
            let new = state.new ?? made
            state.new = new
            return new
        }
    }

    /// Hands over the one that was planned from.
    func takeNew() throws(NetlinkError) -> OpenNamespace {
        let new = try newNamespace()
        state.withLock { $0.new = nil }
        return new
    }
}

extension ObservationRequest {
    /// The namespaces that are asked for and those that aliases of our veths name.
    func guests(with links: [ObservedLink]) -> Set<NamespaceName> {
        var guests = Set(self.guests)
        for seen in links {
            if seen.isOwned, case .veth(let peer) = seen.link.kind { guests.insert(peer.namespace) }
        }
        return guests
    }
}
