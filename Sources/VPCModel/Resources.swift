public import IPAddressing

/// What every resource carries beside its spec.
public struct Metadata: Hashable, Sendable {
    /// A DNS label (RFC 1123): 1…63 of `a-z 0-9 -`, not starting or ending with `-`; unique per kind.
    public var name: String
    public var labels: [String: String]
    public var annotations: [String: String]

    public init(name: String, labels: [String: String] = [:], annotations: [String: String] = [:]) {
        self.name = name
        self.labels = labels
        self.annotations = annotations
    }
}

/// The number of a VPC: 1…2^31-1; the GRE key of its traffic.
public struct VPCID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt32

    public static let range: ClosedRange<UInt32> = 1...0x7FFF_FFFF

    public init?(_ rawValue: UInt32) {
        guard Self.range.contains(rawValue) else { return nil }
        self.rawValue = rawValue
    }

    public var description: String { String(rawValue) }
    public static func < (left: VPCID, right: VPCID) -> Bool { left.rawValue < right.rawValue }
}

/// A physical machine (hypervisor) of the underlay.
public struct Host: Hashable, Sendable {
    public var metadata: Metadata
    /// Source and destination of the host's GRE packets.
    public var underlayAddress: IPAddress
    /// The device that owns the address; found from the address when nil.
    public var underlayDevice: String?
    public var region: String?
    public var zone: String?
    /// Whether its tables get the fewest routes that forward alike, instead of one for every interface.
    public var aggregatesRoutes: Bool

    public init(
        metadata: Metadata, underlayAddress: IPAddress, underlayDevice: String? = nil, region: String? = nil,
        zone: String? = nil, aggregatesRoutes: Bool = false
    ) {
        self.metadata = metadata
        self.underlayAddress = underlayAddress
        self.underlayDevice = underlayDevice
        self.region = region
        self.zone = zone
        self.aggregatesRoutes = aggregatesRoutes
    }
}

/// A virtual network; may overlap every other one.
public struct VPC: Hashable, Sendable {
    public var metadata: Metadata
    public var id: VPCID
    public var cidrs: [IPPrefix]
    /// Nil: what is denied is counted, not reported.
    public var denialLog: DenialLog?

    public init(metadata: Metadata, id: VPCID, cidrs: [IPPrefix], denialLog: DenialLog? = nil) {
        self.metadata = metadata
        self.id = id
        self.cidrs = cidrs
        self.denialLog = denialLog
    }
}

/// Where every host reports the packets of a VPC that it denies.
public struct DenialLog: Hashable, Sendable {
    /// The group of nfnetlink_log, in the host's network namespace.
    public var group: UInt16
    /// Packets a second that each reason for denying (a line of an ACL, a list of security groups) may report.
    public var rate: Int

    public static let rates = 1...10_000
    public static let defaultRate = 100

    public init(group: UInt16, rate: Int = Self.defaultRate) {
        self.group = group
        self.rate = rate
    }
}

public struct Subnet: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the VPC.
    public var vpc: String
    public var cidr: IPPrefix
    /// The address guests use as their default gateway; the subnet's first usable address when nil.
    public var gateway: IPAddress?
    public var zone: String?
    /// Name of the route table; the VPC's main table (local routes only) when nil.
    public var routeTable: String?
    /// Name of the network ACL.
    public var acl: String?

    public init(
        metadata: Metadata, vpc: String, cidr: IPPrefix, gateway: IPAddress? = nil, zone: String? = nil,
        routeTable: String? = nil, acl: String? = nil
    ) {
        self.metadata = metadata
        self.vpc = vpc
        self.cidr = cidr
        self.gateway = gateway
        self.zone = zone
        self.routeTable = routeTable
        self.acl = acl
    }
}

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
    /// Name of the network interface.
    public var interface: String
    /// Share of the flows, 1…256.
    public var weight: Int

    public static let weights = 1...256
    /// Every tool can list a group of so many: the kernel's smallest answer holds it.
    public static let maximumPerRoute = 256

    public init(interface: String, weight: Int = 1) {
        self.interface = interface
        self.weight = weight
    }
}

/// An elastic network interface (ENI).
public struct NetworkInterface: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the subnet.
    public var subnet: String
    /// Name of the host.
    public var host: String
    public var address: IPAddress
    /// Derived from the VPC and the address when nil.
    public var mac: MACAddress?
    /// False for an interface that forwards packets of others (a gateway).
    public var sourceDestCheck: Bool
    /// Names of security groups.
    public var securityGroups: [String]
    public var attachment: Attachment
    /// Bytes; 1500 when nil.
    public var mtu: Int?

    /// From what IPv4 needs at least (RFC 791) to what an IP packet's length field holds.
    public static let mtus = 68...65535
    public static let defaultMTU = 1500

    /// How a guest is connected.
    public enum Attachment: Hashable, Sendable {
        /// The controller makes a veth pair and moves its peer into the named namespace as `device`.
        case namespace(String, device: String)
        /// An existing host-side device (a hypervisor's tap or veth); adopted, never created or deleted.
        case device(String)
    }

    public init(
        metadata: Metadata, subnet: String, host: String, address: IPAddress, mac: MACAddress? = nil,
        sourceDestCheck: Bool = true, securityGroups: [String] = [], attachment: Attachment, mtu: Int? = nil
    ) {
        self.metadata = metadata
        self.subnet = subnet
        self.host = host
        self.address = address
        self.mac = mac
        self.sourceDestCheck = sourceDestCheck
        self.securityGroups = securityGroups
        self.attachment = attachment
        self.mtu = mtu
    }
}

/// An expectation about traffic between two interfaces.
public struct Probe: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the sending interface.
    public var from: String
    public var to: Target
    public var transport: Transport
    public var expect: Expectation

    public enum Target: Hashable, Sendable {
        /// Name of a network interface.
        case interface(String)
        case address(IPAddress)
    }

    public enum Transport: Hashable, Sendable {
        case icmp
        case tcp(port: UInt16)
        case udp(port: UInt16)
        case sctp(port: UInt16)
    }

    public enum Expectation: String, Hashable, Sendable, CaseIterable {
        case allow
        case deny
    }

    public init(metadata: Metadata, from: String, to: Target, transport: Transport, expect: Expectation) {
        self.metadata = metadata
        self.from = from
        self.to = to
        self.transport = transport
        self.expect = expect
    }
}
