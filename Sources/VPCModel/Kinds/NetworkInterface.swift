public import IPAddressing

/// An elastic network interface (ENI).
public struct NetworkInterface: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the subnet.
    public var subnet: String
    /// Name of the host.
    public var host: String
    /// Nil: the lowest of the subnet that is free, chosen once and kept.
    public var address: IPAddress?
    /// Further ones, of the same subnet.
    public var addresses: [IPAddress]
    /// Blocks of the subnet that the guest has whole, for containers or whatever else is behind it: they are routed to it,
    /// it may send from them, and they are not configured on its device.
    public var prefixes: [IPPrefix]
    /// Derived from the VPC and the address when nil.
    public var mac: MACAddress?
    /// False for an interface that forwards packets of others (a gateway).
    public var sourceDestCheck: Bool
    /// Names of security groups.
    public var securityGroups: [String]
    public var attachment: Attachment
    /// Bytes; 1500 when nil.
    public var mtu: Int?
    /// What the guest is called, without a domain; the interface's name when nil.
    public var hostName: String?

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
        metadata: Metadata, subnet: String, host: String, address: IPAddress?, addresses: [IPAddress] = [],
        prefixes: [IPPrefix] = [], mac: MACAddress? = nil, sourceDestCheck: Bool = true, securityGroups: [String] = [],
        attachment: Attachment, mtu: Int? = nil, hostName: String? = nil
    ) {
        self.metadata = metadata
        self.subnet = subnet
        self.host = host
        self.address = address
        self.addresses = addresses
        self.prefixes = prefixes
        self.mac = mac
        self.sourceDestCheck = sourceDestCheck
        self.securityGroups = securityGroups
        self.attachment = attachment
        self.mtu = mtu
        self.hostName = hostName
    }
}

extension NetworkInterface: ResourceType {
    public static let names = KindNames("NetworkInterface", short: ["eni", "enis"])
    public static var kind: ResourceKind { .networkInterface }
}

extension ResourceKind {
    public static let networkInterface = ResourceKind(of: NetworkInterface.self)
}

extension Model {
    public var interfaces: [NetworkInterface] {
        get { self[NetworkInterface.self] }
        _modify { yield &self[NetworkInterface.self] }
    }
}

extension Model {
    /// Whether an interface leaves its address out.
    public var leavesAddressesOut: Bool { interfaces.contains { $0.address == nil } }
}
