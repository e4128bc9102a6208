public import IPAddressing
public import KernelNames

/// A network device and its settings.
///
/// In an intent a nil setting means "whatever it is"; an observed link has all of them.
public struct Link: Hashable, Sendable {
    public var name: InterfaceName
    public var kind: Kind
    /// IFLA_IFALIAS; empty: none.
    public var alias: String
    /// The device this one is enslaved to.
    public var master: InterfaceName?
    /// IFLA_GROUP: what nftables classifies devices by.
    public var group: UInt32
    /// Bytes.
    public var mtu: UInt32?
    public var hardwareAddress: MACAddress?
    public var isUp: Bool
    public var ipv4: IPv4DeviceConfiguration?
    /// Upper bound of the random delay before a proxied ARP answer, in milliseconds (NDTPA_PROXY_DELAY).
    public var proxyDelay: UInt64?
    /// net.ipv6.conf.DEVICE.disable_ipv6.
    public var ipv6Disabled: Bool?
    /// How IPv6 makes link-local addresses (net.ipv6.conf.DEVICE.addr_gen_mode).
    public var addressGeneration: UInt8?
    /// Alternative names of ours, in which is noted what the device was before we changed it; ascending.
    public var notes: [String]?
    /// net.ipv4.conf.DEVICE.promote_secondaries: whether the other addresses of a subnet stay when the first one goes.
    public var promotesSecondaries: Bool?
    /// Whether it is in the namespace of the underlay instead (``Place/underlay``).
    public var isOutside = false

    public enum Kind: Hashable, Sendable {
        case vrf(table: TableID)
        case gre(GRETunnel)
        /// A GRE device that takes key and destination from the route's nexthop (IFLA_GRE_COLLECT_METADATA).
        /// - Parameter underlay: See ``GRETunnel/underlay``.
        case greExternal(underlay: InterfaceName)
        /// One end of a veth pair; the other is made with it, in another namespace.
        case veth(peer: VethPeer)
        /// A device of its own upon one of the underlay's namespace, in the same segment: with a MAC address of its own
        /// (macvlan, mode bridge).
        case macvlan(upon: InterfaceName)
        /// The same with the MAC address of the one below (ipvlan, mode l2): it gets what is for its IP addresses.
        case ipvlan(upon: InterfaceName)
        /// One end of a veth pair of which both are in the namespace.
        case pair(PairEnd)
        case bridge
        case dummy
        /// A device made by somebody else: only its settings are ours. Deleting it gives the settings back.
        case adopted
    }

    public init(
        name: InterfaceName, kind: Kind, alias: String = "", master: InterfaceName? = nil, group: UInt32 = 0,
        mtu: UInt32? = nil, hardwareAddress: MACAddress? = nil, isUp: Bool = true,
        ipv4: IPv4DeviceConfiguration? = nil, proxyDelay: UInt64? = nil, ipv6Disabled: Bool? = nil,
        addressGeneration: UInt8? = nil, notes: [String]? = nil, promotesSecondaries: Bool? = nil
    ) {
        self.name = name
        self.kind = kind
        self.alias = alias
        self.master = master
        self.group = group
        self.mtu = mtu
        self.hardwareAddress = hardwareAddress
        self.isUp = isUp
        self.ipv4 = ipv4
        self.proxyDelay = proxyDelay
        self.ipv6Disabled = ipv6Disabled
        self.addressGeneration = addressGeneration
        self.notes = notes
        self.promotesSecondaries = promotesSecondaries
    }
}

/// A keyed GRE device without a remote address: it receives what carries its key.
public struct GRETunnel: Hashable, Sendable {
    public var local: IPAddress
    /// Input and output key, host byte order.
    public var key: UInt32
    public var ttl: UInt8
    /// The device the packets leave by (IFLA_GRE_LINK); `.none` where they may leave by several. It decides no way: the
    /// kernel reserves the headroom that this device needs, so that no packet has to be copied.
    public var underlay: InterfaceName

