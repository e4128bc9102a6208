public import VPCModel

/// What became of a topology, by the numbers of what was concerned: of what a manifest says, and of what refers to that.
///
/// Whose group an interface comes into or leaves is known by the interface: groups are named here for their rules alone.
public struct TopologyChange: Sendable {
    public struct Part<Element: Sendable>: Sendable {
        /// Ascending.
        public internal(set) var added: [Int] = []
        /// With what they were; nobody else has their numbers yet.
        public internal(set) var removed: [Int: Element] = [:]
        /// With what they were before.
        public internal(set) var changed: [Int: Element] = [:]

        public var isEmpty: Bool { added.isEmpty && removed.isEmpty && changed.isEmpty }
    }

    /// Of one kind.
    package internal(set) subscript<Resource: ResolvedResource>(_: Resource.Type) -> Part<Resource> {
        get { others[Resource.kind] as? Part<Resource> ?? Part() }
        set { others[Resource.kind] = newValue }
    }

    public internal(set) var probes: Part<ResolvedProbe> {
        get { self[ResolvedProbe.self] }
        set { self[ResolvedProbe.self] = newValue }
    }

    public internal(set) var hosts = Part<Host>()
    public internal(set) var vpcs = Part<ResolvedVPC>()
    public internal(set) var subnets = Part<ResolvedSubnet>()
    public internal(set) var routeTables = Part<ResolvedRouteTable>()
    public internal(set) var interfaces = Part<ResolvedInterface>()
    public internal(set) var securityGroups = Part<ResolvedSecurityGroup>()
    public internal(set) var acls = Part<ResolvedACL>()
    /// Of the kinds that have no part above.
    private var others: [ResourceKind: any Sendable] = [:]

    /// Nothing.
    public init() {}

    /// Whether it is about what the machine of a host has to be asked for: who its guests are, and who the other hosts.
    /// - Parameter topology: As it is now.
    public func concernsMachine(of host: Int, in topology: Topology) -> Bool {
        !hosts.isEmpty || !externalNetworks.isEmpty
            || interfaces.added.contains { topology.interfaces[$0].host == host }
            || interfaces.removed.contains { $0.value.host == host }
            || interfaces.changed.contains { number, former in
                let now = topology.interfaces[number]
                if former.host == host, now.host == host { return former.attachment != now.attachment }
                return former.host == host || now.host == host
            }
    }
}

/// A resource of some kind by its number.
struct NumberedResource: Hashable {
    var kind: ResourceKind
    var number: Int
}
