internal import IPAddressing
public import KernelNames
public import NFTables

/// Where a kernel may hold something else than it shall. Of everything else it is known that it is as it shall be: at the
/// keys of what was compiled otherwise, and of what the kernel has told of since.
///
/// Parameters and rules of the host's namespace are few and always looked at.
public struct SuspectObjects: Sendable, Hashable {
    public var links = ChangedKeys<InterfaceName>.none
    public var addresses = ChangedKeys<Address.Key>.none
    public var neighbors = ChangedKeys<Neighbor.Key>.none
    public var nexthops = ChangedKeys<NexthopID>.none
    public var routes = ChangedKeys<Route.Key>.none
    public var guests = ChangedKeys<NamespaceName>.none
    public var firewall = ChangedKeys<NFPart>.none
    /// Anything where the tunnels' packets travel.
    public var underlay = false

    /// Nothing is.
    public init() {}

    /// Nothing is known.
    public static var everything: SuspectObjects {
        var all = SuspectObjects()
        for kind in ObjectKind.allCases { all.insert(kind) }
        all.guests = .any
        all.underlay = true
        return all
    }

    /// All objects of a kind of the host's namespace.
    public mutating func insert(_ kind: ObjectKind) {
        switch kind {
        case .link: links = .any
        case .address: addresses = .any
        case .neighbor: neighbors = .any
        case .nexthop: nexthops = .any
        case .route: routes = .any
        case .firewall: firewall = .any
        case .namespace, .sysctl, .rule, .connection: break
        }
    }

    public mutating func formUnion(_ other: SuspectObjects) {
        links.formUnion(other.links)
        addresses.formUnion(other.addresses)
        neighbors.formUnion(other.neighbors)
        nexthops.formUnion(other.nexthops)
        routes.formUnion(other.routes)
        guests.formUnion(other.guests)
        firewall.formUnion(other.firewall)
        underlay = underlay || other.underlay
    }
}

extension SuspectObjects {
    /// With the ports whose other ends are where something may be otherwise.
    func withPorts(of intent: KernelIntent) -> SuspectObjects {
        guard case .some(let names) = guests, !names.isEmpty, case .some = links else { return self }
        var result = self
        for link in intent.host.links {
            if case .veth(let peer) = link.object.kind, names.contains(peer.namespace) {
                result.links.insert(link.object.name)
            }
        }
        return result
    }
}

extension NamespaceIntent {
    /// The wanted devices of these names, in order.
    func links(at names: ChangedKeys<InterfaceName>) -> [Attributed<Link>] {
        guard case .some(let names) = names else { return links }
        return names.sorted().compactMap { name in
            let place = links.partitionPoint { $0.object.name < name }
            return place < links.count && links[place].object.name == name ? links[place] : nil
        }
    }
}

extension NamespaceSnapshot {
    /// The devices of these names, in order.
    func links(at names: ChangedKeys<InterfaceName>) -> [ObservedLink] {
        guard case .some(let names) = names else { return links }
        return names.sorted().compactMap { link(named: $0) }
    }

    var loopback: ObservedLink? {
        if let name = InterfaceName("lo"), let usual = link(named: name), usual.isLoopback { return usual }
        return links.first { $0.isLoopback }
    }
}

extension KernelIntent {
    /// What a guest's namespace shall hold.
    func guest(in name: NamespaceName) -> Guest? {
        let place = guests.partitionPoint { $0.namespace < name }
        return place < guests.count && guests[place].namespace == name ? guests[place] : nil
    }
}

extension NFTableIntent {
    /// This table and what was seen of it, with nothing but what may differ, and what has to be known of sets that rules
    /// among that refer to: these may have other names in the kernel.
    /// - Returns: nil where nothing may differ.
    func reduced(
        to parts: ChangedKeys<NFPart>, _ observed: NFObservedTable?
    ) -> (NFTableIntent, NFObservedTable?)? {
        guard case .some(let parts) = parts, let observed, !observed.isDormant else { return (self, observed) }
        let own = parts.filter { $0.table == table }
        if own.isEmpty { return nil }
        // Small, and made of what refers to each other.
        if isPassed(observed) { return (self, observed) }
        func names(_ kind: NFPart.Kind) -> Set<String> {
            Set(own.filter { $0.kind == kind }.map(\.name))
        }
        var (sets, chains) = (names(.set), names(.chain))
        let objects = names(.object)
        if !sets.isEmpty {
            // A set that is made anew has another name, and all rules that look things up in it follow.
            let suspects = sets
            chains.formUnion(self.chains.filter { $0.looksUp(in: suspects) }.map(\.name))
        }
        for chain in chains {
            let place = self.chains.partitionPoint { $0.name < chain }
            guard place < self.chains.count, self.chains[place].name == chain else { continue }
            for rule in self.chains[place].rules { sets.formUnion(rule.expressions.lazy.compactMap(\.set)) }
        }
        // Who follows another's elements goes with it.
        for set in self.sets {
            guard let followed = set.newcomersTo, sets.contains(set.name) || sets.contains(followed) else { continue }
            sets.formUnion([set.name, followed])
        }
        var wanted = NFTableIntent(table, comment: comment)
        wanted.sets = self.sets.filter { sets.contains($0.name) }
        wanted.chains = self.chains.filter { chains.contains($0.name) }
        wanted.counters = self.counters.filter { objects.contains($0.name) }
        wanted.objects = self.objects.filter { objects.contains($0.name) }
        var seen = NFObservedTable(table)
        seen.comment = observed.comment
        seen.sets = observed.sets.filter { set in
            sets.contains(set.name) || sets.contains(NFSet.wantedName(ofSetNamed: set.name))
        }
        seen.chains = observed.chains.filter { chains.contains($0.name) }
        seen.objects = observed.objects.filter { objects.contains($0.name) }
        return (wanted, seen)
    }
}

extension NFChain {
    fileprivate func looksUp(in sets: Set<String>) -> Bool {
        rules.contains { rule in rule.expressions.contains { $0.set.map(sets.contains) ?? false } }
    }
}
