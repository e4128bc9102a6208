public import IPAddressing
public import KernelNames

/// How the packets of a host reach an address: the route that the kernel takes for them.
public struct Path: Hashable, Sendable {
    public var destination: IPAddress
    /// The devices of the route's nexthops, ascending: several where it is a multipath route, those without a carrier
    /// among them. Never empty.
    public var devices: [InterfaceName]
    /// The largest packet, in bytes, that passes whichever nexthop is taken: the route's metric (RTAX_MTU) or the least
    /// of the devices' MTU, whatever is less.
    public var mtu: UInt32

    public init(destination: IPAddress, devices: [InterfaceName], mtu: UInt32) {
        self.destination = destination
        self.devices = devices
        self.mtu = mtu
    }
}

/// Of which ways is to be told.
public struct PathRequest: Hashable, Sendable {
    /// One of the namespace's own addresses: rules may ask for it.
    public var source: IPAddress
    /// Ascending. All of the family of the source.
    public let destinations: [IPAddress]

    public init(from source: IPAddress, to destinations: [IPAddress]) {
        self.source = source
        self.destinations = Set(destinations.filter { $0.family == source.family && $0 != source }).sorted()
    }

    /// The positions of the destinations that a prefix covers.
    public func positions(in prefix: IPPrefix) -> Range<Int> {
        let start = destinations.partitionPoint { $0 < prefix.address }
        let count = destinations[start...].partitionPoint { prefix.contains($0) } - start
        return start..<start + count
    }
}

extension [Path] {
    /// The way to an address, of ways that are sorted.
    public func path(to destination: IPAddress) -> Path? {
        let position = partitionPoint { $0.destination < destination }
        return position < count && self[position].destination == destination ? self[position] : nil
    }
}
