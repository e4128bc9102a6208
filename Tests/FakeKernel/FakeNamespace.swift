import IPAddressing
package import KernelModel
package import KernelNames

/// One network namespace as rtnetlink keeps it: what a change does, what it is refused for, and what the kernel drops with
/// it. All objects are the owner's but for links, foreign addresses and rules.
package struct FakeNamespace: Sendable {
    /// With all parameters and tables of nf_tables that there are.
    package var state = NamespaceSnapshot()
    /// What a new device has where nobody says otherwise.
    package var newDevice = Link(
        name: .none, kind: .adopted, mtu: 1500, isUp: false, ipv4: IPv4DeviceConfiguration(), proxyDelay: 80,
        ipv6Disabled: false, addressGeneration: 0, notes: [], promotesSecondaries: false)
    package let owner: Ownership
    private var nextIndex: UInt32 = 100

    typealias Reason = CommitReport.Reason

    package init(_ state: NamespaceSnapshot = NamespaceSnapshot(), owner: Ownership) {
        self.state = state
        self.owner = owner
        nextIndex = max(nextIndex, (state.links.map(\.index).max() ?? 0) + 1)
    }

    static func refused(_ code: String, _ message: String) -> Reason {
        .refused(code: code, message: message, attribute: nil)
    }

    private static let exists = refused("EEXIST", "File exists")
    private static let down = refused("ENETDOWN", "Device for nexthop is not up")

    private func missing(_ device: InterfaceName) -> Reason? {
        state.link(named: device) == nil ? .dependency("link \(device)") : nil
    }

    private func isUp(_ device: InterfaceName) -> Bool { state.link(named: device)?.link.isUp ?? false }

    // MARK: - Links

    private func position(of name: InterfaceName) -> Int? { state.links.firstIndex { $0.link.name == name } }

    /// Somebody's device, with everything that is not said as the kernel gives it.
    @discardableResult
    package mutating func add(_ link: Link, kindName: String = "veth", isOwned: Bool = false) -> UInt32 {
        var seen = ObservedLink(
            index: nextIndex, link: link.completed(by: newDevice), kindName: kindName, isOwned: isOwned,
            isOperational: true, peerIndex: 0)
        seen.link.notes = seen.link.notes ?? []
        nextIndex += 1
        state.links.append(seen)
        state.links.sort { $0.link.name < $1.link.name }
        return seen.index
    }

    mutating func create(_ link: Link) -> Reason? {
        if state.link(named: link.name) != nil { return Self.exists }
        if let reason = link.master.flatMap(missing) { return reason }
        if case .gre(let tunnel) = link.kind, !tunnel.underlay.isNone, let reason = missing(tunnel.underlay) {
            return reason
        }
        var seen = link
        seen.kind = link.kind.asTold
        add(seen, kindName: link.kind.name, isOwned: true)
        return nil
    }

    /// Joins the two ends of a pair, which are in different namespaces.
    mutating func connect(_ name: InterfaceName, to peer: UInt32) {
        guard let position = position(of: name) else { return }
        state.links[position].peerIndex = peer
        state.links[position].isPeerElsewhere = true
    }

    mutating func replace(_ old: Link, with new: Link) -> Reason? {
        guard let position = position(of: old.name) else { return .dependency("link \(old.name)") }
        guard new.kind == .adopted || state.links[position].isOwned else {
            return .dependency("link \(new.name) of our own")
        }
        if let reason = new.master.flatMap(missing) { return reason }
        let different = new.settingsDiffering(from: old)
        let wasUp = state.links[position].link.isUp
        let isMoved = different.contains(.master) && (hasVRF(old.master) || hasVRF(new.master))
        if isMoved || different.contains(.name) || different.contains(.isUp) && !new.isUp && wasUp {
            dropWhatLeaves(by: old.name)
        }
        state.links[position].link.take(different, from: new)
        if different.contains(.name) {
            for index in state.addresses.indices where state.addresses[index].device == old.name {
                state.addresses[index].device = new.name
            }
            state.addresses.sort { $0.key < $1.key }
            state.links.sort { $0.link.name < $1.link.name }
        }
        return nil
    }

    private func hasVRF(_ name: InterfaceName?) -> Bool {
        if let name, case .vrf = state.link(named: name)?.link.kind { true } else { false }
    }

    /// Deletes a device, whoever's it is, with all that sits on it.
    /// - Returns: what it was.
    @discardableResult
    package mutating func remove(_ name: InterfaceName) -> ObservedLink? {
        guard let position = position(of: name) else { return nil }
        dropWhatLeaves(by: name)
        state.addresses.removeAll { $0.device == name }
        state.foreignAddresses.removeAll { $0.device == name }
        for index in state.links.indices where state.links[index].link.master == name {
            state.links[index].link.master = nil
        }
        return state.links.remove(at: position)
    }

    /// Only what is ours is deleted, and what we took is let go.
    /// - Returns: the device that is gone.
    mutating func delete(_ link: Link) -> ObservedLink? {
        guard let position = position(of: link.name) else { return nil }
        if state.links[position].isOwned { return remove(link.name) }
        if link.kind == .adopted { (state.links[position].link.master, state.links[position].link.group) = (nil, 0) }
        return nil
    }

    /// What the kernel drops of a device that goes down.
    private mutating func dropWhatLeaves(by name: InterfaceName) {
        state.neighbors.removeAll { $0.device == name }
        state.routes.removeAll { $0.device == name }
        for id in state.nexthops.filter({ $0.device == name }).map(\.id) { drop(id) }
    }

    /// A nexthop with all that is left without one.
    private mutating func drop(_ id: NexthopID) {
        var empty: [NexthopID] = []
        state.nexthops = state.nexthops.compactMap { nexthop in
            if nexthop.id == id { return nil }
            guard case .group(var group) = nexthop.body else { return nexthop }
            group.members.removeAll { $0.id == id }
            if group.members.isEmpty { empty.append(nexthop.id) }
            return Nexthop(id: nexthop.id, body: .group(group))
        }
        state.routes.removeAll { $0.nexthop == id }
        for id in empty { drop(id) }
    }

    // MARK: - What sits on links

    /// Nobody is reached by an address of the namespace's own, whichever device has it, up or down (fib_check_nh_v4_gw of
    /// net/ipv4/fib_semantics.c).
    private func isLocal(_ address: IPAddress) -> Bool {
        (state.addresses + state.foreignAddresses).contains { $0.address == address }
    }

    /// Sets a device down, whoever's it is.
    package mutating func setDown(_ name: InterfaceName) {
        guard let position = position(of: name) else { return }
        state.links[position].link.isUp = false
        dropWhatLeaves(by: name)
    }

    mutating func create(_ address: Address) -> Reason? {
        if let reason = missing(address.device) { return reason }
        return state.addresses.insert(address) ? nil : Self.exists
    }

    /// With its last address a device does without IPv4 (fib_inetaddr_event of net/ipv4/fib_frontend.c).
    mutating func delete(_ address: Address) {
        let count = state.addresses.count
        state.addresses.removeAll { $0.key == address.key }
        let others = state.addresses + state.foreignAddresses.filter { $0.address.family == .ipv4 }
        if count == state.addresses.count || others.contains(where: { $0.device == address.device }) { return }
        state.neighbors.removeAll { $0.device == address.device }
        state.routes.removeAll { $0.device == address.device }
    }

    mutating func create(_ neighbor: Neighbor) -> Reason? {
        if let reason = missing(neighbor.device) { return reason }
        state.neighbors.put(neighbor)
        return nil
    }

    /// - Parameter isExclusive: It is refused where there is one of that number.
    mutating func put(_ nexthop: Nexthop, isExclusive: Bool) -> Reason? {
        if let device = nexthop.device {
            if let reason = missing(device) { return reason }
            if !isUp(device) { return Self.down }
            if case .gateway(let gateway, _) = nexthop.body, isLocal(gateway) {
                return Self.refused("EINVAL", "Nexthop has invalid gateway")
            }
        }
        if case .group(let group) = nexthop.body {
            for member in group.members where state.nexthops.object(member.id)?.body.isGroup ?? true {
                return Self.refused("EINVAL", "Invalid nexthop id")
            }
        }
        if let present = state.nexthops.object(nexthop.id) {
            if isExclusive { return Self.exists }
            if present.body.isGroup != nexthop.body.isGroup {
                return Self.refused("EINVAL", "Can not replace a nexthop group with a nexthop.")
            }
        }
        state.nexthops.put(nexthop)
        return nil
    }

    mutating func delete(_ nexthop: Nexthop) { drop(nexthop.id) }

    /// - Parameter isExclusive: It is refused where there is one of that key, but in our own tables.
    mutating func put(_ route: Route, isExclusive: Bool) -> Reason? {
        if route.nexthop != .none, state.nexthops.object(route.nexthop) == nil {
            return Self.refused("EINVAL", "Nexthop id does not exist")
        }
        if !route.device.isNone {
            if let reason = missing(route.device) { return reason }
            if !isUp(route.device) { return Self.refused("ENETDOWN", "Network is down") }
        }
        if let gateway = route.gateway {
            let covers = { (address: Address) in
                address.device == route.device
                    && IPPrefix(containing: address.address, length: Int(address.prefixLength)).contains(gateway)
            }
            guard state.addresses.contains(where: covers) || state.foreignAddresses.contains(where: covers) else {
                return Self.refused("ENETUNREACH", "Nexthop has invalid gateway")
            }
        }
        let isPrivate = owner.privateTables.contains(route.key.table.rawValue)
        if isExclusive, !isPrivate, state.routes.object(route.key) != nil { return Self.exists }
        state.routes.put(route)
        return nil
    }

    // MARK: - Rules and parameters

    mutating func create(_ rule: Rule) -> Reason? { state.rules.insert(rule) ? nil : Self.exists }

    mutating func write(_ parameter: Sysctl) -> Reason? {
        guard let former = state.sysctls.object(parameter.path) else {
            return Self.refused("ENOENT", "No such file or directory")
        }
        state.sysctls.put(parameter)
        let parts = parameter.path.split(separator: "/").map(String.init)
        if parameter.path == "net/ipv4/ip_forward", former.value != parameter.value {
            // inet_forward_change of net/ipv4/devinet.c: every device, and those to come.
            newDevice.ipv4?[.forwarding] = Int32(parameter.value) ?? 0
            for index in state.links.indices {
                state.links[index].link.ipv4?[.forwarding] = Int32(parameter.value) ?? 0
            }
        } else if parts.starts(with: ["net", "ipv4", "conf", "default"]), let name = parts.last,
            let setting = IPv4DeviceConfiguration.Setting(rawValue: name)
        {
            newDevice.ipv4?[setting] = Int32(parameter.value) ?? 0
        }
        return nil
    }
}

