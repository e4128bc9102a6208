/// Something of a packet that can be matched, looked up or set.
public struct NFField: Hashable, Sendable {
    enum Source: Hashable, Sendable {
        case meta(NFMetaKey)
        case connection(NFConnectionKey, NFDirection?)
        case payload(NFPayload)
    }

    /// What must be known to be true before bytes of a packet mean anything.
    struct Context: Hashable, Sendable {
        var isEthernet = false
        var network: NFEtherType?
        var transport: NFProtocol?
    }

    let source: Source
    public let type: NFType
    let context: Context

    init(_ source: Source, _ type: NFType, _ context: Context = Context()) {
        self.source = source
        self.type = type
        self.context = context
    }

    private static func link(_ offset: UInt32, _ type: NFType) -> NFField {
        .init(.payload(NFPayload(.link, offset, UInt32(type.width))), type, Context(isEthernet: true))
    }

    private static func network(_ network: NFEtherType, _ offset: UInt32, _ type: NFType) -> NFField {
        .init(.payload(NFPayload(.network, offset, UInt32(type.width))), type, Context(network: network))
    }

    private static func transport(
        _ transport: NFProtocol?, _ offset: UInt32, _ type: NFType, _ network: NFEtherType? = nil
    ) -> NFField {
        .init(
            .payload(NFPayload(.transport, offset, UInt32(type.width))), type,
            Context(network: network, transport: transport))
    }

    // MARK: Meta

    public static let iifname = NFField(.meta(.iifname), .interfaceName)
    public static let oifname = NFField(.meta(.oifname), .interfaceName)
    /// The device that a VRF's packet really came in by; in input and forward.
    public static let sdifname = NFField(.meta(.sdifname), .interfaceName)
    public static let iif = NFField(.meta(.iif), .interfaceIndex)
    public static let oif = NFField(.meta(.oif), .interfaceIndex)
    public static let iifgroup = NFField(.meta(.iifgroup), .interfaceGroup)
    public static let oifgroup = NFField(.meta(.oifgroup), .interfaceGroup)
    public static let mark = NFField(.meta(.mark), .mark)
    /// Bytes from the network header on.
    public static let length = NFField(.meta(.length), .mark)
    public static let l4proto = NFField(.meta(.l4proto), .internetProtocol)
    /// The protocol in the link layer's words.
    public static let `protocol` = NFField(.meta(.protocol), .etherType)

    // MARK: Connection

    public static let ctState = NFField(.connection(.state, nil), .connectionState)
    public static let ctDirection = NFField(.connection(.direction, nil), .connectionDirection)
    public static let ctMark = NFField(.connection(.mark, nil), .mark)
    public static let ctZone = NFField(.connection(.zone, nil), .zone)
    /// What listeners are told of the connection; only set: bits of `enum ip_conntrack_events`.
    public static let ctEvents = NFField(.connection(.eventMask, nil), .mark)
    /// What has become of the connection: `IPS_*` of linux/netfilter/nf_conntrack_common.h.
    public static let ctStatus = NFField(.connection(.status, nil), .connectionStatus)

    /// The destination of the connection's first packet, as it was sent.
    public static let ctOriginalDestination = NFField(
        .connection(.ipDestination, .original), .ipv4Address, Context(network: .ipv4))

    // MARK: Headers

    public static let etherDestination = link(0, .etherAddress)
    public static let etherSource = link(6, .etherAddress)
    public static let etherType = link(12, .etherType)

    public static let arpOperation = network(.arp, 6, .arpOperation)
    public static let arpSenderEther = network(.arp, 8, .etherAddress)
    public static let arpSenderIP = network(.arp, 14, .ipv4Address)
    public static let arpTargetEther = network(.arp, 18, .etherAddress)
    public static let arpTargetIP = network(.arp, 24, .ipv4Address)

    public static let ipProtocol = network(.ipv4, 9, .internetProtocol)
    public static let ipSource = network(.ipv4, 12, .ipv4Address)
    public static let ipDestination = network(.ipv4, 16, .ipv4Address)

    public static let ip6NextHeader = network(.ipv6, 6, .internetProtocol)
    public static let ip6Source = network(.ipv6, 8, .ipv6Address)
    public static let ip6Destination = network(.ipv6, 24, .ipv6Address)

    /// The first two bytes of any transport header: `th sport`.
    public static let sourcePort = transport(nil, 0, .internetService)
    /// Bytes 2 and 3 of any transport header: `th dport`. Of ICMP that is the checksum.
    public static let destinationPort = transport(nil, 2, .internetService)
    public static let tcpSource = transport(.tcp, 0, .internetService)
    public static let tcpDestination = transport(.tcp, 2, .internetService)
    public static let udpSource = transport(.udp, 0, .internetService)
    public static let udpDestination = transport(.udp, 2, .internetService)
    public static let icmpType = transport(.icmp, 0, .icmpType, .ipv4)
    public static let icmpv6Type = transport(.icmpv6, 0, .icmpv6Type, .ipv6)

    /// Bytes of a header that have no name here; `type` says how long they are.
    public static func bytes(_ base: NFPayload.Base, offset: UInt32, _ type: NFType) -> NFField {
        NFField(.payload(NFPayload(base, offset, UInt32(type.width))), type)
    }

    func load(into register: NFRegister) -> NFExpression {
        switch source {
        case .meta(let key): .meta(key, into: register)
        case .connection(let key, let direction): .connection(key, direction, into: register)
        case .payload(let payload): .payload(payload, into: register)
        }
    }
}

/// Connection states (`NF_CT_STATE_BIT` of linux/netfilter/nf_conntrack_common.h).
public struct NFConnectionState: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let invalid = Self(rawValue: 1)
    public static let established = Self(rawValue: 2)
    public static let related = Self(rawValue: 4)
    public static let new = Self(rawValue: 8)
    public static let untracked = Self(rawValue: 64)
}
