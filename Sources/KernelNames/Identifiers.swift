/// A routing table's number (RTA_TABLE).
public struct TableID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt32
    @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }
    public static let main = TableID(254)
    public static let local = TableID(255)
    public var description: String { String(rawValue) }
    @inlinable public static func < (left: TableID, right: TableID) -> Bool { left.rawValue < right.rawValue }
}

/// A nexthop object's number (NHA_ID); 0 is none.
public struct NexthopID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt32
    @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public static var none: NexthopID { NexthopID(0) }
    public var description: String { String(rawValue) }
    @inlinable public static func < (left: NexthopID, right: NexthopID) -> Bool { left.rawValue < right.rawValue }
}

/// Who made a route, rule, nexthop, address or neighbour (RTPROT_* of linux/rtnetlink.h).
public struct RouteProtocol: Hashable, Sendable {
    public let rawValue: UInt8
    @inlinable public init(_ rawValue: UInt8) { self.rawValue = rawValue }
    /// The kernel itself (RTPROT_KERNEL).
    public static let kernel = RouteProtocol(2)
}

/// The name of a network namespace under /run/netns.
public struct NamespaceName: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: String
    public init(_ rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }
    public static func < (left: NamespaceName, right: NamespaceName) -> Bool { left.rawValue < right.rawValue }
}

/// Where an intended object comes from; what the number means is the compiler's business.
public struct Origin: Hashable, Sendable {
    public let rawValue: UInt32
    @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public static var none: Origin { Origin(.max) }
}

/// How a restarted process with no memory recognises its own objects.
public struct Ownership: Hashable, Sendable {
    /// Protocol number of our routes, rules, nexthops, addresses and neighbours.
    public var routeProtocol: RouteProtocol
    /// Beginning of the alias (IFLA_IFALIAS) of our links.
    public let aliasPrefix: String
    /// Beginning of the alternative names (IFLA_ALT_IFNAME) in which is noted what something was before we changed it.
    public let notePrefix: String
    /// Routing tables that are ours alone: a route of somebody else at a key of ours gives way there.
    public var privateTables: Range<UInt32>

    public init(routeProtocol: RouteProtocol, aliasPrefix: String, privateTables: Range<UInt32> = 0..<0) {
        self.routeProtocol = routeProtocol
        self.aliasPrefix = aliasPrefix
        notePrefix = (aliasPrefix.last == ":" ? String(aliasPrefix.dropLast()) : aliasPrefix) + ".was."
        self.privateTables = privateTables
    }
}
