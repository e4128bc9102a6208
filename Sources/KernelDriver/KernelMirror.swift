import CLinux
public import KernelModel
import KernelNames
public import Netlink

/// What is known of a host's namespace and those of its guests, kept equal to the kernel by its notifications.
///
/// What a notification says exactly is taken from it: routes, addresses, neighbours, nexthops, rules, links, and in our
/// tables of nf_tables elements, rules, chains and objects. What it does not say is read again, and nothing else: the
/// routes by a device that went down, the nexthops by one that lost its carrier, a set that somebody else put something
/// odd into. So the cost of an update is that of the change, however much is known.
///
/// The kernel does not tell of everything. Not at all of parameters, for ``checkParameters()``; of some settings of
/// devices, above all of those that are down, for ``checkLinks()``; of counters, which are as they were when their rule
/// or object was last told of. IPv6 addresses are told of when the kernel has found them to be unique, neighbours of a
/// loopback or point-to-point device, which all have the address 0.0.0.0, at times only.
/// ``resynchronize()`` reads everything.
///
/// A guest's namespace is listened to as long as it has its name: the name's removal ends it, as always.
public struct KernelMirror: ~Copyable {
    /// As of the last update.
    public private(set) var snapshot: KernelSnapshot

    private let driver: KernelDriver
    /// The host's, or where there is none yet one that is as a new one.
    private let namespace: NetworkNamespace
    /// It, if it is one of the host's own.
    private let held: OpenNamespace?
    private var request: ObservationRequest
    private var host: NamespaceMirror
    private var firewall: FirewallMirror
    /// Where the packets of tunnels travel, if that is another namespace.
    private let underlay: Optional<UnderlayMirror>
    /// Which namespace `host` is.
    private let identity: UInt64?
    /// Whether it only stands for one that is to be made.
    private var isStandIn: Bool
    /// Whether the host's namespace is another one by now: what is known of it is not true any more.
    public private(set) var isDisplaced: Bool
    private var directory: NamespaceDirectory
    /// The guests that concern us, whether they exist or not.
    private var wanted: Set<NamespaceName>
    private var guests: [NamespaceName: Guest]
    /// Names that no namespace is mounted on yet.
    private var unmounted: Set<NamespaceName>
    /// Spelled out, as above: `MountTable?` would be set at once, and then an initializer could not throw.
    private var mounts: Optional<MountTable>
    private var poll: Poll
    /// What a change of the request brought.
    private var carried: Update

    private final class Guest {
        let namespace: OpenNamespace
        let identity: UInt64
        var mirror: NamespaceMirror

        init(_ namespace: OpenNamespace, _ identity: UInt64, _ mirror: consuming NamespaceMirror) {
            self.namespace = namespace
            self.identity = identity
            self.mirror = mirror
        }
    }

    public typealias Update = KernelUpdate

    /// Listens, and then reads everything.
    ///
    /// - Parameters:
    ///   - request: What is mirrored; all of guests' namespaces and of the tables, whatever it says of them.
    ///   - receiveBuffer: Bytes for the host's notifications that wait, of routes and the like and of nf_tables each.
    ///     Only what waits takes memory. The kernel needs about 1 KiB for a route: 32 MiB (it allows twice as much) are
    ///     enough for 50,000 at once.
    public init(
        _ driver: KernelDriver, _ request: ObservationRequest, receiveBuffer: Int = 32 << 20
    ) throws(NetlinkError) {
        let request = request.whole
        var snapshot = KernelSnapshot()
        var changes = NamespaceChanges()
        var poll = try Poll()
        // Before it is looked for: what becomes of its name is told from here on.
        let directory = try NamespaceDirectory()
        let underlay = try UnderlayMirror(driver, request, receiveBuffer: receiveBuffer, into: &snapshot.underlay)
        let found = try driver.hostNamespace()
        snapshot.standing = found.standing
        let held = try driver.own == nil ? nil : Self.held(found, driver.hold)
        driver.hold.namespace = found.namespace == nil ? nil : held
        let namespace = held?.namespace ?? driver.underlay
        let host = try NamespaceMirror(
            namespace, owner: request.owner, isGuest: false, paths: underlay == nil ? request.paths : nil,
            tunnelsBy: underlay?.deviceNames, receiveBuffer: receiveBuffer, into: &snapshot.host, &changes)
        let firewall = try FirewallMirror(
            namespace, request.firewall, receiveBuffer: receiveBuffer, into: &snapshot.host.firewall, &changes)
        snapshot.host.sysctls = try namespace.sysctls(request.sysctls)
        try poll.add(host.fileDescriptor)
        try poll.add(firewall.fileDescriptor)
        try poll.add(directory.descriptor)
        for descriptor in underlay?.fileDescriptors ?? [] { try poll.add(descriptor) }
        var mirror = KernelMirror(
            driver, request, snapshot, namespace, held, host, firewall, underlay, directory, poll)
        var update = Update()
        try mirror.followGuests(&update)
        // What came while we were reading.
        _ = try mirror.update()
        self = mirror
    }

