public import IPAddressing

/// One instance of a load balancer of HTTP: what it listens to, where it leads requests, and whom it asks.
public struct HTTPBalancer: Hashable, Sendable {
    /// Of the balancer.
    public var name: String
    public var listeners: [Listener] = []
    /// By name.
    public var groups: [Group] = []
    public var clientAddress = ClientAddress.forwardedFor
    public var logsRequests = false

    public init(name: String) { self.name = name }

    public enum Scheme: String, Hashable, Sendable {
        case http
        case https
    }

    public enum ClientAddress: Hashable, Sendable {
        /// By the header X-Forwarded-For.
        case forwardedFor
        /// By the PROXY protocol, version 2.
        case proxyV2
    }

    public struct Listener: Hashable, Sendable {
        public var scheme: Scheme
        public var port: UInt16
        /// The first that fits decides.
        public var rules: [Rule] = []
        /// Of `https`; who asks for none of these names gets the first.
        public var certificates: [Certificate] = []
        /// Clients are sent to this port by `https`.
        public var redirectPort: UInt16?

        public init(_ scheme: Scheme, port: UInt16) {
            self.scheme = scheme
            self.port = port
        }
    }

    public struct Rule: Hashable, Sendable {
        /// Nil: every one.
        public var host: String?
        /// What the path begins with; nil: every one.
        public var path: String?
        /// The name of the group.
        public var group: String

        public init(host: String?, path: String?, group: String) {
            self.host = host
            self.path = path
            self.group = group
        }
    }

    public struct Certificate: Hashable, Sendable {
        /// By which clients ask for it.
        public var name: String
        /// Of the host: certificates and key, PEM.
        public var file: String

        public init(name: String, file: String) {
            self.name = name
            self.file = file
        }
    }

    public struct Group: Hashable, Sendable {
        public var name: String
        public var scheme: Scheme
        public var check: Check?
        /// How long requests go on that a server has when it leaves.
        public var drain: Duration
        /// Where no server is healthy, all are asked.
        public var failsOpen: Bool
        /// By name.
        public var servers: [Server]

        public init(
            name: String, scheme: Scheme, check: Check?, drain: Duration, failsOpen: Bool, servers: [Server]
        ) {
            self.name = name
            self.scheme = scheme
            self.check = check
            self.drain = drain
            self.failsOpen = failsOpen
            self.servers = servers
        }
    }

    public struct Server: Hashable, Sendable {
        public var name: String
        public var address: IPAddress
        public var port: UInt16
        /// 1…256.
        public var weight: Int

        public init(name: String, address: IPAddress, port: UInt16, weight: Int) {
            self.name = name
            self.address = address
            self.port = port
            self.weight = weight
        }
    }

    public struct Check: Hashable, Sendable {
        public var kind: Kind
        /// Of requests.
        public var path: String
        /// Of good answers.
        public var status: [Int]
        public var interval: Duration
        public var timeout: Duration
        /// So many answers in a row make a server healthy, or unhealthy.
        public var healthy: Int
        public var unhealthy: Int

        public enum Kind: Hashable, Sendable {
            case tcp
            case http
            case https
        }

        public init(
            kind: Kind, path: String, status: [Int], interval: Duration, timeout: Duration, healthy: Int,
            unhealthy: Int
        ) {
            self.kind = kind
            self.path = path
            self.status = status
            self.interval = interval
            self.timeout = timeout
            self.healthy = healthy
            self.unhealthy = unhealthy
        }
    }
}
