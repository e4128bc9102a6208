public import IPAddressing

/// Where a VPC's packets leave for an external network, with public addresses in the place of their own.
public struct NATGateway: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the subnet that it is in.
    public var subnet: String
    /// Its own, in the VPC.
    public var address: IPAddress
    /// Name of the external network.
    public var externalNetwork: String
    /// What it translates to.
    public var pool: PublicPool
    /// Public ports of each inside address; nil: whichever are free.
    public var portsPerInterface: Int?
    public var portForwards: [PortForward]
    public var limits: Limits
    /// Whether it is recorded who had which public address and port, and when.
    public var logsTranslations: Bool

    public static let maximumAddresses = 64
    public static let maximumPortForwards = 1024

    /// A public port that leads to an interface.
    public struct PortForward: Hashable, Sendable {
        /// One of the gateway's.
        public var address: IPAddress
        public var transport: Transport
        public var port: UInt16
        /// Name of the network interface.
        public var interface: String
        /// Of the interface.
        public var interfacePort: UInt16

        public enum Transport: String, Hashable, Sendable, CaseIterable {
            case tcp
            case udp

            public var ipProtocol: IPProtocol { self == .tcp ? .tcp : .udp }
        }

        public init(
            address: IPAddress, transport: Transport = .tcp, port: UInt16, interface: String, interfacePort: UInt16
        ) {
            self.address = address
            self.transport = transport
            self.port = port
            self.interface = interface
            self.interfacePort = interfacePort
        }
    }

    /// What may pass it, and what it remembers.
    public struct Limits: Hashable, Sendable {
        public var bandwidth = Bandwidth()
        /// Tracked connections at once; nil: a quarter of the host's table.
        public var maxConnections: Int?
        /// Nil: what a VPC may begin.
        public var newConnectionsPerSecond: Int?
        public var idleTimeouts = IdleTimeouts()

        public init(
            bandwidth: Bandwidth = Bandwidth(), maxConnections: Int? = nil, newConnectionsPerSecond: Int? = nil,
            idleTimeouts: IdleTimeouts = IdleTimeouts()
        ) {
            self.bandwidth = bandwidth
            self.maxConnections = maxConnections
            self.newConnectionsPerSecond = newConnectionsPerSecond
            self.idleTimeouts = idleTimeouts
        }
    }

    /// Whole seconds after which connections without a packet are forgotten.
    public struct IdleTimeouts: Hashable, Sendable {
        public var tcp: Duration = .seconds(350)
        public var udp: Duration = .seconds(120)
        public var icmp: Duration = .seconds(30)

        public init(tcp: Duration = .seconds(350), udp: Duration = .seconds(120), icmp: Duration = .seconds(30)) {
            self.tcp = tcp
            self.udp = udp
            self.icmp = icmp
        }
    }

    public init(
        metadata: Metadata, subnet: String, address: IPAddress, externalNetwork: String, pool: PublicPool,
        portsPerInterface: Int? = nil, portForwards: [PortForward] = [], limits: Limits = Limits(),
        logsTranslations: Bool = false
    ) {
        self.metadata = metadata
        self.subnet = subnet
        self.address = address
        self.externalNetwork = externalNetwork
        self.pool = pool
        self.portsPerInterface = portsPerInterface
        self.portForwards = portForwards
        self.limits = limits
        self.logsTranslations = logsTranslations
    }
}

/// What a NAT gateway translates to.
public enum PublicPool: Hashable, Sendable {
    /// Public addresses that are its alone: an inside address always has the same one of them.
    case addresses([IPAddress])
    /// Some ports of an address that several gateways share.
    case shared(PublicPorts)

    public var addresses: [IPAddress] {
        switch self {
        case .addresses(let addresses): addresses
        case .shared(let shared): [shared.address]
        }
    }
}

/// Ports of a public address.
public struct PublicPorts: Hashable, Sendable {
    public var address: IPAddress
    public var ports: ClosedRange<UInt16>

    /// Ports of a shared address are given away in blocks of so many.
    public static let block = 1024
    /// What translations take. Those below are for services, and some filters let nothing out that bears them.
    public static let usable: ClosedRange<UInt16> = 1024...UInt16.max

    public init(address: IPAddress, ports: ClosedRange<UInt16>) {
        self.address = address
        self.ports = ports
    }
}

extension NATGateway: ResourceType {
    public static let names = KindNames("NATGateway", short: ["nat"])
    public static var kind: ResourceKind { .natGateway }
}

extension ResourceKind {
    public static let natGateway = ResourceKind(of: NATGateway.self)
}

extension Model {
    public var natGateways: [NATGateway] {
        get { self[NATGateway.self] }
        _modify { yield &self[NATGateway.self] }
    }
}