    private init(
        _ driver: KernelDriver, _ request: ObservationRequest, _ snapshot: KernelSnapshot,
        _ namespace: NetworkNamespace, _ held: OpenNamespace?, _ host: consuming NamespaceMirror,
        _ firewall: consuming FirewallMirror, _ underlay: UnderlayMirror?, _ directory: consuming NamespaceDirectory,
        _ poll: consuming Poll
    ) {
        self.driver = driver
        self.namespace = namespace
        self.held = held
        self.underlay = underlay
        identity = held.flatMap { try? $0.namespace.identity() }
        isDisplaced = false
        isStandIn = driver.own != nil && driver.hold.namespace == nil
        self.request = request
        self.snapshot = snapshot
        self.host = host
        self.firewall = firewall
        self.directory = directory
        self.poll = poll
        wanted = []
        guests = [:]
        unmounted = []
        mounts = nil
        carried = Update()
    }

    private static let guestReceiveBuffer = 1 << 20

    /// Readable as long as notifications wait.
    public var fileDescriptor: Int32 { poll.descriptor }

    // MARK: Updating

    /// Takes in all notifications that have come, also those of what ``KernelDriver/commit(_:owner:)`` did.
    ///
    /// - Parameter plan: What was committed since the last update. What its changes bring about without a notification,
    ///   parameters and settings of devices, is read.
    /// - Throws: `NetlinkError` when the kernel cannot be read. What is known is then not reliable any more: make
    ///   another mirror.
    public mutating func update(after plan: ChangePlan? = nil) throws(NetlinkError) -> Update {
        var update = carried
        carried = Update()
        if let plan { try suspect(what: plan, &update) }
        try updateHost(&update)
        try updateGuests(&update)
        return update
    }

    /// From now on mirrors what this request names.
    public mutating func follow(_ request: ObservationRequest) throws(NetlinkError) {
        let request = request.whole
        if request == self.request { return }
        self.request = request
        host.owner = request.owner
        if underlay == nil { host.paths = request.paths }
        for guest in guests.values { guest.mirror.owner = request.owner }
        firewall.tables = request.firewall
        underlay?.follow(request)
        var update = carried
        try readParameters(&update)
        try updateHost(&update)
        try followGuests(&update)
        for name in guests.keys.sorted() { try updateGuest(name, &update) }
        carried = update
    }

    /// Reads everything again.
    public mutating func resynchronize() throws(NetlinkError) -> Update {
        var update = carried
        carried = Update()
        host.suspectEverything()
        firewall.suspectEverything()
        underlay?.suspectEverything()
        for guest in guests.values { guest.mirror.suspectEverything() }
        try readParameters(&update)
        try updateHost(&update)
        for name in wanted.sorted() { try check(name, &update) }
        for name in guests.keys.sorted() { try updateGuest(name, &update) }
        return update
    }

    /// Reads the request's parameters, a handful of files, of whose changes nobody tells.
    public mutating func checkParameters() throws(NetlinkError) -> Update {
        var update = Update()
        try readParameters(&update)
        return update
    }

    /// Takes in all notifications and reads the settings of all devices of the host's namespace, of some of whose changes
    /// nobody tells, and the ways that were asked for. The cost is that of a list of the devices and of a question per way.
    public mutating func checkLinks() throws(NetlinkError) -> Update {
        host.suspectLinks()
        underlay?.suspectLinks()
        return try update()
    }

    private mutating func readParameters(_ update: inout Update) throws(NetlinkError) {
        let parameters = try namespace.sysctls(request.sysctls)
        if parameters == snapshot.host.sysctls { return }
        snapshot.host.sysctls = parameters
        update.insert(.sysctl)
    }