extension Link {
    /// With what is not said as `other` has it.
    fileprivate func completed(by other: Link) -> Link {
        var link = self
        link.mtu = mtu ?? other.mtu
        link.hardwareAddress = hardwareAddress ?? other.hardwareAddress
        link.ipv4 = ipv4 ?? other.ipv4
        link.proxyDelay = proxyDelay ?? other.proxyDelay
        link.ipv6Disabled = ipv6Disabled ?? other.ipv6Disabled
        // Where IPv6 is switched off, the driver makes sure that no address comes with it.
        link.addressGeneration = addressGeneration ?? (ipv6Disabled == true ? 1 : other.addressGeneration)
        link.notes = notes ?? other.notes
        link.promotesSecondaries = promotesSecondaries ?? other.promotesSecondaries
        return link
    }

    fileprivate mutating func take(_ settings: LinkSettings, from new: Link) {
        if settings.contains(.name) { name = new.name }
        if settings.contains(.alias) {
            alias = new.alias
            // The note in it says where the other end is.
            if case .veth = new.kind { kind = new.kind.asTold }
        }
        if settings.contains(.master) { master = new.master }
        if settings.contains(.group) { group = new.group }
        if settings.contains(.mtu) { mtu = new.mtu }
        if settings.contains(.hardwareAddress) { hardwareAddress = new.hardwareAddress }
        if settings.contains(.isUp) || settings.contains(.name) { isUp = new.isUp }
        if settings.contains(.ipv4) { ipv4 = new.ipv4 }
        if settings.contains(.proxyDelay) { proxyDelay = new.proxyDelay }
        if settings.contains(.ipv6) {
            addressGeneration = new.addressGeneration ?? (new.ipv6Disabled == true ? 1 : addressGeneration)
            ipv6Disabled = new.ipv6Disabled ?? ipv6Disabled
        }
        if settings.contains(.notes) { notes = new.notes }
        if settings.contains(.promotesSecondaries) { promotesSecondaries = new.promotesSecondaries }
        if settings.contains(.underlay) { kind = new.kind }
    }
}

extension Link.Kind {
    /// Of a pair's other end only what is noted in the alias is told.
    fileprivate var asTold: Link.Kind {
        guard case .veth(var peer) = self else { return self }
        (peer.hardwareAddress, peer.mtu) = (MACAddress(rawValue: 0), 0)
        return .veth(peer: peer)
    }

    /// IFLA_INFO_KIND.
    fileprivate var name: String {
        switch self {
        case .vrf: "vrf"
        case .gre, .greExternal: "gre"
        case .veth, .pair: "veth"
        case .macvlan: "macvlan"
        case .ipvlan: "ipvlan"
        case .bridge: "bridge"
        case .dummy: "dummy"
        case .adopted: ""
        }
    }
}

extension Array where Element: KernelObject {
    func object(_ key: Element.Key) -> Element? { first { $0.key == key } }

    /// Keeps the order of keys.
    /// - Returns: false where there is one of that key.
    mutating func insert(_ object: Element) -> Bool {
        if contains(where: { $0.key == object.key }) { return false }
        insert(object, at: firstIndex { object.key < $0.key } ?? count)
        return true
    }

    /// In the place of one of that key, if there is one.
    mutating func put(_ object: Element) {
        removeAll { $0.key == object.key }
        _ = insert(object)
    }
}
