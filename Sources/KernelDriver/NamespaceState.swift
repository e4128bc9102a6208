import CLinux
import IPAddressing
import KernelModel
import KernelNames
import Netlink

/// What there is to know of a namespace beside its snapshot, and what rtnetlink's notifications mean for both.
///
/// A notification sets its object to what it says, whatever was known of it. So notifications that are older than what
/// was read, as they come behind every reading, do no harm: the last one of each object is at least as new.
///
/// What a notification does not say exactly is only noted in ``stale`` and read again when all of them are taken in.
struct NamespaceState {
    var owner: Ownership
    let isGuest: Bool
    var devices = DeviceReadings()
    /// The devices that tunnels leave by, where those are in another namespace.
    var tunnelsBy: DeviceNames? { didSet { devices.names.others = tunnelsBy } }
    var nexthopDevices = NexthopDevices()
    var hasPointToPoint = false
    /// The ways that are to be known; none of a guest.
    var paths = PathReadings()

    var addressEdits = SortedEdits<Address>()
    var foreignAddressEdits = SortedEdits<Address>()
    var neighborEdits = SortedEdits<Neighbor>()
    var nexthopEdits = SortedEdits<Nexthop>()
    var routeEdits = SortedEdits<Route>()

    /// Keys at which there are, or were, several routes, ours or others': what a notification did to which of them is
    /// anybody's guess.
    var contested: Set<Route.Key> = []
    /// Devices and nexthop objects that are gone, with all routes by them, whose end nobody announces. Emptied before a
    /// route by another one of that name or number is noted.
    var goneDevices: Set<InterfaceName> = []
    var goneNexthops: Set<NexthopID> = []
    /// Nexthops that were made or replaced while it was not known whether they were still there.
    var renewedNexthops: Set<NexthopID> = []
    /// Devices that an IPv4 address was taken from.
    var bereaved: Set<UInt32> = []
    /// Routes that were told of after the devices of which they may have gone.
    var sureRoutes: Set<Route.Key> = []
    /// Whether the notifications that come now may be older than what was read.
    var isAfterReading = false
    var stale = Stale()

    /// What has to be read again.
    struct Stale {
        var everything = false
        var allLinks = false
        var links: Set<UInt32> = []
        var proxyDelays = false
        var addresses = false
        var rules = false
        var neighbors = false
        var nexthops = false
        var routes = false
        /// Routes of these tables.
        var tables: Set<TableID> = []
        /// Routes and neighbours by these devices.
        var devices: Set<UInt32> = []
        /// Nexthops by these devices, and all groups.
        var nexthopDevices: Set<UInt32> = []
        /// Ways, by position.
        var paths = 0..<0

        var isEmpty: Bool {
            !everything && !allLinks && links.isEmpty && !proxyDelays && !addresses && !rules && !neighbors
                && !nexthops && !routes && tables.isEmpty && devices.isEmpty && nexthopDevices.isEmpty && paths.isEmpty
        }

        /// Whether this is about what the kernel does only after it has told of its cause.
        var followsItsNotification: Bool {
            routes || nexthops || !links.isEmpty || !devices.isEmpty || !nexthopDevices.isEmpty || !paths.isEmpty
        }
    }

    init(owner: Ownership, isGuest: Bool) {
        self.owner = owner
        self.isGuest = isGuest
    }

    mutating func apply(
        _ message: borrowing Message, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) throws(CodecError) {
        switch Int(message.type.rawValue) {
        case RTM_NEWROUTE: try addRoute(message, &snapshot, &changes)
        case RTM_DELROUTE: try removeRoute(message, snapshot.routes)
        case RTM_NEWNEIGH: try setNeighbor(message, isRemoved: false)
        case RTM_DELNEIGH: try setNeighbor(message, isRemoved: true)
        case RTM_NEWADDR: try setAddress(message, isRemoved: false)
        case RTM_DELADDR: try setAddress(message, isRemoved: true)
        case RTM_NEWNEXTHOP: try addNexthop(message, &snapshot, &changes)
        case RTM_DELNEXTHOP: try removeNexthop(message, &snapshot, &changes)
        case RTM_NEWRULE: try setRule(message, isRemoved: false, &snapshot, &changes)
        case RTM_DELRULE: try setRule(message, isRemoved: true, &snapshot, &changes)
        case RTM_NEWLINK: try addLink(message, &snapshot, &changes)
        case RTM_DELLINK: try removeLink(message, &snapshot, &changes)
        case RTM_NEWNETCONF: try noteConfiguration(message, &changes)
        default: break
        }
    }

