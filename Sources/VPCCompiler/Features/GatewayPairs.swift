import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let pairs = FirewallFamily("endpoints", tightens: [])
}

/// Two hosts that stand in for each other as the gateways of a network. Both have all of a gateway's objects; which one is
/// active is which one has two addresses, the endpoint that the other hosts send to and the one that the provider does. A
/// process of its own gives and takes these (``PairNote``), so nothing compiled depends on who it is.
struct GatewayPairs: HostFeature {
    let names = [FirewallFamily.pairs]

    /// Endpoints of pairs that this host is in.
    private static let endpoints = NFSet("endpoints", of: .ipv4Address, grows: true)

    /// Whether the kernel tells of connections that begin while nobody listens. By default the end of those would never
    /// be told.
    static let events = "net/netfilter/nf_conntrack_events"

    /// What is told of a gateway's connections: IPCT_DESTROY and IPCT_ASSURED of
    /// linux/netfilter/nf_conntrack_common.h. Whatever is no connection yet, as what a scanner sends, is not told of.
    static let told: UInt32 = 1 << 2 | 1 << 4

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .uplink(let number) = piece, let pair = host.topology.externalNetworks[number].pair else { return }
        part.rows(of: Self.endpoints, in: FirewallTables.underlay) { $0.add(pair.endpoint, origin: piece.origin) }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        guard host.traits.hasPairs else { return }
        firewall.underlay.sets.append(Self.endpoints)
        let isTunnel: [NFStatement] = [
            .match(.l4proto, NFProtocol.gre), .match(.ipDestination, in: Self.endpoints.name),
        ]
        firewall.rules(at: UnderlayReceived.tunnels) { chain in
            chain.rule(isTunnel + [.match(.iifname, .ipSource, in: Tunnels.hosts.name), .notrack, .accept])
            chain.rule(isTunnel + [.counter("foreign_tunnel"), .drop])
        }
        firewall.rule(at: Tracked.synchronized, NATGateways.isOfGateway, .match([.new]), .set(.ctEvents, Self.told))
    }
}

/// The ports that a NAT gateway translates into: each of a pair its own half, so that two that both believe to be active
/// give nothing twice.
enum PortHalf: UInt8, Sendable, CaseIterable {
    /// Of a gateway that is alone: the kernel chooses.
    case all
    case low
    case high

    var ports: ClosedRange<UInt16>? {
        switch self {
        case .all: nil
        case .low: 1024...32767
        case .high: 32768...65535
        }
    }
}

extension NFSet {
    /// The one that has the gateways of a half.
    func of(_ half: PortHalf) -> NFSet {
        var set = self
        switch half {
        case .all: break
        case .low: set.name += "_low"
        case .high: set.name += "_high"
        }
        return set
    }
}

extension HostCompiler {
    /// Where a gateway's packets are sent to that is one of a pair.
    func endpoint(of gateway: ResolvedNATGateway) -> IPAddress? {
        topology.externalNetworks[gateway.network].pair?.endpoint
    }

    func portHalf(of gateway: ResolvedNATGateway) -> PortHalf { portHalf(ofNetwork: gateway.network) }

    /// By the names of the two, which stay where the order of preference changes.
    private func portHalf(ofNetwork number: Int) -> PortHalf {
        let network = topology.externalNetworks[number]
        guard network.pair != nil else { return .all }
        let first = network.uplinks.map { topology.hosts[$0.host].metadata.name }.min()
        return topology.hosts[host].metadata.name == first ? .low : .high
    }

    /// Ascending.
    var portHalves: [PortHalf] {
        let networks = Set(natGateways.keys.map { topology.natGateways[$0].network })
        return Set(networks.map(portHalf(ofNetwork:))).sorted { $0.rawValue < $1.rawValue }
    }

    var hasPairs: Bool { uplinks.keys.contains { topology.externalNetworks[$0].pair != nil } }

    /// With 0 the kernel tells of what the rules name and of nothing else. But of a pair the ends of connections that another
    /// host has told of are to be told as well, and these meet no rule.
    var trackingSysctls: [Sysctl] {
        if hasPairs { return [Sysctl(GatewayPairs.events, "1")] }
        return traits.recordsTranslations ? [Sysctl(GatewayPairs.events, "0")] : []
    }

    /// The provider's router, of a pair: who stands by has no address in its block, and is to have the same routes.
    func routeToRouter(ofNetwork number: Int) -> Attributed<Route>? {
        let network = topology.externalNetworks[number]
        guard network.pair != nil, let uplink = uplinks[number], uplink.isPresent else { return nil }
        let key = Route.Key(table: .main, destination: IPPrefix(network.nextHop))
        return Attributed(.link(uplink.device, key), from: Origin(.externalNetwork, number))
    }

    /// The pools of a network that is announced by routes: who is active announces these (`PairObservation`), and what of them
    /// nobody has goes no further.
    func poolRoutes(ofNetwork number: Int) -> [Attributed<Route>] {
        let network = topology.externalNetworks[number]
        guard network.pair?.announcement == .routes, uplinks[number]?.isPresent ?? false else { return [] }
        return network.pools.map { pool in
            let key = Route.Key(table: .main, destination: pool, metric: Conventions.lastMetric)
            return Attributed(.unreachable(key), from: Origin(.externalNetwork, number))
        }
    }

    /// What the uplink says of the pair.
    func pairNote(of network: ResolvedExternalNetwork) -> PairNote? {
        guard let pair = network.pair, let other = network.uplinks.first(where: { $0.host != host }) else { return nil }
        return PairNote(
            endpoint: pair.endpoint, uplinkAddress: network.uplinkAddress,
            prefixLength: network.uplinkAddress.block(with: network.nextHop), router: network.nextHop,
            own: underlayAddress, peer: topology.hosts[other.host].underlayAddress,
            rank: network.uplinks[0].host == host ? 0 : 1,
            interval: pair.liveness.milliseconds,
            multiplier: UInt32(pair.liveness.multiplier), announcesRoutes: pair.announcement == .routes)
    }
}

extension ExternalNetwork.Liveness {
    fileprivate var milliseconds: UInt32 {
        let (seconds, attoseconds) = interval.components
        return UInt32(clamping: seconds * 1000 + attoseconds / 1_000_000_000_000_000)
    }
}
