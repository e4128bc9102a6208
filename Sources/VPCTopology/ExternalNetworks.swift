public import IPAddressing
public import VPCModel

public struct ResolvedExternalNetwork: Sendable, Equatable {
    public var name: String
    /// Ascending.
    public var pools: [IPPrefix]
    public var nextHop: IPAddress
    /// The first is preferred.
    public var uplinks: [Uplink]
    public var uplinkAddress: IPAddress
    /// Nil: there is one gateway.
    public var pair: Pair?

    /// What the two of a pair share.
    public struct Pair: Sendable, Equatable {
        /// An underlay address of whoever is active.
        public var endpoint: IPAddress
        public var announcement: ExternalNetwork.Announcement
        public var liveness: ExternalNetwork.Liveness

        public init(
            endpoint: IPAddress, announcement: ExternalNetwork.Announcement, liveness: ExternalNetwork.Liveness
        ) {
            self.endpoint = endpoint
            self.announcement = announcement
            self.liveness = liveness
        }
    }

    public struct Uplink: Sendable, Equatable {
        /// A number of `Topology.hosts`.
        public var host: Int
        public var device: String
        public var mode: ExternalNetwork.Mode

        public init(host: Int, device: String, mode: ExternalNetwork.Mode) {
            self.host = host
            self.device = device
            self.mode = mode
        }
    }

    public init(
        name: String, pools: [IPPrefix], nextHop: IPAddress, uplinks: [Uplink], uplinkAddress: IPAddress,
        pair: Pair? = nil
    ) {
        self.name = name
        self.pools = pools
        self.nextHop = nextHop
        self.uplinks = uplinks
        self.uplinkAddress = uplinkAddress
        self.pair = pair
    }

    /// How the host is connected; nil: it is not.
    package func uplink(of host: Int) -> Uplink? { uplinks.first { $0.host == host } }
}

public struct ResolvedNATGateway: Sendable, Equatable {
    public var name: String
    /// A number of `Topology.vpcs`.
    public var vpc: Int
    public var subnet: Int
    /// A number of `Topology.externalNetworks`.
    public var network: Int
    public var address: IPAddress
    /// Its addresses ascend.
    public var pool: PublicPool
    /// Public ports of each inside address; nil: whichever are free.
    public var portsPerInterface: Int?
    /// By address, protocol and port.
    public var portForwards: [ResolvedPortForward] = []
    public var limits = NATGateway.Limits()
    /// Whether it is recorded who had which public address and port.
    public var logsTranslations = false
    /// Of what is sent to it.
    public var key: GatewayKey

    public var addresses: [IPAddress] { pool.addresses }
    /// Whether each of its connections is recorded. Of fixed blocks it is enough to say whose they are.
    public var recordsConnections: Bool { logsTranslations && portsPerInterface == nil }

    public init(
        name: String, vpc: Int, subnet: Int, network: Int, address: IPAddress, pool: PublicPool,
        portsPerInterface: Int? = nil, key: GatewayKey
    ) {
        self.name = name
        self.vpc = vpc
        self.subnet = subnet
        self.network = network
        self.address = address
        self.pool = pool
        self.portsPerInterface = portsPerInterface
        self.key = key
    }
}

public struct ResolvedPortForward: Sendable, Hashable {
    public var address: IPAddress
    public var transport: NATGateway.PortForward.Transport
    public var port: UInt16
    /// A number of `Topology.interfaces`.
    public var interface: Int
    /// Of the interface.
    public var interfacePort: UInt16

    public init(
        address: IPAddress, transport: NATGateway.PortForward.Transport, port: UInt16, interface: Int,
        interfacePort: UInt16
    ) {
        self.address = address
        self.transport = transport
        self.port = port
        self.interface = interface
        self.interfacePort = interfacePort
    }
}

public struct ResolvedElasticIP: Sendable, Equatable {
    public var name: String
    /// A number of `Topology.externalNetworks`.
    public var network: Int
    public var address: IPAddress
    /// A number of `Topology.interfaces`; nil: it is reserved.
    public var interface: Int?
    /// A number of `Topology.natGateways`: by which the interface's packets leave. Nil: nobody is reached by it.
    public var gateway: Int?
    public var mode: ElasticIP.Mode
    public var bandwidth = Bandwidth()
    /// Whether the address was chosen for it: its manifest leaves it out.
    public var hasChosenAddress = false

