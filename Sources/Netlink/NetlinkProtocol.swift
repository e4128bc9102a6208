internal import CLinux

/// A netlink family: the part of the kernel that a socket talks to.
public struct NetlinkProtocol: Sendable {
    /// `NETLINK_ROUTE`, `NETLINK_NETFILTER`, ….
    public let rawValue: Int32
    /// Whether the kernel is asked to reject what it does not understand in GET requests, and so to honour filters.
    let strictChecking: Bool
    /// What the family calls its messages and attributes; used only to describe errors.
    let names: @Sendable (MessageType) -> MessageNames?

    public init(
        rawValue: Int32, strictChecking: Bool = false,
        names: @escaping @Sendable (MessageType) -> MessageNames? = { _ in nil }
    ) {
        self.rawValue = rawValue
        self.strictChecking = strictChecking
        self.names = names
    }

    /// Links, addresses, neighbours, rules, routes, nexthops.
    public static let route = NetlinkProtocol(
        rawValue: NETLINK_ROUTE, strictChecking: true, names: RouteNames.message)

    /// nfnetlink: nf_tables, conntrack, ….
    public static let netfilter = NetlinkProtocol(rawValue: NETLINK_NETFILTER)

    package func name(of type: MessageType) -> String { names(type)?.name ?? "netlink message \(type.rawValue)" }
}

/// A group of notifications (`enum rtnetlink_groups` for ``NetlinkProtocol/route``).
public struct MulticastGroup: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    private init(_ group: rtnetlink_groups) { rawValue = group.rawValue }

    public static let link = Self(RTNLGRP_LINK)
    public static let neighbour = Self(RTNLGRP_NEIGH)
    public static let ipv4Address = Self(RTNLGRP_IPV4_IFADDR)
    public static let ipv4Route = Self(RTNLGRP_IPV4_ROUTE)
    public static let ipv4Rule = Self(RTNLGRP_IPV4_RULE)
    public static let ipv4DeviceConfiguration = Self(RTNLGRP_IPV4_NETCONF)
    public static let ipv6Link = Self(RTNLGRP_IPV6_IFINFO)
    public static let ipv6Address = Self(RTNLGRP_IPV6_IFADDR)
    public static let ipv6Route = Self(RTNLGRP_IPV6_ROUTE)
    public static let ipv6Rule = Self(RTNLGRP_IPV6_RULE)
    public static let nexthop = Self(RTNLGRP_NEXTHOP)
    public static let namespaceID = Self(RTNLGRP_NSID)
}
