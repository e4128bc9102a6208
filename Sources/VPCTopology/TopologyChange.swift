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

    public internal(set) var hosts = Part<Host>()
    public internal(set) var vpcs = Part<ResolvedVPC>()
    public internal(set) var subnets = Part<ResolvedSubnet>()
    public internal(set) var routeTables = Part<ResolvedRouteTable>()
    public internal(set) var interfaces = Part<ResolvedInterface>()
    public internal(set) var securityGroups = Part<ResolvedSecurityGroup>()
    public internal(set) var acls = Part<ResolvedACL>()
    public internal(set) var probes = Part<ResolvedProbe>()

    /// Nothing.
    public init() {}

    /// Whether all that hosts may be compiled to otherwise comes from interfaces.
    public var isOfInterfaces: Bool {
        hosts.isEmpty && vpcs.isEmpty && subnets.isEmpty && routeTables.isEmpty && securityGroups.isEmpty
            && acls.isEmpty
    }
}

/// A resource of some kind by its number.
struct NumberedResource: Hashable {
    var kind: ResourceKind
    var number: Int
}
