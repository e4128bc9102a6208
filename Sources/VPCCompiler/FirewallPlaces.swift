import NFTables

// The chains that all packets of a kind pass, in the order in which a packet meets them. docs/security.md has the way.

extension FirewallFamily {
    static let places = FirewallFamily(
        BeforeRouting.chain, FromGuest.chain, Spoofed.chain, FromHost.chain, NATBeforeRouting.chain, ToHost.chain,
        GuestToHost.chain, Forwarded.chain, Arriving.chain, Staying.chain, RelatedErrors.chain,
        FromGatewayGuest.chain, ToGatewayGuest.chain, FromGatewayVRF.chain, NATAfterRouting.chain, Established.chain,
        Tracked.chain, UnderlayReceived.chain,
        UnderlaySent.chain,
        tightens: [])
}

// MARK: - Before routing

/// Every packet of every device comes this way: what is frequent comes first, and names of devices, 16 bytes to copy and
/// compare, are looked up only where their class does not tell.
enum BeforeRouting: Int, FirewallPlace {
    /// A VRF's packet passes twice.
    case secondPass
    /// To ``FromGuest``.
    case guests
    /// What is translated without connections, or not at all.
    case untracked
    /// Out of a tunnel.
    case received

    static let chain = "raw_prerouting"
    /// Before connection tracking puts fragments together (NF_IP_PRI_CONNTRACK_DEFRAG, -400): what is dropped here takes
    /// none of the memory that all fragments share, and zones are put together apart.
    static let base: NFBaseChain? = NFBaseChain(.filter, .prerouting, priority: -450)
}

/// What guests send: whoever may go on gets his zone.
enum FromGuest: Int, FirewallPlace {
    /// What needs another check than the one below.
    case exceptions
    /// Port, MAC and address.
    case check
    /// Of those who have no address yet.
    case unaddressed
    case forged

    static let chain = "from_guest"
}

/// What comes with another's MAC or address ends here.
enum Spoofed: Int, FirewallPlace {
    case report
    case drop

    static let chain = "spoofed"
}

/// What the host itself sends.
enum FromHost: Int, FirewallPlace {
    case zone

    static let chain = "raw_output"
    static let base = BeforeRouting.base.map { NFBaseChain(.filter, .output, priority: $0.priority) }
}

/// What is to be told of connections: not earlier, a packet has none before it is tracked (NF_IP_PRI_CONNTRACK, -200).
enum Tracked: Int, FirewallPlace {
    /// To the other one of a pair.
    case synchronized
    case recorded

    static let chain = "tracked"
    static let base: NFBaseChain? = NFBaseChain(.filter, .prerouting, priority: -150)
}

/// Translations of destinations: first packets of connections only.
enum NATBeforeRouting: Int, FirewallPlace {
    /// What begins inside is marked.
    case insiders
    /// To load balancers.
    case balanced
    case destinations
    /// What comes from a provider and is translated by nobody.
    case unsolicited

    static let chain = "nat_prerouting"
    static let base: NFBaseChain? = NFBaseChain(.nat, .prerouting, priority: -100)
}

// MARK: - To the host

enum ToHost: Int, FirewallPlace {
    /// To ``GuestToHost``.
    case guests
    /// To NAT gateways' own addresses.
    case gateways

    static let chain = "input"
    static let base: NFBaseChain? = NFBaseChain(.filter, .input, priority: 0)
}

/// What a guest may say to the host itself.
enum GuestToHost: Int, FirewallPlace {
    case services
    /// Of connections that the host began.
    case answers
    /// To load balancers, where nobody takes it.
    case unbalanced
    case report
    case drop

    static let chain = "guest_to_host"
}

// MARK: - Forwarding