    public init(local: IPAddress, key: UInt32, ttl: UInt8, underlay: InterfaceName) {
        self.local = local
        self.key = key
        self.ttl = ttl
        self.underlay = underlay
    }
}

/// The far end of a veth pair.
public struct VethPeer: Hashable, Sendable {
    public var name: InterfaceName
    public var namespace: NamespaceName
    public var hardwareAddress: MACAddress
    public var mtu: UInt32

    public init(name: InterfaceName, namespace: NamespaceName, hardwareAddress: MACAddress, mtu: UInt32) {
        self.name = name
        self.namespace = namespace
        self.hardwareAddress = hardwareAddress
        self.mtu = mtu
    }
}

/// One end of a pair of which both are in one namespace. The near end is made, and the far one with it.
public struct PairEnd: Hashable, Sendable {
    /// The other end.
    public var peer: InterfaceName
    /// The number of the far end's device (IFLA_IFINDEX): it is chosen, because rules name devices by numbers.
    public var farIndex: UInt32
    public var isFar: Bool

    public init(peer: InterfaceName, farIndex: UInt32, isFar: Bool) {
        self.peer = peer
        self.farIndex = farIndex
        self.isFar = isFar
    }

    /// Nil of the near end, whose number nobody has to know.
    public var ownIndex: UInt32? { isFar ? farIndex : nil }

    /// How the alias of the far end ends: the kernel does not tell which one is which.
    public static let farNote = " far"
}

// MARK: - Comparison

/// The settings of a link that can be changed while it lives.
public struct LinkSettings: OptionSet, Hashable, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let alias = LinkSettings(rawValue: 1 << 0)
    public static let master = LinkSettings(rawValue: 1 << 1)
    public static let group = LinkSettings(rawValue: 1 << 2)
    public static let mtu = LinkSettings(rawValue: 1 << 3)
    public static let hardwareAddress = LinkSettings(rawValue: 1 << 4)
    public static let isUp = LinkSettings(rawValue: 1 << 5)
    public static let ipv4 = LinkSettings(rawValue: 1 << 6)
    public static let proxyDelay = LinkSettings(rawValue: 1 << 7)
    /// Whether IPv6 is on, and how it makes addresses.
    public static let ipv6 = LinkSettings(rawValue: 1 << 8)
    public static let notes = LinkSettings(rawValue: 1 << 9)
    /// Of a GRE device.
    public static let underlay = LinkSettings(rawValue: 1 << 10)
    public static let promotesSecondaries = LinkSettings(rawValue: 1 << 11)
    public static let name = LinkSettings(rawValue: 1 << 12)
    /// With all others: in another namespace a device starts anew.
    public static let namespace = LinkSettings(rawValue: 1 << 13)

    /// Each setting with the name ip(8) or sysctl(8) gives it.
    public static let names: [(LinkSettings, String)] = [
        (.alias, "alias"), (.master, "master"), (.group, "group"), (.mtu, "mtu"), (.hardwareAddress, "address"),
        (.isUp, "up"), (.ipv4, "ipv4.conf"), (.proxyDelay, "proxy_delay"), (.ipv6, "disable_ipv6"), (.notes, "altname"),
        (.underlay, "dev"), (.promotesSecondaries, "promote_secondaries"), (.name, "name"),
        (.namespace, "netns"),
    ]
}

