import CLinux
import KernelModel
import KernelNames
import Netlink

extension NamespaceState {
    /// Makes the changes that were gathered and reads again what has to be.
    mutating func settle(
        _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges, _ namespace: NetworkNamespace
    ) throws(NetlinkError) {
        applyEdits(&snapshot, &changes)
        isAfterReading = false
        defer { if changes.kinds.contains(.link) { refreshPaths(&snapshot, &changes) } }
        if stale.isEmpty { return }
        isAfterReading = true
        var observer = try Observer(namespace, owner: owner, tunnelsBy: tunnelsBy)
        observer.likelyRoutes = snapshot.routes.count
        observer.paths = paths.request
        if stale.everything {
            try readEverything(&observer, &snapshot, &changes)
        } else {
            // What is read may show that more has to be: a device is down now.
            while !stale.isEmpty {
                let parts = stale
                stale = Stale()
                if parts.followsItsNotification { try observer.socket.awaitChanges() }
                try read(parts, &observer, &snapshot, &changes)
                applyEdits(&snapshot, &changes)
            }
        }
        changes.objectsRead += observer.socket.objectCount
    }

    private mutating func applyEdits(_ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges) {
        if let keys = addressEdits.applied(to: &snapshot.addresses) {
            changes.kinds.insert(.address)
            changes.objects.addresses.formUnion(keys)
        }
        if foreignAddressEdits.apply(to: &snapshot.foreignAddresses) { changes.kinds.insert(.address) }
        if let keys = neighborEdits.applied(to: &snapshot.neighbors) {
            changes.kinds.insert(.neighbor)
            changes.objects.neighbors.formUnion(keys)
        }
        if let keys = nexthopEdits.applied(to: &snapshot.nexthops) {
            changes.kinds.insert(.nexthop)
            changes.objects.nexthops.formUnion(keys)
        }
        removeGone(&snapshot, &changes)
        noteBereaved(snapshot)
    }

    /// Makes the changes of routes, and removes those whose device or nexthop is gone.
    mutating func removeGone(_ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges) {
        applyRouteEdits(&snapshot, &changes)
        if goneDevices.isEmpty, goneNexthops.isEmpty { return }
        let (devices, nexthops) = (goneDevices, goneNexthops)
        removeRoutes(&snapshot, &changes) { devices.contains($0.device) || nexthops.contains($0.nexthop) }
        goneDevices = []
        goneNexthops = []
    }

    private mutating func applyRouteEdits(_ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges) {
        if routeEdits.isEmpty { return }
        guard let keys = routeEdits.applied(to: &snapshot.routes) else { return }
        changes.kinds.insert(.route)
        changes.objects.routes.formUnion(keys)
    }

    private func removeRoutes(
        _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges, where isGone: (Route) -> Bool
    ) {
        // Looked for first: removing makes a copy of an array that is shared, whether it has such a route or not.
        guard snapshot.routes.contains(where: isGone) else { return }
        changes.objects.routes.insert(snapshot.routes.lazy.filter(isGone).map(\.key))
        snapshot.routes.removeAll(where: isGone)
        changes.kinds.insert(.route)
    }

    /// A device that loses its last IPv4 address loses its routes (fib_inetaddr_event), and with any address go routes
    /// that name it as their source.
    private mutating func noteBereaved(_ snapshot: NamespaceSnapshot) {
        if bereaved.isEmpty || stale.addresses { return }
        for index in bereaved {
            guard let name = devices[index]?.name else { continue }
            let hasAddress = [snapshot.addresses, snapshot.foreignAddresses].contains { addresses in
                addresses.ofDevice(name).contains { $0.address.family == .ipv4 }
            }
            if !hasAddress { suspect(index) }
        }
        for table in beyondModel(snapshot.routes) { stale.tables.insert(table) }
        bereaved = []
    }

    /// Tables with routes of ours that somebody made into something the model has no words for: nothing is known of
    /// what they depend on.
    private func beyondModel(_ routes: [Route]) -> Set<TableID> {
        var tables: Set<TableID> = []
        for route in routes where route.isBeyondModel { tables.insert(route.key.table) }
        return tables
    }

    // MARK: Reading

    private mutating func readEverything(
        _ observer: inout Observer, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) throws(NetlinkError) {
        try observer.socket.awaitChanges()
        let reading = isGuest ? try observer.guest() : try observer.host(sysctls: [])
        stale = Stale()
        renewedNexthops = []
        devices = reading.devices
        nexthopDevices = reading.nexthopDevices
        hasPointToPoint = reading.hasPointToPoint
        paths = reading.paths
        contested = Set(reading.snapshot.routes.repeatedKeys)
        var read = reading.snapshot
        read.sysctls = snapshot.sysctls
        read.firewall = snapshot.firewall
        for link in snapshot.links where read.link(named: link.link.name)?.index != link.index {
            changes.vanished.insert(link.link.name)
        }
        let kinds = read.kindsDiffering(from: snapshot)
        for kind in kinds { changes.insert(kind) }
        snapshot = read
    }

