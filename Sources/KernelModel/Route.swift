public import IPAddressing
public import KernelNames

/// A route (RTM_NEWROUTE). Trivially copyable, 56 bytes: no allocation per route, and a million of them are read in a time
/// in which the memory for them counts.
public struct Route: Hashable, Sendable, KernelObject {
    public var key: Key
    public var kind: Kind
    public var scope: Scope
    /// The nexthop object, or `.none`.
    public var nexthop: NexthopID
    /// The IPv4 gateway in host byte order; 0: none.
    @usableFromInline var gatewayNumber: UInt32
    /// The output device of a route without nexthop object, or `.none`.
    public var device: InterfaceName

    /// The gateway of a route without nexthop object: an IPv4 address.
    @inlinable public var gateway: IPAddress? {
        get { gatewayNumber == 0 ? nil : IPAddress(v4: gatewayNumber) }
        set { gatewayNumber = newValue?.v4 ?? 0 }
    }

    /// (table, prefix, type of service, metric): what the kernel tells routes apart by.
    public struct Key: Hashable, Comparable, Sendable {
        // In this order they leave no gaps.
        public var destination: IPPrefix
        public var tos: UInt8
        public var table: TableID
        public var metric: UInt32

        @inlinable public init(table: TableID, destination: IPPrefix, tos: UInt8 = 0, metric: UInt32 = 0) {
            self.table = table
            self.destination = destination
            self.tos = tos
            self.metric = metric
        }

        @inlinable public static func < (left: Key, right: Key) -> Bool {
            if left.table != right.table { return left.table < right.table }
            if left.destination != right.destination { return left.destination < right.destination }
            if left.tos != right.tos { return left.tos < right.tos }
            return left.metric < right.metric
        }
    }

    /// RTN_* of linux/rtnetlink.h.
    public enum Kind: UInt8, Hashable, Sendable {
        case unicast = 1
        case blackhole = 6
        case unreachable = 7
    }

    /// RT_SCOPE_* of linux/rtnetlink.h.
    public enum Scope: UInt8, Hashable, Sendable {
        case universe = 0
        case link = 253
    }

    @inlinable public init(
        key: Key, kind: Kind, scope: Scope, nexthop: NexthopID, device: InterfaceName, gateway: IPAddress?
    ) {
        self.key = key
        self.kind = kind
        self.scope = scope
        self.nexthop = nexthop
        self.device = device
        gatewayNumber = gateway?.v4 ?? 0
    }

    // ip route add PREFIX nhid ID table T
    @inlinable public static func via(_ nexthop: NexthopID, _ key: Key) -> Route {
        Route(key: key, kind: .unicast, scope: .universe, nexthop: nexthop, device: .none, gateway: nil)
    }

    // ip route add PREFIX dev D scope link table T
    @inlinable public static func link(_ device: InterfaceName, _ key: Key) -> Route {
        Route(key: key, kind: .unicast, scope: .link, nexthop: .none, device: device, gateway: nil)
    }

    // ip route add PREFIX via G dev D table T
    @inlinable public static func gateway(_ gateway: IPAddress, device: InterfaceName, _ key: Key) -> Route {
        Route(key: key, kind: .unicast, scope: .universe, nexthop: .none, device: device, gateway: gateway)
    }

    // ip route add unreachable PREFIX table T
    @inlinable public static func unreachable(_ key: Key) -> Route {
        Route(key: key, kind: .unreachable, scope: .universe, nexthop: .none, device: .none, gateway: nil)
    }

    // ip route add blackhole PREFIX table T
    @inlinable public static func blackhole(_ key: Key) -> Route {
        Route(key: key, kind: .blackhole, scope: .universe, nexthop: .none, device: .none, gateway: nil)
    }

    public static var kind: ObjectKind { .route }

    /// `route 10.0.1.11/32 dev e-a1 table 1000001`.
    public var description: String {
        var text = kind == .unicast ? "route " : "route \(kind) "
        text += key.destination.length == 0 ? "default" : "\(key.destination)"
        if nexthop != .none { text += " nhid \(nexthop)" }
        if let gateway { text += " via \(gateway)" }
        if !device.isNone { text += " dev \(device)" }
        text += " table \(key.table)"
        if key.metric != 0 { text += " metric \(key.metric)" }
        return text
    }
}
