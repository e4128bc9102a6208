import IPAddressing
import KernelModel

/// The ways to other hosts, of which nobody tells: what may change them is told of.
///
/// A route concerns those whose address is inside of its prefix, so that a routing daemon with all of the Internet's routes
/// costs a search for each. Rules, addresses, nexthop objects and devices that come up, go down or go away may concern any:
/// all are asked for again, once per update. Not so what is ours, of which there is much: it concerns those ways only that go
/// by it. Parameters (`ignore_routes_with_linkdown`) are not told of: ``KernelMirror/checkLinks()``.
extension NamespaceState {
    /// Asks for all ways again.
    mutating func suspectPaths() { stale.paths = paths.all }

    /// Asks for those again that a route may lead to.
    mutating func suspectPaths(by route: Route.Key) {
        guard let request = paths.request, !owner.privateTables.contains(route.table.rawValue) else { return }
        let positions = request.positions(in: route.destination)
        if positions.isEmpty { return }
        let known = stale.paths.isEmpty ? positions : stale.paths
        stale.paths = min(known.lowerBound, positions.lowerBound)..<max(known.upperBound, positions.upperBound)
    }

    mutating func suspectPaths(by nexthop: NexthopReading) {
        if nexthop.routeProtocol == owner.routeProtocol, !paths.nexthops.contains(nexthop.id) { return }
        suspectPaths()
    }

    /// One that goes takes the routes along that name it as their source.
    mutating func suspectPaths(by address: AddressReading, isRemoved: Bool) {
        guard let request = paths.request, address.address.address.family == .ipv4 else { return }
        let own = address.address.address
        if isRemoved || address.routeProtocol != owner.routeProtocol || own == request.source
            || !request.positions(in: IPPrefix(own)).isEmpty
        {
            suspectPaths()
        }
    }

    /// Asks for all ways again where the kernel may take other routes because of what became of a device: it removes
    /// routes of one that is down, and revives nexthops of one that comes up, without a word.
    mutating func suspectPaths(_ old: LinkReading, _ new: LinkReading) {
        let isSame =
            (old.isUp, old.hasCarrier, old.master, old.mtu) == (new.isUp, new.hasCarrier, new.master, new.mtu)
        if !isSame { suspectPaths(by: new) }
    }

    /// The same for one that is gone.
    mutating func suspectPaths(by device: LinkReading) {
        let isOwned = device.isOwned(by: owner)
        if !isOwned || paths.devices.contains(device.index) { suspectPaths() }
    }

    /// Brings the snapshot's ways up to date with what was read of routes and devices.
    mutating func refreshPaths(_ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges) {
        let paths = paths.paths(devices)
        if paths == snapshot.paths { return }
        snapshot.paths = paths
        changes.kinds.insert(.route)
    }
}