    private mutating func read(
        _ parts: Stale, _ observer: inout Observer, _ snapshot: inout NamespaceSnapshot,
        _ changes: inout NamespaceChanges
    ) throws(NetlinkError) {
        try readLinks(parts, &observer, &snapshot, &changes)
        if parts.addresses {
            let readings = try observer.socket.addresses(devices.names)
            hasPointToPoint = readings.contains(where: \.isPointToPoint)
            let (owned, foreign) = readings.byOwner(owner)
            if (owned, foreign) != (snapshot.addresses, snapshot.foreignAddresses) { changes.insert(.address) }
            (snapshot.addresses, snapshot.foreignAddresses) = (owned, foreign)
        }
        if parts.rules {
            let rules = try observer.socket.rules()
            if rules != snapshot.rules { changes.insert(.rule) }
            snapshot.rules = rules
        }
        try readNexthops(parts, &observer, &snapshot, &changes)
        try readNeighbors(parts, &observer, &snapshot, &changes)
        try readRoutes(parts, &observer, &snapshot, &changes)
        if !parts.paths.isEmpty {
            try paths.read(parts.paths, &observer.socket)
            refreshPaths(&snapshot, &changes)
        }
    }

    private mutating func readLinks(
        _ parts: Stale, _ observer: inout Observer, _ snapshot: inout NamespaceSnapshot,
        _ changes: inout NamespaceChanges
    ) throws(NetlinkError) {
        var readings: [LinkReading] = []
        if parts.allLinks || parts.links.count > Self.singleQuestions {
            readings = try observer.socket.links()
        } else {
            for index in parts.links.sorted() {
                if let reading = try observer.socket.link(index) { readings.append(reading) }
            }
        }
        for reading in readings {
            // One that is new, gone or has another name is told of.
            let known = devices[reading.index]
            if known?.name == reading.name || (known == nil && parts.allLinks) {
                set(reading, &snapshot, &changes)
            }
        }
        guard parts.proxyDelays || stale.proxyDelays else { return }
        stale.proxyDelays = false
        let known = devices.proxyDelays
        devices.proxyDelays = try observer.socket.proxyDelays()
        for index in Array(devices.indexes) where known[index] != devices.proxyDelays[index] {
            if let reading = devices[index] { refresh(reading, &snapshot, &changes) }
        }
    }

    /// From here on one list costs less than so many questions.
    private static var singleQuestions: Int { 64 }

    private mutating func readNeighbors(
        _ parts: Stale, _ observer: inout Observer, _ snapshot: inout NamespaceSnapshot,
        _ changes: inout NamespaceChanges
    ) throws(NetlinkError) {
        if isGuest { return }
        let devices = parts.devices.compactMap { index in
            self.devices[index].map { (index: index, name: $0.name) }
        }.filter { !snapshot.neighbors.ofDevice($0.name).isEmpty }
        if parts.neighbors || devices.count > Self.singleLists {
            let neighbors = try observer.socket.neighbors(owner.routeProtocol, self.devices.names)
            if neighbors != snapshot.neighbors { changes.insert(.neighbor) }
            snapshot.neighbors = neighbors
            return
        }
        for (index, name) in devices.sorted(by: { $0.name < $1.name }) {
            let held = snapshot.neighbors.ofDevice(name)
            let listed = try observer.socket.neighbors(owner.routeProtocol, self.devices.names, device: index)
            if Array(held) == listed { continue }
            snapshot.neighbors.replaceSubrange(held.startIndex..<held.endIndex, with: listed)
            changes.insert(.neighbor)
        }
    }

    // MARK: Nexthops

    private mutating func readNexthops(
        _ parts: Stale, _ observer: inout Observer, _ snapshot: inout NamespaceSnapshot,
        _ changes: inout NamespaceChanges
    ) throws(NetlinkError) {
        if isGuest { return }
        if parts.nexthops || parts.nexthopDevices.count > Self.singleLists {
            try take(observer.socket.nexthops(), of: nil, &snapshot, &changes)
        } else if !parts.nexthopDevices.isEmpty {
            for index in parts.nexthopDevices.sorted() {
                try take(
                    observer.socket.nexthops(.device(index)), of: .device(index), &snapshot, &changes)
            }
            // What has lost its last member is gone, too.
            try take(observer.socket.nexthops(.groups), of: .group, &snapshot, &changes)
        } else {
            return
        }
        if nexthopEdits.apply(to: &snapshot.nexthops) { changes.insert(.nexthop) }
        removeGone(&snapshot, &changes)
        if parts.nexthops {
            let known = nexthopDevices
            removeRoutes(&snapshot, &changes) { $0.nexthop != .none && known[$0.nexthop] == nil }
        }
        // Where a nexthop went and came again, some routes by it are of its former life.
        let renewed = renewedNexthops
        renewedNexthops = []
        if renewed.isEmpty { return }
        for route in snapshot.routes where renewed.contains(route.nexthop) { stale.tables.insert(route.key.table) }
    }