    // MARK: Routes

    // To the kernel several routes can have one key (NLM_F_APPEND): the flags of a notification say what became of the
    // others (fib_table_insert). NLM_F_EXCL: there was none. NLM_F_REPLACE: it took the place of the first one.
    private mutating func addRoute(
        _ message: borrowing Message, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) throws(CodecError) {
        guard let (route, isOwned) = try read(message) else { return }
        suspectPaths(by: route.key)
        // By another one of that name or number.
        if goneNexthops.contains(route.nexthop) || goneDevices.contains(route.device) {
            removeGone(&snapshot, &changes)
        }
        let key = route.key
        guard !contested.contains(key) else {
            stale.tables.insert(key.table)
            return
        }
        let held = routeEdits.find(key, in: snapshot.routes)
        if message.flags.contains(.exclusive) {
            if isOwned { put(route) } else if held != nil { routeEdits.remove(key) }
        } else if message.flags.contains(.replace) {
            // Somebody else's took the place of ours, or of another one before ours.
            if isOwned { put(route) } else if held != nil { contest(key) }
        } else if message.flags.contains(.create) {
            if isOwned, held == nil { put(route) }
            if isOwned || held != nil { contest(key) }
        } else if isOwned, held != route {
            contest(key)
        }
    }

    private mutating func removeRoute(_ message: borrowing Message, _ routes: [Route]) throws(CodecError) {
        guard let (route, isOwned) = try read(message) else { return }
        suspectPaths(by: route.key)
        if !isOwned { return }
        if contested.contains(route.key) {
            stale.tables.insert(route.key.table)
        } else if let held = routeEdits.find(route.key, in: routes) {
            if held == route { routeEdits.remove(route.key) } else { contest(route.key) }
        }
    }

    /// The route and whether it is ours; nil when it is of no concern or cannot be told.
    private mutating func read(_ message: borrowing Message) throws(CodecError) -> (Route, Bool)? {
        let header = try message.header(as: rtmsg.self)
        guard header.rtm_family == UInt8(AF_INET) else { return nil }
        devices.names.forgetMisses()
        let route = try Route(message, devices.names)
        let isOwned = header.rtm_protocol == owner.routeProtocol.rawValue
        if isOwned, devices.names.hasMissed {
            stale.allLinks = true
            stale.tables.insert(route.key.table)
            return nil
        }
        return (route, isOwned)
    }

    private mutating func contest(_ key: Route.Key) {
        contested.insert(key)
        stale.tables.insert(key.table)
    }

    private mutating func put(_ route: Route) {
        if route.nexthop != .none {
            if isGuest {
                if isAfterReading { stale.routes = true }
            } else if nexthopDevices[route.nexthop] == nil {
                // It has gone since, or will be told of.
                stale.nexthops = true
            }
        }
        if !isAfterReading, !stale.devices.isEmpty { sureRoutes.insert(route.key) }
        routeEdits.put(route)
    }

    // MARK: Nexthops

    private mutating func addNexthop(
        _ message: borrowing Message, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) throws(CodecError) {
        let reading = try NexthopReading(message)
        let id = reading.id
        if goneNexthops.contains(id) { removeGone(&snapshot, &changes) }
        if isGuest { return }
        suspectPaths(by: reading)
        if nexthopDevices[id] != nil, stale.nexthops || !stale.nexthopDevices.isEmpty { renewedNexthops.insert(id) }
        put(reading, &snapshot, &changes)
    }

    mutating func put(
        _ reading: NexthopReading, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) {
        nexthopDevices[reading.id] = reading.source
        if reading.routeProtocol == owner.routeProtocol {
            nexthopEdits.put(reading.nexthop(devices.names))
            setForeign(reading.id, false, &snapshot, &changes)
        } else {
            nexthopEdits.remove(reading.id)
            setForeign(reading.id, true, &snapshot, &changes)
        }
    }

