/// One thing that hosts do for their VPCs, in a file of its own. Features are values without state: what they know is in
/// the ``HostCompiler``.
///
/// A host is compiled in pieces (``Piece``). For each the compiler runs all features, in the order of
/// ``HostCompiler/features``, whenever something that the piece depends on is another; what depends on what says
/// `HostCompiler+Changes.swift`. CONTRIBUTING.md says how to add a feature.
protocol HostFeature: Sendable {
    /// The names of all that it puts into the firewall.
    var names: [FirewallFamily] { get }

    /// Adds what it makes for one piece.
    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler)

    /// Adds rules at places, counters, and declares the sets in which pieces have elements: what depends on
    /// ``HostTraits`` alone.
    func contribute(to firewall: inout Firewall, of host: HostCompiler)
}

extension HostFeature {
    var names: [FirewallFamily] { [] }
    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {}
    func contribute(to firewall: inout Firewall, of host: HostCompiler) {}
}

extension HostCompiler {
    /// All there are. Rules of one place stand in this order.
    static let features: [any HostFeature] = [
        HostBasics(), RoutingContexts(), GuestPorts(), GatewayTunnels(), Tunnels(), GuestFragments(),
        ConnectionBounds(), HostAccess(), ConnectionMemory(), ConnectionErrors(), GatewayGuests(), NetworkACLs(),
        SecurityGroups(), DenialReports(), GuestAddressResolution(), EstablishedConnections(), ExternalUplinks(),
        NATGateways(), SharedAddresses(), NATPools(), PortForwards(), ElasticIPs(), PublicHairpins(), GatewayBounds(),
        Bandwidths(), GatewayPairs(), TranslationRecords(), DHCPRequests(), LoadBalancers(),
    ]
}

extension FirewallFamily {
    /// What is of no family is not made by us: ``FirewallName/init(_:)``.
    static let all = [places] + HostCompiler.features.flatMap(\.names)
}
