import CLinux
import KernelModel
import Netlink

extension NamespaceState {
    mutating func addLink(
        _ message: borrowing Message, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) throws(CodecError) {
        let header = try message.header(as: ifinfomsg.self)
        let index = UInt32(bitPattern: header.ifi_index)
        guard header.ifi_family == UInt8(AF_UNSPEC) else {
            // A bridge tells of its ports in this way, IPv6 of its own settings.
            if header.ifi_family == UInt8(AF_INET6), devices[index] != nil { stale.links.insert(index) }
            return
        }
        let reading = try LinkReading(message)
        // Some drivers announce an event of theirs with hardly anything but the name (IFLA_WIRELESS).
        guard !reading.name.isNone, reading.mtu != nil else {
            if devices[index] != nil { stale.links.insert(index) } else { stale.allLinks = true }
            return
        }
        if isAfterReading {
            // What was read may be newer, also in what the next notification does not tell: of a device that is down
            // many settings change in silence.
            stale.links.insert(index)
            suspect(index)
        }
        set(reading, &snapshot, &changes)
    }

    mutating func removeLink(
        _ message: borrowing Message, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) throws(CodecError) {
        let header = try message.header(as: ifinfomsg.self)
        // A port that leaves its bridge is removed, for the bridge.
        guard header.ifi_family == UInt8(AF_UNSPEC) else { return }
        let index = UInt32(bitPattern: header.ifi_index)
        guard let old = devices.remove(index) else { return }
        suspectPaths(by: old)
        forget(old, &snapshot, &changes)
        if nexthopDevices.has(index) { stale.nexthopDevices.insert(index) }
        refreshReferring(to: index, &snapshot, &changes)
    }

    /// Notes what a device is now, and what the kernel does without a word because of it: when it goes down, or another
    /// master takes it, its routes go; when it loses its carrier, its nexthops, with the routes by them.
    mutating func set(
        _ reading: LinkReading, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) {
        let index = reading.index
        let old = devices[index]
        devices.set(reading)
        if let old {
            suspectPaths(old, reading)
            if old.name != reading.name { rename(old, &snapshot, &changes) }
            if let mtu = reading.mtu, let before = old.mtu, mtu != before, min(mtu, before) < Self.leastMTU {
                // IPv4 or IPv6 comes or goes, after this was told of.
                stale.links.insert(index)
                stale.proxyDelays = true
                suspect(index)
            }
            if !reading.isUp || old.master != reading.master { suspect(index) }
            if !reading.isUp || !reading.hasCarrier { suspectNexthops(of: index) }
        } else {
            stale.proxyDelays = true
            // The far end of a pair is told of before it has this end as its other one.
            if reading.kindName == LinkKindName.veth, reading.lower == 0 { stale.links.insert(index) }
        }
        refresh(reading, &snapshot, &changes)
        if old?.name != reading.name { refreshReferring(to: index, &snapshot, &changes) }
    }

    /// With less than this there is no IPv6 on a device (IPV6_MIN_MTU of linux/ipv6.h), and far below it no IPv4.
    private static let leastMTU: UInt32 = 1280

    /// Routes and neighbours by this device may have gone.
    mutating func suspect(_ index: UInt32) {
        if isGuest { return stale.routes = true }
        stale.devices.insert(index)
        sureRoutes = []
    }

    private mutating func suspectNexthops(of index: UInt32) {
        if isGuest {
            stale.routes = true
        } else if nexthopDevices.has(index) {
            stale.nexthopDevices.insert(index)
        }
    }

    /// What is known by the old name is read again.
    private mutating func rename(
        _ old: LinkReading, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) {
        forget(old, &snapshot, &changes)
        stale.addresses = true
        suspect(old.index)
        if !isGuest {
            stale.neighbors = true
            if nexthopDevices.has(old.index) { stale.nexthops = true }
        }
    }

    /// The device that had this name is gone, or has another name now.
    private mutating func forget(
        _ old: LinkReading, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) {
        changes.vanished.insert(old.name)
        goneDevices.insert(old.name)
        let position = snapshot.links.partitionPoint { $0.link.name < old.name }
        guard position < snapshot.links.count, snapshot.links[position].link.name == old.name,
            snapshot.links[position].index == old.index
        else { return }
        snapshot.links.remove(at: position)
        changes.kinds.insert(.link)
        changes.objects.links.insert(old.name)
    }

    /// Brings a device in the snapshot up to date.
    func refresh(
        _ reading: LinkReading, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) {
        let link = devices.observed(reading, owner)
        let position = snapshot.links.partitionPoint { $0.link.name < reading.name }
        if position < snapshot.links.count, snapshot.links[position].link.name == reading.name {
            if snapshot.links[position] == link { return }
            snapshot.links[position] = link
        } else {
            snapshot.links.insert(link, at: position)
        }
        changes.kinds.insert(.link)
        changes.objects.links.insert(reading.name)
    }

    private func refreshReferring(
        to index: UInt32, _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) {
        for reading in devices.referring(to: index) { refresh(reading, &snapshot, &changes) }
    }

    /// Some of a device's IPv4 settings, and of those for all devices and for new ones, are told of when they are changed
    /// through /proc/sys.
    mutating func noteConfiguration(
        _ message: borrowing Message, _ changes: inout NamespaceChanges
    ) throws(CodecError) {
        var attributes = message.attributes(after: netconfmsg.self)
        while let attribute = try attributes.next() {
            guard attribute.type == NETCONFA_IFINDEX else { continue }
            let index = try attribute.value(as: UInt32.self)
            if Self.sharedConfigurations.contains(Int32(bitPattern: index)) { changes.areParametersSuspect = true }
            // A device that is being made has not been told of yet.
            if devices[index] != nil { stale.links.insert(index) }
        }
    }

    private static let sharedConfigurations: Set<Int32> = [NETCONFA_IFINDEX_ALL, NETCONFA_IFINDEX_DEFAULT]
}