    private mutating func suspect(what plan: ChangePlan, _ update: inout Update) throws(NetlinkError) {
        for step in plan.steps {
            switch step.work {
            case .sysctls: if step.place == .host { try readParameters(&update) }
            case .namespaces: try checkHost(&update)
            case .links(let changes):
                // New ones are known by name only when they have been told of.
                if let name = step.place.guest {
                    try updateGuest(name, &update)
                    guard let snapshot = snapshot.guests[name] else { continue }
                    guests[name]?.mirror.suspectLinks(changes.silentlyChanged(in: snapshot), in: snapshot)
                    try updateGuest(name, &update)
                } else {
                    try updateHost(&update)
                    host.suspectLinks(changes.silentlyChanged(in: snapshot.host), in: snapshot.host)
                }
            default: break
            }
        }
    }

    private mutating func updateHost(_ update: inout Update) throws(NetlinkError) {
        var changes = NamespaceChanges()
        if let underlay {
            try underlay.update(&snapshot.underlay, &update)
            host.tunnelsBy = underlay.deviceNames
        }
        try host.update(&snapshot.host, &changes)
        try firewall.update(&snapshot.host.firewall, &changes)
        update.add(changes)
        if changes.areParametersSuspect { try readParameters(&update) }
        if changes.kinds.contains(.link) { try followGuests(&update) }
    }

    /// The one that was found, or one as it is when it is new.
    private static func held(
        _ found: HostNamespace, _ hold: NamespaceHold
    ) throws(NetlinkError) -> OpenNamespace {
        if let namespace = found.namespace { return try namespace.opened() }
        return try hold.newNamespace()
    }

    /// Looks whether the host's namespace is still the one that is mirrored, and has its name.
    private mutating func checkHost(_ update: inout Update) throws(NetlinkError) {
        if driver.own == nil { return }
        let found = try driver.hostNamespace()
        let present = try found.namespace?.identity()
        if isStandIn, present == identity {
            // It has become the host's.
            isStandIn = false
            driver.hold.namespace = held
        }
        if (present ?? identity) != identity || (present == nil) != isStandIn { isDisplaced = true }
        if found.standing == snapshot.standing { return }
        snapshot.standing = found.standing
        update.isUnderlayConcerned = true
    }

    // MARK: Guests

    private mutating func updateGuests(_ update: inout Update) throws(NetlinkError) {
        let ready = try poll.ready()
        // A mount is told of once, to whoever asks first: who waited for our descriptor has had it.
        var suspects = unmounted
        if ready.contains(directory.descriptor) {
            switch try directory.changes() {
            case .names(let names):
                suspects.formUnion(names.intersection(wanted))
                if let own = driver.own?.name, names.contains(own) { try checkHost(&update) }
            case .any:
                suspects = wanted
                try checkHost(&update)
            }
        }
        for name in suspects.sorted() { try check(name, &update) }
        for (name, guest) in guests.sorted(by: { $0.key < $1.key })
        where ready.contains(guest.mirror.fileDescriptor) {
            try updateGuest(name, &update)
        }
    }

    private mutating func updateGuest(_ name: NamespaceName, _ update: inout Update) throws(NetlinkError) {
        guard let guest = guests[name] else { return }
        var changes = NamespaceChanges()
        try guest.mirror.update(&snapshot.guests[name, default: NamespaceSnapshot()], &changes)
        update.add(changes, guest: name)
    }

    /// Listens to the namespaces that concern us now, and no longer to those that do not.
    private mutating func followGuests(_ update: inout Update) throws(NetlinkError) {
        let names = request.guests(with: snapshot.host.links)
        if names == wanted { return }
        let added = names.subtracting(wanted)
        for name in wanted.subtracting(names) {
            close(name, &update)
            unmounted.remove(name)
        }
        wanted = names
        // A socket and the namespace itself.
        DescriptorLimit.makeRoom(for: names.count * 2)
        for name in added.sorted() { try check(name, &update) }
    }

    /// Looks whether there is a namespace of this name, and whether it is still the same one.
    private mutating func check(_ name: NamespaceName, _ update: inout Update) throws(NetlinkError) {
        let named = NetworkNamespace.named(name.rawValue)
        // As long as we hold one, no other can have its number.
        if let guest = guests[name] {
            if named.exists, (try? named.identity()) == guest.identity { return }
            close(name, &update)
        }
        do throws(NetlinkError) {
            if named.exists { try open(name, named, &update) }
        } catch {
            // Gone since we looked: as if it had never been there.
            if named.exists { throw error }
        }
        try awaitMount(of: name, isThere: guests[name] != nil, &update)
    }

