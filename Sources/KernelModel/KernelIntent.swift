public import KernelNames
public import NFTables

/// What one network namespace shall hold.
///
/// The arrays are sorted by key and hold each key once after `normalize()`.
public struct NamespaceIntent: Sendable, Hashable {
    public var sysctls: [Attributed<Sysctl>] = []
    public var rules: [Attributed<Rule>] = []
    /// Rules of the kernel's default set that have to give way.
    public var displacedRules: [Rule] = []
    public var links: [Attributed<Link>] = []
    public var addresses: [Attributed<Address>] = []
    public var neighbors: [Attributed<Neighbor>] = []
    public var nexthops: [Attributed<Nexthop>] = []
    public var routes: [Attributed<Route>] = []
    /// Whole tables of nf_tables, normalized.
    public var firewall: [NFTableIntent] = []

    public init() {}

    /// Sorts every kind by key; an array that is in order already is only read.
    public mutating func normalize() {
        sysctls.sortByKey()
        rules.sortByKey()
        links.sortByKey()
        addresses.sortByKey()
        neighbors.sortByKey()
        nexthops.sortByKey()
        routes.sortByKey()
    }
}

/// What a host's namespace and those of its guests shall hold.
public struct KernelIntent: Sendable, Hashable {
    /// The namespace that is made for the host; nil: none, or the one that is there goes.
    public var namespace: Attributed<OwnNamespace>?
    public var host = NamespaceIntent()
    /// What is ours where the tunnels' packets travel; only where the host has a namespace of its own.
    public var underlay = NamespaceIntent()
    /// By name.
    public var guests: [Guest] = []

    public struct Guest: Sendable, Hashable {
        public var namespace: NamespaceName
        public var intent: NamespaceIntent

        public init(namespace: NamespaceName, intent: NamespaceIntent) {
            self.namespace = namespace
            self.intent = intent
        }
    }

    public init() {}

    public mutating func normalize() {
        host.normalize()
        underlay.normalize()
        guests.sort { $0.namespace < $1.namespace }
        for index in guests.indices { guests[index].intent.normalize() }
    }
}

extension Array {
    fileprivate mutating func sortByKey<Object: KernelObject>() where Element == Attributed<Object> {
        var isSorted = true
        for index in indices.dropFirst() where self[index].object.key < self[index - 1].object.key {
            isSorted = false
            break
        }
        if !isSorted { sort { $0.object.key < $1.object.key } }
    }
}
