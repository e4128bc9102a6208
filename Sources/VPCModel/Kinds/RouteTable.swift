public import IPAddressing

public struct RouteTable: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the VPC.
    public var vpc: String
    public var routes: [CustomRoute]

    public init(metadata: Metadata, vpc: String, routes: [CustomRoute]) {
        self.metadata = metadata
        self.vpc = vpc
        self.routes = routes
    }
}

/// A route of a route table, beside the local routes that every table has.
public struct CustomRoute: Hashable, Sendable {
    public var destination: IPPrefix
    public var target: Target

    public enum Target: Hashable, Sendable {
        /// More than one: ECMP.
        case nextHops([NextHop])
        case blackhole
    }

    public init(destination: IPPrefix, target: Target) {
        self.destination = destination
        self.target = target
    }
}

public struct NextHop: Hashable, Sendable {
    public var target: Target
    /// Share of the flows, 1…256.
    public var weight: Int
    /// How it is found out whether the guest forwards; one that does not is left out.
    public var liveness: Liveness

    public enum Liveness: String, Hashable, Sendable, CaseIterable {
        /// It is not.
        case none
        /// RFC 5880 and 5881: the guest speaks BFD with its subnet's gateway.
        case bfd
        /// The guest answers echo requests.
        case ping
    }

    public enum Target: Hashable, Sendable {
        /// Name of a network interface; only these share a route.
        case interface(String)
        /// Name of a NAT gateway.
        case natGateway(String)
        /// Name of a peering.
        case peering(String)

        public var name: String {
            switch self {
            case .interface(let name), .natGateway(let name), .peering(let name): name
            }
        }
    }

    public static let weights = 1...256
    /// Every tool can list a group of so many: the kernel's smallest answer holds it.
    public static let maximumPerRoute = 256

    public init(_ target: Target, weight: Int = 1, liveness: Liveness = .none) {
        self.target = target
        self.weight = weight
        self.liveness = liveness
    }

    public init(interface: String, weight: Int = 1, liveness: Liveness = .none) {
        self.init(.interface(interface), weight: weight, liveness: liveness)
    }
}

extension RouteTable: ResourceType {
    public static let names = KindNames("RouteTable", short: ["rt"])
    public static var kind: ResourceKind { .routeTable }
}

extension ResourceKind {
    public static let routeTable = ResourceKind(of: RouteTable.self)
}

extension Model {
    public var routeTables: [RouteTable] {
        get { self[RouteTable.self] }
        _modify { yield &self[RouteTable.self] }
    }
}
