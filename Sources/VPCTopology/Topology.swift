public import IPAddressing
public import VPCModel

/// A model whose references are resolved and whose rules hold: what the compiler reads.
///
/// Everything has a number that it keeps for as long as it exists, and everything else refers to it by that. Equal models
/// give equal topologies: numbers do not count. A topology that was resolved afresh has its numbers in the order of each
/// kind, whatever the order of the documents, see ``inOrder(_:of:)``.
public struct Topology: Sendable {
    public var hosts = Slots<Host>()
    public var vpcs = Slots<ResolvedVPC>()
    public var subnets = Slots<ResolvedSubnet>()
    public var routeTables = Slots<ResolvedRouteTable>()
    public var interfaces = Slots<ResolvedInterface>()
    public var securityGroups = Slots<ResolvedSecurityGroup>()
    public var acls = Slots<ResolvedACL>()
    /// For every VPC's number, those of its interfaces by address.
    public var interfacesOfVPC: [[Int]] = []
    /// For every VPC's number, what is routed to its interfaces beside their addresses: ascending, disjoint.
    public var furtherOfVPC: [[Destination]] = []
    /// For every host's number, those of its interfaces by VPC, then address.
    public var interfacesOfHost: [[Int]] = []
    /// Resolved resources of the kinds that have no table above: these are the many, and those that are read the most.
    var tables = ResolvedTables()
    /// Elements of nftables that all security groups and ACLs take together.
    package internal(set) var policyElements = 0

    public init() {}
}

public struct ResolvedVPC: Sendable, Equatable {
    public var name: String
    public var id: VPCID
    /// Ascending, disjoint.
    public var cidrs: [IPPrefix]
    /// Nil: what is denied is not reported.
    public var denialLog: DenialLog?
    /// Tracked connections on one host; nil: a share of what the host has room for.
    public var maxConnections: Int?
    /// Whose it is.
    public var account: String?
    public var region: String?

    public init(
        name: String, id: VPCID, cidrs: [IPPrefix], denialLog: DenialLog? = nil, maxConnections: Int? = nil,
        account: String? = nil, region: String? = nil
    ) {
        self.name = name
        self.id = id
        self.cidrs = cidrs
        self.denialLog = denialLog
        self.maxConnections = maxConnections
        self.account = account
        self.region = region
    }
}

public struct ResolvedSubnet: Sendable, Equatable {
    public var name: String
    /// A number of `Topology.vpcs`.
    public var vpc: Int
    public var cidr: IPPrefix
    /// The explicit gateway, or the first usable address.
    public var gateway: IPAddress
    /// A number of `Topology.routeTables`; nil is the VPC's main table.
    public var routeTable: Int?
    /// A number of `Topology.acls`; nil allows everything.
    public var acl: Int?
    public var dhcp: DHCPOptions?

    public init(
        name: String, vpc: Int, cidr: IPPrefix, gateway: IPAddress, routeTable: Int?, acl: Int? = nil,
        dhcp: DHCPOptions? = nil
    ) {
        self.name = name
        self.vpc = vpc
        self.cidr = cidr
        self.gateway = gateway
        self.routeTable = routeTable
        self.acl = acl
        self.dhcp = dhcp
    }

    /// Whether its guests are answered when they ask by DHCP.
    public var servesDHCP: Bool { dhcp?.isEnabled == true }
}

public struct ResolvedRouteTable: Sendable, Equatable {
    public var name: String
    public var vpc: Int
    /// By destination.
    public var routes: [ResolvedRoute]

    public init(name: String, vpc: Int, routes: [ResolvedRoute]) {
        self.name = name
        self.vpc = vpc
        self.routes = routes
    }
}

public struct ResolvedRoute: Sendable, Equatable {
    public var destination: IPPrefix
    /// Empty: a blackhole. In the order of the interfaces.
    public var nextHops: [ResolvedNextHop]

    public init(destination: IPPrefix, nextHops: [ResolvedNextHop]) {
        self.destination = destination
        self.nextHops = nextHops
    }
}

public struct ResolvedNextHop: Sendable, Equatable {
    public var target: Target
    /// 1…256.
    public var weight: Int
    public var liveness: NextHop.Liveness

