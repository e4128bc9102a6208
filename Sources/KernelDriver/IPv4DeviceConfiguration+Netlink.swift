import CLinux
import KernelModel
import Netlink

extension IPv4DeviceConfiguration {
    /// From the array of all parameters that the kernel sends, IPV4_DEVCONF_FORWARDING (1) first.
    init?(_ attribute: borrowing Attribute) {
        self.init()
        let count = attribute.count(of: Int32.self)
        for setting in Setting.allCases {
            guard setting.number <= count else { return nil }
            self[setting] = attribute.element(setting.number - 1, as: Int32.self)
        }
    }

    func encode(into configuration: inout MessageWriter) {
        for setting in Setting.allCases { configuration.put(setting.number, UInt32(bitPattern: self[setting])) }
    }
}

extension IPv4DeviceConfiguration.Setting {
    /// IPV4_DEVCONF_* of linux/ip.h.
    fileprivate var number: Int {
        switch self {
        case .forwarding: IPV4_DEVCONF_FORWARDING
        case .proxyARP: IPV4_DEVCONF_PROXY_ARP
        case .proxyARPPrivateVLAN: IPV4_DEVCONF_PROXY_ARP_PVLAN
        case .mediumID: IPV4_DEVCONF_MEDIUM_ID
        case .acceptLocal: IPV4_DEVCONF_ACCEPT_LOCAL
        case .reversePathFilter: IPV4_DEVCONF_RP_FILTER
        case .arpIgnore: IPV4_DEVCONF_ARP_IGNORE
        case .arpFilter: IPV4_DEVCONF_ARPFILTER
        case .arpAccept: IPV4_DEVCONF_ARP_ACCEPT
        case .sendRedirects: IPV4_DEVCONF_SEND_REDIRECTS
        case .acceptRedirects: IPV4_DEVCONF_ACCEPT_REDIRECTS
        case .acceptSourceRoute: IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE
        case .routeLocalnet: IPV4_DEVCONF_ROUTE_LOCALNET
        case .tag: IPV4_DEVCONF_TAG
        }
    }
}
