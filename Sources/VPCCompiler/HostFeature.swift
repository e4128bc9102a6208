/// One thing that hosts do for their VPCs, in a file of its own. Features are values without state: what they know is in
/// the ``HostCompiler``.
///
/// The compiler runs all of them in two phases, in the order of ``HostCompiler/features``; routes are made in between,
/// because they need what the first phase made. CONTRIBUTING.md says how to add one.
protocol HostFeature: Sendable {
    /// The names of all that it puts into the firewall.
    var names: [FirewallFamily] { get }

    /// Adds devices, addresses, neighbours and parameters: all that routes may lead to.
    func contribute(to host: inout HostCompiler)

    /// Adds rules at places, sets, counters and chains.
    func contribute(to firewall: inout Firewall, of host: HostCompiler)
}

extension HostFeature {
    var names: [FirewallFamily] { [] }
    func contribute(to host: inout HostCompiler) {}
    func contribute(to firewall: inout Firewall, of host: HostCompiler) {}
}

extension HostCompiler {
    /// All there are. Numbers are given, and rules of one place stand, in this order.
    static let features: [any HostFeature] = [
        HostBasics(), GuestNamespaces(), RoutingContexts(), GuestPorts(), GatewayTunnels(), Tunnels(), GuestFragments(),
        HostAccess(),
        ConnectionMemory(), ConnectionErrors(), GatewayGuests(), NetworkACLs(), SecurityGroups(), DenialReports(),
        GuestAddressResolution(),
    ]
}

extension FirewallFamily {
    /// What is of no family is not made by us: ``FirewallName/init(_:)``.
    static let all = [places] + HostCompiler.features.flatMap(\.names)
}
