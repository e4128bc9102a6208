/// Interfaces among which load balancers share connections.
public struct TargetGroup: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the VPC.
    public var vpc: String
    /// Of the targets.
    public var port: UInt16
    public var transport: BalancedProtocol
    public var members: Members
    /// Nil: every target counts as healthy.
    public var healthCheck: HealthCheck?
    /// How long connections go on to a target that is no longer in the group.
    public var drain: Duration
    public var whenAllUnhealthy: WhenAllUnhealthy

    public static let maximumTargets = 1000
    public static let weights = 1...256
    public static let standardDrain = Duration.seconds(60)

    public enum Members: Hashable, Sendable {
        /// The interfaces of the VPC that have all of these labels.
        case selector([String: String])
        case interfaces([Member])
    }

    public struct Member: Hashable, Sendable {
        /// Name of the network interface.
        public var name: String
        /// Share of the connections.
        public var weight: Int

        public init(_ name: String, weight: Int = 1) {
            self.name = name
            self.weight = weight
        }
    }

    public enum WhenAllUnhealthy: String, Hashable, Sendable, CaseIterable {
        /// Nobody is let connect.
        case refuse
        /// As if all were healthy.
        case useAll
    }

    /// How it is found out whether a target works.
    public struct HealthCheck: Hashable, Sendable {
        public var transport: Transport
        /// Of HTTP requests.
        public var path: String
        /// Of HTTP answers that are good.
        public var status: [Int]
        public var interval: Duration
        public var timeout: Duration
        /// So many good answers in a row make a target healthy, and so many bad ones unhealthy.
        public var healthy: Int
        public var unhealthy: Int

        public enum Transport: String, Hashable, Sendable, CaseIterable {
            case tcp
            case udp
            case http
            case https

            public var isHTTP: Bool { self == .http || self == .https }
        }

        public init(
            transport: Transport = .tcp, path: String = "/", status: [Int] = [200], interval: Duration = .seconds(5),
            timeout: Duration = .seconds(2), healthy: Int = 2, unhealthy: Int = 3
        ) {
            self.transport = transport
            self.path = path
            self.status = status
            self.interval = interval
            self.timeout = timeout
            self.healthy = healthy
            self.unhealthy = unhealthy
        }
    }

    public init(
        metadata: Metadata, vpc: String, port: UInt16, transport: BalancedProtocol, members: Members,
        healthCheck: HealthCheck? = nil, drain: Duration = standardDrain, whenAllUnhealthy: WhenAllUnhealthy = .refuse
    ) {
        self.metadata = metadata
        self.vpc = vpc
        self.port = port
        self.transport = transport
        self.members = members
        self.healthCheck = healthCheck
        self.drain = drain
        self.whenAllUnhealthy = whenAllUnhealthy
    }
}

/// What listeners and targets speak.
public enum BalancedProtocol: String, Hashable, Sendable, CaseIterable {
    case tcp
    case udp
    case http
    case https

    public var isHTTP: Bool { self == .http || self == .https }

    /// What bears it.
    public var ipProtocol: IPProtocol { self == .udp ? .udp : .tcp }
}

extension TargetGroup: ResourceType {
    public static let names = KindNames("TargetGroup", short: ["tg"])
    public static var kind: ResourceKind { .targetGroup }
}

extension ResourceKind {
    public static let targetGroup = ResourceKind(of: TargetGroup.self)
}

extension Model {
    public var targetGroups: [TargetGroup] {
        get { self[TargetGroup.self] }
        _modify { yield &self[TargetGroup.self] }
    }
}