    /// - Parameter source: What the list is complete of; nil: of everything.
    private mutating func take(
        _ listed: [NexthopReading], of source: NexthopDevices.Source?, _ snapshot: inout NamespaceSnapshot,
        _ changes: inout NamespaceChanges
    ) {
        var gone = Set(source.map { nexthopDevices.ids(of: $0) } ?? nexthopDevices.ids)
        for reading in listed {
            gone.remove(reading.id)
            put(reading, &snapshot, &changes)
        }
        for id in gone.sorted() { remove(id, &snapshot, &changes) }
    }

    // MARK: Routes

    /// From here on one list of all costs less than lists of a part each, for which the kernel looks at all of them.
    private static var singleLists: Int { 16 }

    private mutating func readRoutes(
        _ parts: Stale, _ observer: inout Observer, _ snapshot: inout NamespaceSnapshot,
        _ changes: inout NamespaceChanges
    ) throws(NetlinkError) {
        var tables = parts.tables.union(stale.tables)
        stale.tables = []
        if parts.routes || !parts.devices.isEmpty { tables.formUnion(beyondModel(snapshot.routes)) }
        let devices = devicesWithRoutes(among: parts.devices, snapshot.routes)
        sureRoutes = []
        if parts.routes && !snapshot.routes.isEmpty || tables.count + devices.count > Self.singleLists {
            let routes = try observer.socket.routes(
                owner.routeProtocol, self.devices.names, likely: observer.likelyRoutes)
            contested.formUnion(routes.repeatedKeys)
            if routes != snapshot.routes {
                changes.kinds.insert(.route)
                changes.objects.routes = .any
            }
            snapshot.routes = routes
            return
        }
        for table in tables.sorted() {
            let routes = try observer.socket.routes(owner.routeProtocol, self.devices.names, table: table)
            contested.formUnion(routes.repeatedKeys)
            let held = snapshot.routes.ofTable(table)
            if Array(held) == routes { continue }
            snapshot.routes.replaceSubrange(held.startIndex..<held.endIndex, with: routes)
            changes.kinds.insert(.route)
            changes.objects.routes = .any
        }
        for (index, name) in devices {
            let routes = try observer.socket.routes(owner.routeProtocol, self.devices.names, device: index)
            let left = Set(routes.filter { $0.device == name })
            removeRoutes(&snapshot, &changes) { $0.device == name && !left.contains($0) }
            for route in left where !contested.contains(route.key) { routeEdits.put(route) }
        }
    }

    private func devicesWithRoutes(
        among indexes: Set<UInt32>, _ routes: [Route]
    ) -> [(index: UInt32, name: InterfaceName)] {
        if indexes.isEmpty { return [] }
        var names: [InterfaceName: UInt32] = [:]
        for index in indexes { if let name = devices[index]?.name { names[name] = index } }
        var found: [InterfaceName: UInt32] = [:]
        let only = names.count == 1 ? names.keys.first : nil
        routes.withUnsafeBufferPointer { routes in
            for route in routes where !route.device.isNone && route.device == only ?? route.device {
                guard let index = names[route.device], !sureRoutes.contains(route.key) else { continue }
                found[route.device] = index
            }
        }
        return found.map { ($0.value, $0.key) }.sorted { $0.1 < $1.1 }
    }
}

extension NamespaceSnapshot {
    /// The kinds of which this holds others than `old` does.
    fileprivate func kindsDiffering(from old: NamespaceSnapshot) -> Set<ObjectKind> {
        var kinds: Set<ObjectKind> = []
        if rules != old.rules { kinds.insert(.rule) }
        if links != old.links { kinds.insert(.link) }
        if addresses != old.addresses || foreignAddresses != old.foreignAddresses { kinds.insert(.address) }
        if neighbors != old.neighbors { kinds.insert(.neighbor) }
        if nexthops != old.nexthops || foreignNexthops != old.foreignNexthops { kinds.insert(.nexthop) }
        if routes != old.routes || paths != old.paths { kinds.insert(.route) }
        return kinds
    }
}

extension Route {
    /// How a route of ours is shown that the model has no words for.
    fileprivate var isBeyondModel: Bool { kind == .unicast && nexthop == .none && device.isNone }
}

extension [Route] {
    /// The keys that more than one route has.
    fileprivate var repeatedKeys: [Route.Key] {
        var keys: [Route.Key] = []
        for index in indices.dropFirst() where self[index].key == self[index - 1].key { keys.append(self[index].key) }
        return keys
    }

    fileprivate func ofTable(_ table: TableID) -> ArraySlice<Route> { slice(of: table) { $0.key.table } }
}

extension [Address] {
    fileprivate func ofDevice(_ name: InterfaceName) -> ArraySlice<Address> { slice(of: name) { $0.device } }
}

extension [Neighbor] {
    fileprivate func ofDevice(_ name: InterfaceName) -> ArraySlice<Neighbor> { slice(of: name) { $0.device } }
}