/// What is forwarded. Past ``arriving`` it is what leaves this host.
enum Forwarded: Int, FirewallPlace {
    /// To and from providers.
    case external
    /// What is no VPC's.
    case others
    /// ICMP errors, where something has to look at them before connections that have passed.
    case errors
    /// From and to guests of which only the port is certain.
    case gatewayGuests
    /// To ``Arriving``.
    case arriving
    /// Connections that have passed before.
    case passed
    case cut
    case related
    /// From the tunnel into the tunnel: nobody here.
    case transit
    /// Whatever judges each direction by itself.
    case policy
    /// Connections that the groups have let begin.
    case begun
    /// Whatever judges first packets.
    case groups
    /// The end: it is remembered.
    case mark

    static let chain = "forward"
    static let base: NFBaseChain? = NFBaseChain(.filter, .forward, priority: 0)
}

/// What is forwarded in the VRF of a NAT gateway, in either direction.
enum FromGatewayVRF: Int, FirewallPlace {
    case invalid
    case elasticRates
    case rates
    case accept

    static let chain = "from_gateway_vrf"
}

/// To a port of this host: from another host, or from a port here.
enum Arriving: Int, FirewallPlace {
    case passed
    case cut
    case related
    /// A port is reachable only after its policy is in.
    case port
    case policy
    /// From a port here to ``Staying``.
    case staying
    case begun
    case groups
    case mark

    static let chain = "arriving"
}

/// From a port of this host to another.
enum Staying: Int, FirewallPlace {
    case begun
    case groups
    case mark

    static let chain = "staying"
}

/// ICMP errors: from anybody, but to somebody whose groups have let the connection begin that they are about.
enum RelatedErrors: Int, FirewallPlace {
    case cut
    case port
    case policy
    case begun
    /// On their way through a gateway.
    case gatewayGuests
    case groups
    case accept

    static let chain = "related"
}

/// From a guest that may use any address: made only where there is one.
enum FromGatewayGuest: Int, FirewallPlace {
    case cut
    case port
    case policy
    case groups
    case mark

    static let chain = "from_gateway"
}

/// To a guest that may use any address, from one that may not.
enum ToGatewayGuest: Int, FirewallPlace {
    case cut
    case port
    case policy
    case groups
    case mark

    static let chain = "to_gateway"
}

// MARK: - After routing

/// Translations of sources: first packets of connections only.
enum NATAfterRouting: Int, FirewallPlace {
    /// Of NAT gateways: whether there may be one connection more.
    case begins
    case elastic
    case sources
    /// From a VPC to itself, by its public addresses.
    case hairpins
    /// From a guest to itself, by a load balancer.
    case ownTargets
    /// What nobody has translated and must not leave.
    case untranslated

    static let chain = "nat_postrouting"
    static let base: NFBaseChain? = NFBaseChain(.nat, .postrouting, priority: 100)
}

/// What is written into packets that have no connection.
enum AfterRouting: Int, FirewallPlace {
    case addresses
    case errors

    static let chain = "rewrite"
    static let base: NFBaseChain? = NFBaseChain(.filter, .postrouting, priority: 90)
}

// MARK: - Past the rules

/// What is forwarded, before ``Forwarded``.
enum Established: Int, FirewallPlace {
    /// Connections that have passed, in both directions.
    case judged

    static let table = FirewallTables.flow
    static let chain = "established"
    static let base = Forwarded.base.map { NFBaseChain(.filter, .forward, priority: $0.priority - 10) }
}

// MARK: - Where the packets of tunnels travel

/// Tunnels themselves, before connection tracking.
enum UnderlayReceived: Int, FirewallPlace {
    case tunnels

    static let table = FirewallTables.underlay
    static let chain = "received"
    static let base = BeforeRouting.base
}

/// Tunnels themselves.
enum UnderlaySent: Int, FirewallPlace {
    case tunnels

    static let table = FirewallTables.underlay
    static let chain = "sent"
    static let base = FromHost.base
}

// MARK: - ARP

/// What guests say by ARP.
enum GuestARP: Int, FirewallPlace {
    case check
    case forged

    static let table = FirewallTables.arp
    static let chain = "input"
    static let base: NFBaseChain? = NFBaseChain(.filter, .input, priority: 0)
}