extension Link {
    /// The settings in which `observed` is not what this link asks for.
    public func settingsDiffering(from observed: Link) -> LinkSettings {
        var different: LinkSettings = []
        if kind != .adopted, alias != observed.alias { different.insert(.alias) }
        if master != observed.master { different.insert(.master) }
        if group != observed.group { different.insert(.group) }
        if let mtu, mtu != observed.mtu { different.insert(.mtu) }
        if let hardwareAddress, hardwareAddress != observed.hardwareAddress { different.insert(.hardwareAddress) }
        if isUp != observed.isUp { different.insert(.isUp) }
        if let ipv4, ipv4 != observed.ipv4 { different.insert(.ipv4) }
        if let proxyDelay, proxyDelay != observed.proxyDelay { different.insert(.proxyDelay) }
        if let ipv6Disabled, ipv6Disabled != observed.ipv6Disabled { different.insert(.ipv6) }
        // With less than this there is no IPv6 on a device; it comes back as new.
        if ipv6Disabled != nil, let mtu, let old = observed.mtu, old < Self.leastIPv6MTU, mtu >= Self.leastIPv6MTU {
            different.insert(.ipv6)
        }
        if let addressGeneration, addressGeneration != observed.addressGeneration { different.insert(.ipv6) }
        if let notes, notes != observed.notes { different.insert(.notes) }
        if let underlay = kind.underlay, underlay != observed.kind.underlay { different.insert(.underlay) }
        if let promotesSecondaries, promotesSecondaries != observed.promotesSecondaries {
            different.insert(.promotesSecondaries)
        }
        if name != observed.name { different.insert(.name) }
        if isOutside != observed.isOutside { different.insert(.namespace) }
        return different
    }

    /// IPV6_MIN_MTU of linux/ipv6.h.
    private static let leastIPv6MTU: UInt32 = 1280

    /// Whether the kernel can turn `observed` into this link without making it anew.
    public func canReuse(_ observed: Link) -> Bool {
        switch (kind, observed.kind) {
        case (.adopted, _): true
        case (.veth(let peer), .veth(let other)): peer.name == other.name && peer.namespace == other.namespace
        case (.greExternal, .greExternal): true
        case (.gre(let tunnel), .gre(let other)):
            (tunnel.local, tunnel.key, tunnel.ttl) == (other.local, other.key, other.ttl)
        default: kind == observed.kind
        }
    }
}

extension Link.Kind {
    /// What a GRE device is bound to; nil for any other.
    public var underlay: InterfaceName? {
        switch self {
        case .gre(let tunnel): tunnel.underlay
        case .greExternal(let underlay): underlay
        default: nil
        }
    }

    /// What a device sits upon that has none of its own.
    public var base: InterfaceName? {
        switch self {
        case .macvlan(let base), .ipvlan(let base): base
        default: nil
        }
    }

    /// Whether it is made in the underlay's namespace, and moved.
    public var isMadeOutside: Bool { underlay != nil || base != nil }

    /// Nil of anything but one end of a pair within the namespace.
    public var pairEnd: PairEnd? { if case .pair(let end) = self { end } else { nil } }
}

extension Link: KernelObject {
    public static var kind: ObjectKind { .link }
    public var key: InterfaceName { name }

    /// Creation goes up, deletion down: masters before ports.
    public var rank: Int {
        switch kind {
        case .vrf, .bridge: 0
        case .greExternal, .gre, .dummy, .macvlan, .ipvlan: 1
        case .veth, .pair: 2
        case .adopted: 3
        }
    }

    /// As ip-link(8) would be told: `link vpc-g101 type gre local 172.31.0.1 key 101 master vpc-v1000001`.
    public var description: String {
        var text = "link \(name)"
        switch kind {
        case .vrf(let table): text += " type vrf table \(table)"
        case .gre(let tunnel): text += " type gre local \(tunnel.local) key \(tunnel.key)"
        case .greExternal: text += " type gre external"
        case .veth(let peer): text += " type veth peer \(peer.name) netns \(peer.namespace)"
        case .macvlan(let base): text += " link \(base) type macvlan mode bridge"
        case .ipvlan(let base): text += " link \(base) type ipvlan mode l2"
        case .pair(let end): text += " type veth peer \(end.peer)" + (end.isFar ? " index \(end.farIndex)" : "")
        case .bridge: text += " type bridge"
        case .dummy: text += " type dummy"
        case .adopted: break
        }
        if let underlay = kind.underlay, !underlay.isNone { text += " dev \(underlay)" }
        if let master { text += " master \(master)" }
        return text
    }
}
