public import IPAddressing
public import KernelModel
public import KernelNames
public import NFTables
public import Netlink

/// Reads and changes the kernel of one network namespace, and of the namespaces of its guests.
///
/// Every call opens its own sockets: a driver holds no state, so it can be shared and outlives any change of the kernel.
public struct KernelDriver: KernelAccess, Sendable {
    /// The host's namespace.
    public var namespace: NetworkNamespace
    /// How long a port may take to become operational. A veth's end needs less than a second after both ends are up,
    /// even on an emulated machine.
    public var operationalTimeout: Duration
    /// For tests of what is left when something fails half-way.
    package var refusal: InjectedRefusal?

    public init(namespace: NetworkNamespace = .current, operationalTimeout: Duration = .seconds(10)) {
        self.namespace = namespace
        self.operationalTimeout = operationalTimeout
    }

    /// - Throws: `NetlinkError` when the host's namespace cannot be read, or keeps changing while it is read.
    public func observe(_ request: ObservationRequest) throws(NetlinkError) -> KernelSnapshot {
        var snapshot = KernelSnapshot()
        var observer = try Observer(namespace, owner: request.owner)
        observer.likelyRoutes = request.likelyRoutes
        observer.paths = request.paths
        snapshot.host = try observer.host(sysctls: request.sysctls).snapshot
        if !request.firewall.isEmpty {
            var firewall = try FirewallDriver(in: namespace)
            snapshot.host.firewall =
                try request.readsFirewall
                ? firewall.observe(request.firewall) : firewall.presence(of: request.firewall)
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

    public func commit(_ plan: ChangePlan, owner: Ownership) -> CommitReport {
        var committer = Committer(
            host: namespace, owner: owner, operationalTimeout: operationalTimeout, conflicts: plan.conflicts,
            refusal: refusal)
        for step in plan.steps { committer.perform(step) }
        return committer.report
    }

    /// The owner's routes of one table, by key: in time that depends on that table alone, however many others there are.
    public func routes(in table: TableID, of owner: Ownership) throws -> [Route] {
        var socket = try NetlinkSocket(in: namespace)
        let names = DeviceNames()
        let routes = try socket.routes(owner.routeProtocol, names, table: table)
        // Devices are listed only where a route names one: there may be thousands.
        return names.hasMissed
            ? try socket.routes(owner.routeProtocol, DeviceNames(socket.links()), table: table) : routes
    }

    public func occupied(_ tables: [TableID]) throws -> Set<TableID> {
        if tables.isEmpty { return [] }
        var observer = try Observer(namespace, owner: Ownership(routeProtocol: RouteProtocol(0), aliasPrefix: ""))
        return try observer.occupied(tables)
    }

    public func foreignRoutes(by devices: [InterfaceName], owner: Ownership) throws -> [InterfaceName: String] {
        if devices.isEmpty { return [:] }
        var socket = try NetlinkSocket(in: namespace)
        return try socket.foreignRoutes(by: devices, owner.routeProtocol)
    }

    public func counters(of table: NFTable) throws -> [NFObservedObject] {
        var firewall = try FirewallDriver(in: namespace)
        return try firewall.counters(of: table)
    }

    public func listings(of tables: [NFTable]) throws -> [NFListing] {
        var firewall = try FirewallDriver(in: namespace)
        return try firewall.listings(of: tables)
    }

    public func connections() throws -> [Connection] {
        // A packet that is being judged may yet begin one.
        PacketsUnderWay.wait()
        var socket = try ConntrackSocket(in: namespace)
        var connections: [Connection] = []
        try socket.forEachFlow { if $0.zone != 0 { connections.append(Connection($0)) } }
        return connections
    }

    public func localAddresses() throws -> Set<IPAddress> {
        var observer = try Observer(namespace, owner: Ownership(routeProtocol: RouteProtocol(0), aliasPrefix: ""))
        return try observer.localAddresses()
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
