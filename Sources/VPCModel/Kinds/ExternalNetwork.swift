public import IPAddressing

/// A network beyond the VPCs, the internet as a rule: the addresses that a provider gives, and where they arrive.
public struct ExternalNetwork: Hashable, Sendable {
    public var metadata: Metadata
    /// Public addresses that NAT gateways and elastic IPs may take.
    public var pools: [IPPrefix]
    /// The provider's router.
    public var nextHop: IPAddress
    /// One host, or a pair: the first is preferred.
    public var gateways: [Uplink]
    /// Of a pair: the underlay address that whoever is active has.
    public var endpoint: IPAddress?
    /// What the provider routes the pools to, and what asks for the provider's router by ARP.
    public var uplinkAddress: IPAddress
    public var announcement: Announcement
    /// Of a pair: when one takes the other for dead.
    public var liveness: Liveness?

    /// Where a host is connected to the provider.
    public struct Uplink: Hashable, Sendable {
        /// Name of the host.
        public var host: String
        /// A device of the host's.
        public var device: String
        public var mode: Mode

        public init(host: String, device: String, mode: Mode = .macvlan) {
            self.host = host
            self.device = device
            self.mode = mode
        }
    }

    /// How the device is made use of.
    public enum Mode: String, Hashable, Sendable, CaseIterable {
        /// A device upon it, with a MAC address of its own.
        case macvlan
        /// A device upon it, with its MAC address.
        case ipvlan
        /// The device itself: it is given to us whole.
        case move
    }

    /// How the provider learns where the addresses are.
    public enum Announcement: String, Hashable, Sendable, CaseIterable {
        case arp
        case routes
    }

    public struct Liveness: Hashable, Sendable {
        public var interval: Duration
        /// Intervals without a sign of life.
        public var multiplier: Int

        public init(interval: Duration, multiplier: Int) {
            self.interval = interval
            self.multiplier = multiplier
        }
    }

    public init(
        metadata: Metadata, pools: [IPPrefix], nextHop: IPAddress, gateways: [Uplink], endpoint: IPAddress? = nil,
        uplinkAddress: IPAddress, announcement: Announcement = .arp, liveness: Liveness? = nil
    ) {
        self.metadata = metadata
        self.pools = pools
        self.nextHop = nextHop
        self.gateways = gateways
        self.endpoint = endpoint
        self.uplinkAddress = uplinkAddress
        self.announcement = announcement
        self.liveness = liveness
    }
}

extension ExternalNetwork: ResourceType {
    public static let names = KindNames("ExternalNetwork", short: ["extnet"])
    public static var kind: ResourceKind { .externalNetwork }
}

extension ResourceKind {
    public static let externalNetwork = ResourceKind(of: ExternalNetwork.self)
}

extension Model {
    public var externalNetworks: [ExternalNetwork] {
        get { self[ExternalNetwork.self] }
        _modify { yield &self[ExternalNetwork.self] }
    }
}
