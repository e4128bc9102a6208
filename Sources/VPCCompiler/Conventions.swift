public import IPAddressing
import KernelModel
public import KernelNames
public import VPCModel
import VPCTopology

/// The numbers and names by which our kernel objects are known. docs/ownership.md says why.
public enum Conventions {
    /// What is ours carries this protocol number, and this beginning of the alias.
    public static let ownership = Ownership(
        routeProtocol: RouteProtocol(118), aliasPrefix: "vpcctl:", privateTables: tables.lowerBound..<tables.upperBound)

    /// Tables of our VRFs. Consecutive numbers: the kernel hashes a table by its low 8 bits.
    static let tables: ClosedRange<UInt32> = 1_000_001...1_999_999
    /// Our nexthop objects and groups.
    static let nexthops: ClosedRange<UInt32> = 1_000_001...0x7FFF_FFFF

    /// Bytes that the outer IPv4 header (20), GRE (4) and its key (4) take.
    public static let tunnelOverhead: UInt32 = 28
    /// Bytes that the tunnels' MTU is less than what fits. With an MTU that just fits the kernel takes every packet's for news
    /// of the way's, and looks up what to note it on (tnl_update_pmtu of net/ipv4/ip_tunnel.c): 800 instructions.
    static let tunnelMTUMargin: UInt32 = 1
    static let tunnelTTL: UInt8 = 64
    /// What the kernel allows an IPv4 tunnel's device: ETH_MIN_MTU…IP_MAX_MTU less the overhead (ip_tunnel_change_mtu,
    /// net/ipv4/ip_tunnel.c).
    static let tunnelMTUs: ClosedRange<UInt32> = 68...(65_535 - tunnelOverhead)
    /// The MAC address of every gateway: a guest that moves between hosts finds the one it knows.
    public static let gatewayMAC = MACAddress(rawValue: 0x0200_5E00_0001)
    /// ICMP errors of a VRF without an address of its own come from here (RFC 7600) and not from the underlay address.
    public static let dummyAddress = IPAddress(v4: 0xC000_0008)
    /// Bytes of a denied packet that are reported: its headers.
    static let loggedBytes: UInt32 = 64
    /// The group of nfnetlink_log to which what guests ask of the host's daemon is handed.
    public static let guestRequests = DenialLog.requestGroup
    /// Metric of the unreachable route behind another one: what remains when the kernel removes that.
    static let lastMetric = UInt32.max

    /// The parameters of the host's namespace that are compared.
    public static let sysctlPaths =
        HostSettings.sysctls.map(\.path) + [
            HostSettings.fragmentTime, HostSettings.fragmentMemory, GatewayPairs.events,
        ]

    /// The mark of a connection that was cut: the firewall drops what belongs to it. See ``ConnectionMark``.
    public static let cutMark: UInt32 = 0x001F_FFFF
    /// How long that lasts. By then whoever answers has heard nothing for longer than an answer is on its way.
    public static let cutSeconds: UInt32 = 10

    /// How long after a guest's arrival its TCP connections are taken in: as long as TCP sends again what is under way
    /// (`tcp_retries2`: 15 times, 924 seconds; RFC 9293 asks for more than 100).
    static let arrivalSeconds: UInt32 = 900
    /// The set of the ports that have arrived.
    public static let arrivals = "arrived_ports"

    /// Classes of devices (IFLA_GROUP).
    enum LinkGroup {
        static let guestPort: UInt32 = 10
        static let overlayReceive: UInt32 = 20
        static let overlayTransmit: UInt32 = 21
        static let vrf: UInt32 = 30
        /// Of a NAT gateway.
        static let gatewayVRF: UInt32 = 31
        /// What gets from an uplink into the VRF of a NAT gateway.
        static let leg: UInt32 = 50
        /// What receives a NAT gateway's key; with the one before one comparison finds both.
        static let gatewayReceive: UInt32 = 51
        static let uplink: UInt32 = 52
    }

    /// The device that sends to gateways on other hosts.
    public static let external = device("vpc-gx")
    /// What the names of all VRFs begin with.
    static let vrfPrefix = "vpc-v"

    /// Whether the device is a VRF of ours, which packets pass after their port and before their routes.
    public static func isVRF(_ device: InterfaceName) -> Bool { device.description.hasPrefix(vrfPrefix) }

    /// Whether the packets of a VPC leave by it for other hosts.
    public static func isTunnel(_ device: InterfaceName, ofVPC vpc: VPCID) -> Bool {
        device == external || device == receiver(vpc)
    }

    /// The zone of connection tracking that belongs to a table.
    public static func zone(of table: TableID) -> UInt16 {
        UInt16(truncatingIfNeeded: table.rawValue &- tables.lowerBound &+ 1)
    }

    static func vrf(_ table: TableID) -> InterfaceName { device("\(vrfPrefix)\(table)") }
    static func receiver(_ vpc: VPCID) -> InterfaceName { device("vpc-g\(vpc)") }
    static func gatewayReceiver(_ key: UInt32) -> InterfaceName { device("vpc-k\(key)") }

    /// Named after a hash of the network's name: several hosts of one machine, and several networks, differ.
    static func uplink(_ network: String) -> InterfaceName {
        device("vpc-u\(GatewayKey(interfaceName: network).rawValue & 0x7FFF_FFFF)")
    }

    static func leg(_ table: TableID) -> GatewayLeg {
        GatewayLeg(
            near: device("vpc-l\(table)"), far: device("vpc-p\(table)"),
            farIndex: firstFarIndex + (table.rawValue - tables.lowerBound))
    }

    /// Far from the numbers that the kernel gives by itself, and from those that other devices of ours get.
    private static let firstFarIndex: UInt32 = 1_100_000_001

    /// The near end of every leg: what is handed to it is for it.
    static let legMAC = MACAddress(rawValue: 0x0200_5E00_0002)

    /// The MAC address of an uplink: the same whenever it is made, and no other host's, for these have other MAC addresses
    /// and names below it.
    static func uplinkMAC(_ network: String, _ host: String) -> MACAddress {
        let (high, low) = (GatewayKey(interfaceName: network).rawValue, GatewayKey(interfaceName: host).rawValue)
        return MACAddress(rawValue: 0x02 << 40 | UInt64(high & 0xFF) << 32 | UInt64(low))
    }

    static let loopback = device("lo")

    /// What no NAT gateway sends to a provider: link-local addresses, where clouds have services that trust whoever asks,
    /// and reserved ones.
    public static let unroutable = [
        IPPrefix(containing: IPAddress(v4: 0xA9FE_0000), length: 16),
        IPPrefix(containing: IPAddress(v4: 0xF000_0000), length: 4),
    ]

    static func alias(_ resource: ResourceReference) -> String { ownership.aliasPrefix + resource.description }

    /// All our names fit: the longest is the prefix and a 32-bit number.
    private static func device(_ name: String) -> InterfaceName {
        guard let name = InterfaceName(name) else { preconditionFailure("'\(name)' is no device name") }
        return name
    }
}
