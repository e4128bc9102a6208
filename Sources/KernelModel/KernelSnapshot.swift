internal import IPAddressing
public import KernelNames
public import NFTables

/// What one network namespace was seen to hold. Sorted by key; of addresses, neighbours, nexthops and routes only ours.
public struct NamespaceSnapshot: Sendable, Hashable {
    /// The parameters that were asked for and exist.
    public var sysctls: [Sysctl] = []
    /// All rules, ours and others'.
    public var rules: [Rule] = []
    /// All devices, ours and others'.
    public var links: [ObservedLink] = []
    public var addresses: [Address] = []
    /// Addresses that are not ours, but for the link-local ones that the kernel makes: where the underlay device is found,
    /// and what keeps a device from being adopted.
    public var foreignAddresses: [Address] = []
    public var neighbors: [Neighbor] = []
    public var nexthops: [Nexthop] = []
    /// Ids of nexthop objects that are not ours, ascending.
    public var foreignNexthops: [NexthopID] = []
    public var routes: [Route] = []
    /// The tables of nf_tables that were asked for and exist.
    public var firewall = NFSnapshot(generation: 0)
    /// The ways to the destinations that were asked for and can be reached, by destination.
    public var paths: [Path] = []

    public init() {}

    /// The device of that name.
    public func link(named name: InterfaceName) -> ObservedLink? {
        let position = links.partitionPoint { $0.link.name < name }
        return position < links.count && links[position].link.name == name ? links[position] : nil
    }
}

/// A device as the kernel reports it.
public struct ObservedLink: Sendable, Hashable {
    public var index: UInt32
    /// A device that is not ours has the kind `.adopted`.
    public var link: Link
    /// The kernel's name of the kind (IFLA_INFO_KIND); empty for hardware.
    public var kindName: String
    /// Whether the alias says that the device is ours.
    public var isOwned: Bool
    /// IFLA_OPERSTATE is up.
    public var isOperational: Bool
    /// IFLA_LINK: for a veth the index of its other end, in that end's namespace.
    public var peerIndex: UInt32
    /// Whether that is in another namespace (IFLA_LINK_NETNSID).
    public var isPeerElsewhere: Bool
    /// IFF_LOOPBACK.
    public var isLoopback: Bool

    public init(
        index: UInt32, link: Link, kindName: String, isOwned: Bool, isOperational: Bool, peerIndex: UInt32,
        isPeerElsewhere: Bool = false, isLoopback: Bool = false
    ) {
        self.index = index
        self.link = link
        self.kindName = kindName
        self.isOwned = isOwned
        self.isOperational = isOperational
        self.peerIndex = peerIndex
        self.isPeerElsewhere = isPeerElsewhere
        self.isLoopback = isLoopback
    }
}

/// A host's namespace and the guests' namespaces that concern it.
public struct KernelSnapshot: Sendable, Hashable {
    public var host = NamespaceSnapshot()
    /// Which namespace that is.
    public var standing = NamespaceStanding.given
    /// Where the tunnels' packets travel; empty where that is ``host``.
    public var underlay = NamespaceSnapshot()
    /// Those that exist.
    public var guests: [NamespaceName: NamespaceSnapshot] = [:]

    public init() {}

    /// Where the host's addresses are, the ways to others, and the devices that it may adopt.
    public var outside: NamespaceSnapshot { standing.isApart ? underlay : host }
}

extension VethPeer {
    /// How the alias of a veth's host end notes where its other end went: the kernel does not tell.
    public static func note(name: InterfaceName, namespace: NamespaceName) -> String { "peer \(namespace)/\(name)" }

    /// Reads the note back; MAC address and MTU are those of the device itself and not known here.
    public init?(noteIn alias: String) {
        // What comes before the note has no space.
        guard let space = alias.firstIndex(of: " ") else { return nil }
        let note = alias[alias.index(after: space)...]
        guard note.hasPrefix("peer ") else { return nil }
        let parts = note.dropFirst("peer ".count).split(separator: "/", maxSplits: 1)
        guard parts.count == 2, let name = InterfaceName(parts[1]) else { return nil }
        self.init(name: name, namespace: NamespaceName(String(parts[0])), hardwareAddress: .init(rawValue: 0), mtu: 0)
    }
}