    public init(
        name: String, network: Int, address: IPAddress, interface: Int?, gateway: Int?, mode: ElasticIP.Mode
    ) {
        self.name = name
        self.network = network
        self.address = address
        self.interface = interface
        self.gateway = gateway
        self.mode = mode
    }
}

extension ResolvedExternalNetwork {
    /// Whether the provider sends what is for that address here.
    public func gives(_ address: IPAddress) -> Bool {
        uplinkAddress == address || nextHop != address && pools.contains { $0.contains(address) }
    }
}

extension Topology {
    public var elasticIPs: Slots<ResolvedElasticIP> {
        get { self[ResolvedElasticIP.self] }
        _modify { yield &self[ResolvedElasticIP.self] }
    }

    public var externalNetworks: Slots<ResolvedExternalNetwork> {
        get { self[ResolvedExternalNetwork.self] }
        _modify { yield &self[ResolvedExternalNetwork.self] }
    }

    public var natGateways: Slots<ResolvedNATGateway> {
        get { self[ResolvedNATGateway.self] }
        _modify { yield &self[ResolvedNATGateway.self] }
    }

    /// The external network that sends here what is for an address.
    public func network(ofPublic address: IPAddress) -> Int? {
        let networks = externalNetworks
        return networks.indices.first { networks[$0].gives(address) }
    }

    /// The host that packets for a NAT gateway are sent to; of a pair the preferred one.
    public func host(of gateway: ResolvedNATGateway) -> Int { host(ofNetwork: gateway.network) }

    public func host(ofNetwork network: Int) -> Int { externalNetworks[network].uplinks[0].host }

    /// Whether a NAT gateway is on a host, be it as the one that stands by.
    package func isGateway(_ host: Int, of gateway: ResolvedNATGateway) -> Bool {
        externalNetworks[gateway.network].uplink(of: host) != nil
    }

    /// Those of a VPC, by name.
    public func natGateways(ofVPC vpc: Int) -> [Int] {
        let gateways = natGateways
        if gateways.isEmpty { return [] }
        return gateways.indices.filter { gateways[$0].vpc == vpc }.sorted { gateways[$0].name < gateways[$1].name }
    }

    /// Those of external networks that a host is connected to.
    package func natGateways(on host: Int) -> [Int] {
        let gateways = natGateways
        return gateways.isEmpty ? [] : gateways.indices.filter { isGateway(host, of: gateways[$0]) }
    }
}

extension TopologyChange {
    public internal(set) var externalNetworks: Part<ResolvedExternalNetwork> {
        get { self[ResolvedExternalNetwork.self] }
        set { self[ResolvedExternalNetwork.self] = newValue }
    }

    public internal(set) var elasticIPs: Part<ResolvedElasticIP> {
        get { self[ResolvedElasticIP.self] }
        set { self[ResolvedElasticIP.self] = newValue }
    }

    public internal(set) var natGateways: Part<ResolvedNATGateway> {
        get { self[ResolvedNATGateway.self] }
        set { self[ResolvedNATGateway.self] = newValue }
    }
}

extension ResolvedExternalNetwork: ResolvedResource, NamedAlone {
    package static var kind: ResourceKind { .externalNetwork }

    package mutating func renumber(_ numbers: TopologyNumbers) {
        for index in uplinks.indices { uplinks[index].host = numbers.hosts[uplinks[index].host] }
    }
}

extension ResolvedNATGateway: ResolvedResource, NamedInVPC {
    package static var kind: ResourceKind { .natGateway }

    package mutating func renumber(_ numbers: TopologyNumbers) {
        vpc = numbers.vpcs[vpc]
        subnet = numbers.subnets[subnet]
        network = numbers.externalNetworks[network]
        for index in portForwards.indices {
            portForwards[index].interface = numbers.interfaces[portForwards[index].interface]
        }
    }
}

extension ResolvedElasticIP: ResolvedResource, NamedAlone {
    package static var kind: ResourceKind { .elasticIP }

    package mutating func renumber(_ numbers: TopologyNumbers) {
        network = numbers.externalNetworks[network]
        interface = interface.map { numbers.interfaces[$0] }
        gateway = gateway.map { numbers.natGateways[$0] }
    }
}