    private mutating func removeNexthop(
        _ message: borrowing Message, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) throws(CodecError) {
        // Of the groups that it was in the kernel tells, of the routes by it not.
        let reading = try NexthopReading(message)
        suspectPaths(by: reading)
        remove(reading.id, &snapshot, &changes)
    }

    mutating func remove(
        _ id: NexthopID, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) {
        goneNexthops.insert(id)
        if isGuest { return }
        nexthopDevices[id] = nil
        nexthopEdits.remove(id)
        setForeign(id, false, &snapshot, &changes)
    }

    private func setForeign(
        _ id: NexthopID, _ isForeign: Bool, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) {
        let position = snapshot.foreignNexthops.partitionPoint { $0 < id }
        let isHeld = position < snapshot.foreignNexthops.count && snapshot.foreignNexthops[position] == id
        if isHeld == isForeign { return }
        if isForeign {
            snapshot.foreignNexthops.insert(id, at: position)
        } else {
            snapshot.foreignNexthops.remove(at: position)
        }
        changes.insert(.nexthop)
    }

    // MARK: Addresses and neighbours

    private mutating func setAddress(_ message: borrowing Message, isRemoved: Bool) throws(CodecError) {
        let index = try message.header(as: ifaddrmsg.self).ifa_index
        guard devices[index] != nil else {
            stale.allLinks = true
            stale.addresses = true
            return
        }
        guard let reading = try AddressReading(message, devices.names) else { return }
        suspectPaths(by: reading, isRemoved: isRemoved)
        if reading.address.address.family == .ipv6 {
            // The first and the last one come and go with IPv6 on the device, of which nobody tells.
            stale.links.insert(index)
        } else if isRemoved {
            if isAfterReading { suspect(index) } else { bereaved.insert(index) }
        } else if bereaved.contains(index) {
            // There may have been none in between.
            suspect(index)
        }
        if reading.isPointToPoint || hasPointToPoint {
            stale.addresses = true
        } else if isRemoved {
            addressEdits.remove(reading.address.key)
            foreignAddressEdits.remove(reading.address.key)
        } else if reading.routeProtocol == owner.routeProtocol {
            addressEdits.put(reading.address)
            foreignAddressEdits.remove(reading.address.key)
        } else {
            addressEdits.remove(reading.address.key)
            if reading.isKernelLinkLocal {
                foreignAddressEdits.remove(reading.address.key)
            } else {
                foreignAddressEdits.put(reading.address)
            }
        }
    }

    private mutating func setNeighbor(_ message: borrowing Message, isRemoved: Bool) throws(CodecError) {
        guard let reading = try NeighborReading(message) else { return }
        guard let device = devices[reading.index]?.name else {
            if reading.isPermanent, reading.routeProtocol == owner.routeProtocol {
                stale.allLinks = true
                stale.neighbors = true
            }
            return
        }
        if !isRemoved, let neighbor = reading.neighbor(owner.routeProtocol, devices.names) {
            neighborEdits.put(neighbor)
        } else {
            neighborEdits.remove(Neighbor.Key(device: device, address: reading.address))
        }
    }

    // MARK: Rules

    private mutating func setRule(
        _ message: borrowing Message, isRemoved: Bool, _ snapshot: inout NamespaceSnapshot,
        _ changes: inout NamespaceChanges
    ) throws(CodecError) {
        suspectPaths()
        guard let reading = try RuleReading(message), !reading.isBeyondModel else { return }
        let rule = reading.rule
        let index = snapshot.rules.lowerBound(of: rule.key)
        let held = snapshot.rules[index...].prefix { $0 == rule }.count
        switch (isRemoved, held) {
        case (true, 0): break
        case (true, 1):
            snapshot.rules.remove(at: index)
            changes.insert(.rule)
        case (false, 0):
            snapshot.rules.insert(rule, at: index)
            changes.insert(.rule)
        // Who does not ask for NLM_F_EXCL gets a rule twice.
        default: stale.rules = true
        }
    }
}
