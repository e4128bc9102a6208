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
    /// The number of the IPv4 gateway; of an IPv6 route the last 32 bits of the gateway, see ``holds(_:to:)``; 0: none.
    @usableFromInline var gatewayNumber: UInt32
    /// The output device of a route without nexthop object, or `.none`.
    public var device: InterfaceName

    /// The gateway of a route without nexthop object, of the destination's family.
    /// - Precondition: The route ``holds(_:to:)`` it.
    @inlinable public var gateway: IPAddress? {
        get {
            if gatewayNumber == 0 { return nil }
            if key.destination.family == .ipv4 { return IPAddress(v4: gatewayNumber) }
            return IPAddress(family: .ipv6, high: Self.linkLocal, low: UInt64(gatewayNumber))
        }
        set { gatewayNumber = Self.number(of: newValue, to: key.destination) }
    }

    /// Whether a gateway fits into a route to a destination. Four bytes are there for it, so that IPv4's many routes are as
    /// small as they can be: any IPv4 address, and `fe80::N` with N of at most 32 bits, which is what gateways of guests
    /// have. What else IPv6 packets go by is a nexthop object.
    @inlinable public static func holds(_ gateway: IPAddress, to destination: IPPrefix) -> Bool {
        if gateway.family != destination.family { return false }
        if gateway.family == .ipv4 { return gateway.v4 != 0 }
        return gateway.high == linkLocal && 1...UInt64(UInt32.max) ~= gateway.low
    }

    @usableFromInline static var linkLocal: UInt64 { 0xFE80 << 48 }

    @inlinable static func number(of gateway: IPAddress?, to destination: IPPrefix) -> UInt32 {
        guard let gateway else { return 0 }
        precondition(holds(gateway, to: destination), "a route has no room for this gateway")
        return gateway.v4
    }

    /// (table, prefix, type of service, metric): what the kernel tells routes apart by.
    public struct Key: Hashable, Comparable, Sendable {
        // In this order they leave no gaps.
        public var destination: IPPrefix
        public var tos: UInt8
        public var table: TableID
        public var metric: UInt32

        /// - Parameter metric: 0 is what the kernel takes where nothing is said: of IPv6 1024 (IP6_RT_PRIO_USER).
        @inlinable public init(table: TableID, destination: IPPrefix, tos: UInt8 = 0, metric: UInt32 = 0) {
            self.table = table
            self.destination = destination
            self.tos = tos
            self.metric = metric == 0 && destination.family == .ipv6 ? 1024 : metric
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
        gatewayNumber = Self.number(of: gateway, to: key.destination)
    }

    // ip route add PREFIX nhid ID table T
    @inlinable public static func via(_ nexthop: NexthopID, _ key: Key) -> Route {
        Route(key: key, kind: .unicast, scope: .universe, nexthop: nexthop, device: .none, gateway: nil)
    }

    // ip route add PREFIX dev D scope link table T
    @inlinable public static func link(_ device: InterfaceName, _ key: Key) -> Route {
        // IPv6 routes have no scope.
        let scope: Scope = key.destination.family == .ipv4 ? .link : .universe
        return Route(key: key, kind: .unicast, scope: scope, nexthop: .none, device: device, gateway: nil)
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