    /// The resource that a route leads to. Each kind answers two questions in files of its own: which nexthop leads there
    /// from a host (`HostCompiler.nexthop(to:)`), and what becomes of a packet on its way (`Walk.follow(_:in:_:from:_:)`).
    public enum Target: Sendable, Hashable {
        /// A number of `Topology.interfaces`; only these share a route.
        case interface(Int)
        /// A number of `Topology.natGateways`.
        case natGateway(Int)
        /// A number of `Topology.peerings`.
        case peering(Int)
    }

    /// Nil where it is none.
    public var interface: Int? {
        switch target {
        case .interface(let interface): interface
        case .natGateway, .peering: nil
        }
    }

    public init(_ target: Target, weight: Int = 1, liveness: NextHop.Liveness = .none) {
        self.target = target
        self.weight = weight
        self.liveness = liveness
    }
}

public struct ResolvedInterface: Sendable, Equatable {
    public var name: String
    public var vpc: Int
    public var subnet: Int
    public var host: Int
    public var address: IPAddress
    /// Whether the manifest leaves it out, so that it was chosen.
    public var hasChosenAddress: Bool
    public var mac: MACAddress
    /// Whether the manifest states it; else it is derived.
    public var hasOwnMAC: Bool
    public var sourceDestCheck: Bool
    public var attachment: NetworkInterface.Attachment
    public var mtu: Int
    /// What the guest is called; nil: as the interface is.
    public var hostName: String?
    /// The GRE key that names this interface where it is the target of a route, nil where it is none.
    public var gatewayKey: GatewayKey?
    /// Whether it is the target of a route that says `liveness: bfd`, so that its guest may speak BFD with its host.
    public var speaksBFD = false
    /// Numbers of `Topology.securityGroups`, in their order; none allows everything.
    public var securityGroups: [Int]
    /// What is routed to it beside its address; ascending.
    public var further: [FurtherDestination]
    /// By which target groups select it.
    public var labels: [String: String]

    public init(
        name: String, vpc: Int, subnet: Int, host: Int, address: IPAddress, hasChosenAddress: Bool = false,
        mac: MACAddress, hasOwnMAC: Bool = false, sourceDestCheck: Bool, attachment: NetworkInterface.Attachment,
        mtu: Int, hostName: String? = nil, gatewayKey: GatewayKey? = nil, securityGroups: [Int] = [],
        further: [FurtherDestination] = [], labels: [String: String] = [:]
    ) {
        self.name = name
        self.vpc = vpc
        self.subnet = subnet
        self.host = host
        self.address = address
        self.hasChosenAddress = hasChosenAddress
        self.mac = mac
        self.hasOwnMAC = hasOwnMAC
        self.sourceDestCheck = sourceDestCheck
        self.attachment = attachment
        self.mtu = mtu
        self.hostName = hostName
        self.gatewayKey = gatewayKey
        self.securityGroups = securityGroups
        self.further = further
        self.labels = labels
    }
}

extension Topology {
    public var probes: Slots<ResolvedProbe> {
        get { self[ResolvedProbe.self] }
        _modify { yield &self[ResolvedProbe.self] }
    }
}

public struct ResolvedProbe: Sendable, Equatable {
    public var name: String
    public var from: Sender
    /// The named interface, where the target is one.
    public var toInterface: Int?
    public var toAddress: IPAddress
    /// Whether it is said that the address is somebody's in an external network.
    public var isToExternal: Bool
    public var transport: Probe.Transport
    public var expect: Probe.Expectation

    public init(
        name: String, from: Sender, toInterface: Int?, toAddress: IPAddress, isToExternal: Bool = false,
        transport: Probe.Transport, expect: Probe.Expectation
    ) {
        self.name = name
        self.from = from
        self.toInterface = toInterface
        self.toAddress = toAddress
        self.isToExternal = isToExternal
        self.transport = transport
        self.expect = expect
    }

    public enum Sender: Sendable, Hashable {
        /// A number of `Topology.interfaces`.
        case interface(Int)
        case external(IPAddress)

        public var interface: Int? { if case .interface(let number) = self { number } else { nil } }
    }
}
