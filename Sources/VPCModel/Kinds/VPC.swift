public import IPAddressing

/// The number of a VPC: 1…2^31-1; the GRE key of its traffic.
public struct VPCID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt32

    public static let range: ClosedRange<UInt32> = 1...0x7FFF_FFFF
    public static let lowest = VPCID(unchecked: range.lowerBound)

    private init(unchecked rawValue: UInt32) { self.rawValue = rawValue }

    public init?(_ rawValue: UInt32) {
        guard Self.range.contains(rawValue) else { return nil }
        self.rawValue = rawValue
    }

    public var description: String { String(rawValue) }
    public static func < (left: VPCID, right: VPCID) -> Bool { left.rawValue < right.rawValue }
}

/// A virtual network; may overlap every other one.
public struct VPC: Hashable, Sendable {
    public var metadata: Metadata
    public var id: VPCID
    public var cidrs: [IPPrefix]
    /// Nil: what is denied is counted, not reported.
    public var denialLog: DenialLog?
    /// Tracked connections that it may have on one host; nil: a share of what the host has room for.
    public var maxConnections: Int?
    /// Whose it is: peerings of VPCs of different accounts are accepted by the other one.
    public var account: String?
    public var region: String?

    /// Those of ``maxConnections``.
    public static let connectionLimits = 1...Int(Int32.max)

    public init(
        metadata: Metadata, id: VPCID, cidrs: [IPPrefix], denialLog: DenialLog? = nil, maxConnections: Int? = nil,
        account: String? = nil, region: String? = nil
    ) {
        self.metadata = metadata
        self.id = id
        self.cidrs = cidrs
        self.denialLog = denialLog
        self.maxConnections = maxConnections
        self.account = account
        self.region = region
    }
}

/// Where every host reports the packets of a VPC that it denies.
public struct DenialLog: Hashable, Sendable {
    /// The group of nfnetlink_log, in the host's network namespace.
    public var group: UInt16
    /// Packets a second that each reason for denying (a line of an ACL, a list of security groups) may report.
    public var rate: Int

    /// The group by which guests' own requests, such as DHCP's, are handed to the host's daemon.
    public static let requestGroup: UInt16 = 1180
    public static let rates = 1...10_000
    public static let defaultRate = 100

    public init(group: UInt16, rate: Int = Self.defaultRate) {
        self.group = group
        self.rate = rate
    }
}

extension VPC: ResourceType {
    public static let names = KindNames("VPC")
    public static var kind: ResourceKind { .vpc }
}

extension ResourceKind {
    public static let vpc = ResourceKind(of: VPC.self)
}

extension Model {
    public var vpcs: [VPC] {
        get { self[VPC.self] }
        _modify { yield &self[VPC.self] }
    }
}
