/// The part of net.ipv4.conf.DEVICE that decides what becomes of a packet, set through netlink (IFLA_INET_CONF,
/// IPV4_DEVCONF_* of linux/ip.h). docs/datapath.md says what each would break.
public struct IPv4DeviceConfiguration: Sendable {
    /// By ``Setting``.
    private var values = InlineArray<14, Int32>(repeating: 0)

    /// The settings, each with the name that sysctl(8) gives it.
    public enum Setting: String, CaseIterable, Sendable, Hashable {
        case forwarding
        case proxyARP = "proxy_arp"
        /// Also answers for what is reached by the device that asks: a guest would find its own address taken.
        case proxyARPPrivateVLAN = "proxy_arp_pvlan"
        /// Other than 0: proxy ARP only between devices of different media.
        case mediumID = "medium_id"
        case acceptLocal = "accept_local"
        /// 0 off, 1 strict, 2 loose (RFC 3704).
        case reversePathFilter = "rp_filter"
        case arpIgnore = "arp_ignore"
        case arpFilter = "arp_filter"
        case arpAccept = "arp_accept"
        case sendRedirects = "send_redirects"
        case acceptRedirects = "accept_redirects"
        case acceptSourceRoute = "accept_source_route"
        case routeLocalnet = "route_localnet"
        /// Means nothing to the kernel: what a device of somebody else was is noted there.
        case tag

        /// Its place among the values.
        var index: Int {
            switch self {
            case .forwarding: 0
            case .proxyARP: 1
            case .proxyARPPrivateVLAN: 2
            case .mediumID: 3
            case .acceptLocal: 4
            case .reversePathFilter: 5
            case .arpIgnore: 6
            case .arpFilter: 7
            case .arpAccept: 8
            case .sendRedirects: 9
            case .acceptRedirects: 10
            case .acceptSourceRoute: 11
            case .routeLocalnet: 12
            case .tag: 13
            }
        }
    }

    /// Of ``Setting/arpIgnore``: not even for addresses of the device.
    public static let answersNothing: Int32 = 8

    /// All that is not named is 0.
    public init(
        forwarding: Bool = false, proxyARP: Bool = false, acceptLocal: Bool = false, reversePathFilter: Int32 = 0
    ) {
        self[.forwarding] = forwarding ? 1 : 0
        self[.proxyARP] = proxyARP ? 1 : 0
        self[.acceptLocal] = acceptLocal ? 1 : 0
        self[.reversePathFilter] = reversePathFilter
    }

    public subscript(setting: Setting) -> Int32 {
        get { values[setting.index] }
        set { values[setting.index] = newValue }
    }

    /// The settings in which the other one is different, in their order.
    public func settings(differingFrom other: IPv4DeviceConfiguration) -> [Setting] {
        if self == other { return [] }
        return Setting.allCases.filter { self[$0] != other[$0] }
    }
}

extension IPv4DeviceConfiguration: Hashable {
    public static func == (left: IPv4DeviceConfiguration, right: IPv4DeviceConfiguration) -> Bool {
        left.values.indices.allSatisfy { left.values[$0] == right.values[$0] }
    }

    public func hash(into hasher: inout Hasher) {
        for index in values.indices { hasher.combine(values[index]) }
    }
}
