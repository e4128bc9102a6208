public import IPAddressing

/// Addresses whose connections are shared among the targets of groups.
public struct LoadBalancer: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the VPC.
    public var vpc: String
    public var type: Layer
    /// Its address in the VPC.
    public var inside: Inside?
    /// Name of the elastic IP by which it is reached from outside.
    public var elasticIP: String?
    public var scheme: Scheme
    public var affinity: Affinity
    public var listeners: [Listener]
    /// Those that speak for a balancer of HTTP.
    public var instances: [Instance]
    /// How targets of HTTP learn who asks.
    public var clientAddress: ClientAddress
    public var logsAccesses: Bool

    public static let maximumListeners = 64

    public enum Layer: String, Hashable, Sendable, CaseIterable {
        /// Connections of TCP and UDP are passed on as they are.
        case l4
        /// Requests of HTTP are answered by instances, which ask the targets.
        case l7
    }

    public struct Inside: Hashable, Sendable {
        /// Name of the subnet.
        public var subnet: String
        public var address: IPAddress

        public init(subnet: String, address: IPAddress) {
            self.subnet = subnet
            self.address = address
        }
    }

    /// Where connections from outside are remembered.
    public enum Scheme: String, Hashable, Sendable, CaseIterable {
        /// On the gateways of the external network.
        case pair
        /// On the hosts of the targets.
        case scaleOut
    }

    /// Whose connections go to the same target.
    public enum Affinity: String, Hashable, Sendable, CaseIterable {
        case none
        /// Those of one source address.
        case source
    }

    public struct Listener: Hashable, Sendable {
        public var transport: BalancedProtocol
        public var port: UInt16
        /// Name of the target group of a listener that has no rules.
        public var targetGroup: String?
        /// Of HTTP; the first that fits decides.
        public var rules: [Rule]
        public var certificates: [Certificate]
        public var redirect: Redirect?

        public enum Redirect: String, Hashable, Sendable, CaseIterable {
            case https
        }

        public init(
            transport: BalancedProtocol, port: UInt16, targetGroup: String? = nil, rules: [Rule] = [],
            certificates: [Certificate] = [], redirect: Redirect? = nil
        ) {
            self.transport = transport
            self.port = port
            self.targetGroup = targetGroup
            self.rules = rules
            self.certificates = certificates
            self.redirect = redirect
        }
    }

    /// Which requests go where.
    public struct Rule: Hashable, Sendable {
        /// Nil: of every host.
        public var host: String?
        /// What the path begins with; nil: every path.
        public var path: String?
        /// Name of the target group.
        public var targetGroup: String

        public init(host: String? = nil, path: String? = nil, targetGroup: String) {
            self.host = host
            self.path = path
            self.targetGroup = targetGroup
        }
    }

    public struct Certificate: Hashable, Sendable {
        /// By which clients ask for it.
        public var name: String
        /// With its key, on the hosts of the instances.
        public var file: String

        public init(name: String, file: String) {
            self.name = name
            self.file = file
        }
    }

    public struct Instance: Hashable, Sendable {
        /// Name of the subnet.
        public var subnet: String
        /// Name of the host.
        public var host: String
        public var address: IPAddress

        public init(subnet: String, host: String, address: IPAddress) {
            self.subnet = subnet
            self.host = host
            self.address = address
        }
    }

    public enum ClientAddress: String, Hashable, Sendable, CaseIterable {
        /// By a header of the request.
        case forwardedFor
        /// By the PROXY protocol, version 2.
        case proxyV2
    }

    public init(
        metadata: Metadata, vpc: String, type: Layer = .l4, inside: Inside? = nil, elasticIP: String? = nil,
        scheme: Scheme = .pair, affinity: Affinity = .none, listeners: [Listener] = [], instances: [Instance] = [],
        clientAddress: ClientAddress = .forwardedFor, logsAccesses: Bool = false
    ) {
        self.metadata = metadata
        self.vpc = vpc
        self.type = type
        self.inside = inside
        self.elasticIP = elasticIP
        self.scheme = scheme
        self.affinity = affinity
        self.listeners = listeners
        self.instances = instances
        self.clientAddress = clientAddress
        self.logsAccesses = logsAccesses
    }
}

extension LoadBalancer: ResourceType {
    public static let names = KindNames("LoadBalancer", short: ["lb"])
    public static var kind: ResourceKind { .loadBalancer }
}

extension ResourceKind {
    public static let loadBalancer = ResourceKind(of: LoadBalancer.self)
}

extension Model {
    public var loadBalancers: [LoadBalancer] {
        get { self[LoadBalancer.self] }
        _modify { yield &self[LoadBalancer.self] }
    }
}