    private mutating func open(
        _ name: NamespaceName, _ named: NetworkNamespace, _ update: inout Update
    ) throws(NetlinkError) {
        let namespace = try named.opened()
        var changes = NamespaceChanges()
        var snapshot = NamespaceSnapshot()
        let mirror = try NamespaceMirror(
            namespace.namespace, owner: request.owner, isGuest: true, receiveBuffer: Self.guestReceiveBuffer,
            into: &snapshot, &changes)
        let guest = Guest(namespace, try namespace.namespace.identity(), mirror)
        try poll.add(guest.mirror.fileDescriptor)
        guests[name] = guest
        self.snapshot.guests[name] = snapshot
        update.add(changes, guest: name)
        update.guests.insert(name)
    }

    private mutating func close(_ name: NamespaceName, _ update: inout Update) {
        guard let guest = guests.removeValue(forKey: name) else { return }
        poll.remove(guest.mirror.fileDescriptor)
        snapshot.guests[name] = nil
        update.guests.insert(name)
    }

    /// Where a name is only a file, listens to mounts until it is a namespace or gone.
    private mutating func awaitMount(
        of name: NamespaceName, isThere: Bool, _ update: inout Update
    ) throws(NetlinkError) {
        if isThere || !NetworkNamespace.isNameInUse(name.rawValue) {
            unmounted.remove(name)
            if unmounted.isEmpty, let mounts {
                poll.remove(mounts.descriptor)
                self.mounts = nil
            }
            return
        }
        unmounted.insert(name)
        if mounts != nil { return }
        let mounts = try MountTable()
        try poll.add(mounts.descriptor, EPOLLPRI)
        self.mounts = mounts
        // It may have been mounted before we listened.
        try check(name, &update)
    }
}

extension KernelUpdate {
    fileprivate mutating func add(_ changes: NamespaceChanges, guest: NamespaceName? = nil) {
        if let guest {
            if !changes.kinds.isEmpty { guests.insert(guest) }
        } else {
            kinds.formUnion(changes.kinds)
            objects.formUnion(changes.objects)
        }
        notifications += changes.notifications
        wasOverrun = wasOverrun || changes.wasOverrun
        objectsRead += changes.objectsRead
    }
}

/// A mirror that several may refer to.
private final class SharedMirror: KernelMirroring {
    private let driver: KernelDriver
    private var request: ObservationRequest
    private var mirror: KernelMirror

    init(_ driver: KernelDriver, _ request: ObservationRequest) throws(NetlinkError) {
        self.driver = driver
        self.request = request
        mirror = try KernelMirror(driver, request)
    }

    var snapshot: KernelSnapshot { mirror.snapshot }
    var fileDescriptor: Int32 { mirror.fileDescriptor }

    func update(after plan: ChangePlan?) throws -> KernelUpdate { try renewed(mirror.update(after: plan)) }
    func follow(_ request: ObservationRequest) throws {
        self.request = request
        try mirror.follow(request)
    }
    func resynchronize() throws -> KernelUpdate { try renewed(mirror.resynchronize()) }
    func checkParameters() throws -> KernelUpdate { try mirror.checkParameters() }
    func checkLinks() throws -> KernelUpdate { try renewed(mirror.checkLinks()) }

    /// Where the host's namespace is another one by now, everything is new.
    private func renewed(_ update: KernelUpdate) throws(NetlinkError) -> KernelUpdate {
        guard mirror.isDisplaced else { return update }
        mirror = try KernelMirror(driver, request)
        var update = update
        for kind in ObjectKind.allCases { update.insert(kind) }
        update.guests.formUnion(mirror.snapshot.guests.keys)
        update.isUnderlayConcerned = true
        return update
    }
}

extension KernelDriver {
    public func mirror(_ request: ObservationRequest) throws -> any KernelMirroring {
        try SharedMirror(self, request)
    }
}

extension ObservationRequest {
    fileprivate var whole: ObservationRequest {
        var request = self
        (request.guestScope, request.readsFirewall) = (.everything, true)
        return request
    }
}

extension ChangeSet<Link> {
    /// Devices whose settings may be others now without the kernel having told of it. A new one that is up was told of
    /// when it came up, after everything else.
    fileprivate func silentlyChanged(in snapshot: NamespaceSnapshot) -> [InterfaceName] {
        let down = creations.map(\.object.name).filter { snapshot.link(named: $0)?.link.isUp == false }
        return deletions.map(\.name) + down + replacements.map(\.new.name)
    }
}
