internal import CLibNL
internal import CLinux
import IPAddressing
import KernelModel
import KernelNames

extension WitnessSocket {
    /// Everything that the first reader tells too.
    /// - Parameter withNeighbors: Of guests' namespaces it does not tell them.
    func testimony(_ owner: Ownership, withNeighbors: Bool) throws -> Testimony {
        let (devices, names) = try devices()
        var testimony = Testimony(devices: devices)
        (testimony.addresses, testimony.foreignAddresses) = try addresses(owner, names)
        if withNeighbors { testimony.neighbors = try neighbors(owner, names) }
        testimony.rules = try rules()
        testimony.routes = try routes(owner, names)
        return testimony
    }

    // MARK: Links

    private func devices() throws -> (devices: [Device], names: DeviceNames) {
        let nl = nl
        let readings = try list(RTM_GETLINK, ifinfomsg()) { message in
            try message.object { link in (device: Device(link, nl), master: nl.pointee.rtnl_link_get_master(link)) }
        }
        let names = DeviceNames(readings.map(\.device))
        let devices = readings.map { reading in
            var device = reading.device
            device.master = names.known(reading.master)
            return device
        }
        return (devices.sorted { $0.key < $1.key }, names)
    }

    // MARK: Addresses and neighbours

    private func addresses(
        _ owner: Ownership, _ names: DeviceNames
    ) throws -> (owned: [Address], foreign: [Address]) {
        let nl = nl
        let readings = try list(RTM_GETADDR, ifaddrmsg()) { message -> (Address, UInt8)? in
            let address = try message.object { object -> Address? in
                let length = UInt8(truncatingIfNeeded: nl.pointee.rtnl_addr_get_prefixlen(object))
                return IPAddress(nl.pointee.rtnl_addr_get_local(object), nl).map {
                    Address(device: names[nl.pointee.rtnl_addr_get_ifindex(object)], address: $0, prefixLength: length)
                }
            }
            // libnl-route 3.7 does not tell it.
            return address.map { ($0, message.byte(IFA_PROTO) ?? 0) }
        }
        let sorted = readings.sorted { $0.0.key < $1.0.key }
        return (
            sorted.filter { $0.1 == owner.routeProtocol.rawValue }.map(\.0),
            // The link-local addresses that IPv6 makes are nobody's.
            sorted.filter { $0.1 != owner.routeProtocol.rawValue && $0.1 != UInt8(IFAPROT_KERNEL_LL) }.map(\.0)
        )
    }

    private func neighbors(_ owner: Ownership, _ names: DeviceNames) throws -> [Neighbor] {
        let nl = nl
        let neighbors = try list(RTM_GETNEIGH, ndmsg()) { message -> Neighbor? in
            guard message.byte(NDA_PROTOCOL) == owner.routeProtocol.rawValue else { return nil }
            return try message.object { object in
                guard nl.pointee.rtnl_neigh_get_state(object) & NUD_PERMANENT != 0,
                    nl.pointee.rtnl_neigh_get_flags(object) & UInt32(NTF_PROXY) == 0,
                    let address = IPAddress(nl.pointee.rtnl_neigh_get_dst(object), nl),
                    let linkLayer = LinkLayerAddress(nl.pointee.rtnl_neigh_get_lladdr(object), nl)
                else { return nil }
                return Neighbor(
                    device: names[nl.pointee.rtnl_neigh_get_ifindex(object)], address: address,
                    linkLayerAddress: linkLayer)
            }
        }
        return neighbors.sorted { $0.key < $1.key }
    }

    // MARK: Rules

    private func rules() throws -> [Rule] {
        let nl = nl
        let rules = try [AF_INET, AF_INET6].flatMap { family in
            var header = fib_rule_hdr()
            header.family = UInt8(family)
            return try list(RTM_GETRULE, header) { message -> Rule? in
                if message.isRuleBeyondModel { return nil }
                return try message.object { Rule($0, nl) }
            }
        }
        return rules.sorted { $0.key < $1.key }
    }

    // MARK: Routes

    private func routes(_ owner: Ownership, _ names: DeviceNames) throws -> [Route] {
        let nl = nl
        var header = rtmsg()
        header.rtm_family = UInt8(AF_INET)
        let routes = try list(RTM_GETROUTE, header) { message -> Route? in
            guard message.fixed(as: rtmsg.self).rtm_protocol == owner.routeProtocol.rawValue else { return nil }
            // libnl-route 3.7 has no word for a nexthop object, and refuses a route by one with GRE.
            if let nexthop = message.number(RTA_NH_ID.rawValue) {
                return message.route(by: NexthopID(nexthop))
            }
            return try message.object { Route($0, nl, names) }
        }
        return routes.sorted { $0.key < $1.key }
    }
}

/// Which name a device's number has.
private struct DeviceNames {
    private let names: [UInt32: InterfaceName]

    init(_ devices: [Device]) {
        names = Dictionary(devices.map { ($0.index, $0.name) }, uniquingKeysWith: { first, _ in first })
    }

    /// `.none` for an unknown number.
    subscript(index: Int32) -> InterfaceName { known(index) ?? .none }

    /// Nil for 0 and for one in another namespace.
    func known(_ index: Int32) -> InterfaceName? { names[UInt32(bitPattern: index)] }
}

extension Device {
    /// - Parameter link: Without its master's name.
    fileprivate init(_ link: OpaquePointer, _ nl: UnsafePointer<libnl>) {
        let name = nl.pointee.rtnl_link_get_name(link).map { String(cString: $0) } ?? ""
        let flags = nl.pointee.rtnl_link_get_flags(link)
        var namespace: Int32 = 0
        self.init(
            name: InterfaceName(bytes: name.utf8), index: UInt32(bitPattern: nl.pointee.rtnl_link_get_ifindex(link)),
            kindName: nl.pointee.rtnl_link_get_type(link).map { String(cString: $0) } ?? "",
            isUp: flags & UInt32(IFF_UP) != 0,
            isOperational: nl.pointee.rtnl_link_get_operstate(link) == UInt8(IF_OPER_UP),
            isLoopback: flags & UInt32(IFF_LOOPBACK) != 0,
            alias: nl.pointee.rtnl_link_get_ifalias(link).map { String(cString: $0) } ?? "", master: nil,
            group: nl.pointee.rtnl_link_get_group(link), mtu: nl.pointee.rtnl_link_get_mtu(link), hardwareAddress: nil,
            lower: UInt32(bitPattern: nl.pointee.rtnl_link_get_link(link)),
            isLowerElsewhere: nl.pointee.rtnl_link_get_link_netnsid(link, &namespace) == 0, ipv4: nil)
        read(link, nl)
    }

    private mutating func read(_ link: OpaquePointer, _ nl: UnsafePointer<libnl>) {
        var (number, mode): (UInt32, UInt8) = (0, 0)
        hardwareAddress = MACAddress(nl.pointee.rtnl_link_get_addr(link), nl)
        ipv4 = IPv4DeviceConfiguration(link, nl)
        if nl.pointee.rtnl_link_inet_get_conf(link, UInt32(IPV4_DEVCONF_PROMOTE_SECONDARIES), &number) == 0 {
            promotesSecondaries = number != 0
        }
        if nl.pointee.rtnl_link_inet6_get_addr_gen_mode(link, &mode) == 0 { addressGeneration = mode }
        if nl.pointee.rtnl_link_is_vxlan(link) != 0, nl.pointee.rtnl_link_vxlan_get_link(link, &number) == 0 {
            lower = number
        }
        if nl.pointee.rtnl_link_is_vrf(link) != 0, nl.pointee.rtnl_link_vrf_get_tableid(link, &number) == 0 {
            form = .vrf(table: TableID(number))
        } else if nl.pointee.rtnl_link_is_ipgre(link) != 0 {
            // In network order.
            form = .gre(
                local: IPAddress(v4: UInt32(bigEndian: nl.pointee.rtnl_link_ipgre_get_local(link))),
                key: UInt32(bigEndian: nl.pointee.rtnl_link_ipgre_get_ikey(link)),
                ttl: nl.pointee.rtnl_link_ipgre_get_ttl(link))
        }
    }
}

extension IPv4DeviceConfiguration {
    /// Nil where IPv4 is off.
    fileprivate init?(_ link: OpaquePointer, _ nl: UnsafePointer<libnl>) {
        self.init()
        for setting in Setting.allCases {
            var value: UInt32 = 0
            guard nl.pointee.rtnl_link_inet_get_conf(link, setting.number, &value) == 0 else { return nil }
            self[setting] = Int32(bitPattern: value)
        }
    }
}

extension IPv4DeviceConfiguration.Setting {
    /// Its place in the kernel's array (linux/ip.h); not taken from the first reader's table.
    fileprivate var number: UInt32 {
        switch self {
        case .forwarding: 1
        case .proxyARP: 3
        case .acceptRedirects: 4
        case .sendRedirects: 6
        case .reversePathFilter: 8
        case .acceptSourceRoute: 9
        case .tag: 12
        case .arpFilter: 13
        case .mediumID: 14
        case .arpIgnore: 19
        case .arpAccept: 21
        case .acceptLocal: 23
        case .proxyARPPrivateVLAN: 25
        case .routeLocalnet: 26
        }
    }
}

extension WitnessMessage {
    /// Whether the rule selects by what the model has no words for, with which the first reader leaves it out.
    fileprivate var isRuleBeyondModel: Bool {
        let header = fixed(as: fib_rule_hdr.self)
        if header.flags & ~UInt32(FIB_RULE_PERMANENT) != 0 || header.tos != 0 || header.dst_len != 0 { return true }
        if ![FR_ACT_TO_TBL, FR_ACT_UNREACHABLE].contains(Int(header.action)) { return true }
        var isBeyond = false
        forEachAttribute { type, number in
            switch type {
            case FRA_PRIORITY, FRA_TABLE, FRA_PROTOCOL, FRA_L3MDEV, FRA_SRC, FRA_PAD: break
            // All ones is the absence of suppression, always sent.
            case FRA_SUPPRESS_PREFIXLEN, FRA_SUPPRESS_IFGROUP: if number != .max { isBeyond = true }
            default: isBeyond = true
            }
        }
        return isBeyond
    }

    /// A route by a nexthop object.
    fileprivate func route(by nexthop: NexthopID) -> Route {
        let header = fixed(as: rtmsg.self)
        let address = bytes(RTA_DST.rawValue).flatMap { IPAddress(networkOrder: $0) } ?? .anyIPv4
        let key = Route.Key(
            table: TableID(number(RTA_TABLE.rawValue) ?? UInt32(header.rtm_table)),
            destination: IPPrefix(containing: address, length: min(Int(header.rtm_dst_len), 32)),
            tos: header.rtm_tos, metric: number(RTA_PRIORITY.rawValue) ?? 0)
        guard !has(RTA_METRICS.rawValue), !has(RTA_PREFSRC.rawValue), let kind = Route.Kind(rawValue: header.rtm_type),
            let scope = Route.Scope(rawValue: header.rtm_scope)
        else { return .beyondModel(key) }
        return Route(key: key, kind: kind, scope: scope, nexthop: nexthop, device: .none, gateway: nil)
    }
}

extension Rule {
    fileprivate init(_ rule: OpaquePointer, _ nl: UnsafePointer<libnl>) {
        var maker: UInt8 = 0
        _ = nl.pointee.rtnl_rule_get_protocol(rule, &maker)
        let source = nl.pointee.rtnl_rule_get_src(rule)
        let isLookup = Int(nl.pointee.rtnl_rule_get_action(rule)) == FR_ACT_TO_TBL
        self.init(
            family: nl.pointee.rtnl_rule_get_family(rule) == AF_INET ? .ipv4 : .ipv6,
            priority: nl.pointee.rtnl_rule_get_prio(rule), source: IPPrefix(source, nl),
            // Its error code is negative.
            l3mdev: nl.pointee.rtnl_rule_get_l3mdev(rule) > 0,
            action: isLookup ? .lookup(TableID(nl.pointee.rtnl_rule_get_table(rule))) : .unreachable,
            routeProtocol: RouteProtocol(maker))
    }
}

extension Route {
    /// A route without a nexthop object.
    fileprivate init(_ route: OpaquePointer, _ nl: UnsafePointer<libnl>, _ names: DeviceNames) {
        let key = Key(
            table: TableID(nl.pointee.rtnl_route_get_table(route)),
            destination: IPPrefix(nl.pointee.rtnl_route_get_dst(route), nl) ?? .defaultIPv4,
            tos: nl.pointee.rtnl_route_get_tos(route), metric: nl.pointee.rtnl_route_get_priority(route))
        guard let kind = Kind(rawValue: nl.pointee.rtnl_route_get_type(route)),
            let scope = Scope(rawValue: nl.pointee.rtnl_route_get_scope(route)),
            nl.pointee.rtnl_route_get_pref_src(route) == nil, nl.pointee.rtnl_route_get_nnexthops(route) < 2,
            !Self.hasMetrics(route, nl)
        else {
            self = .beyondModel(key)
            return
        }
        self.init(key: key, kind: kind, scope: scope, nexthop: .none, device: .none, gateway: nil)
        guard let hop = nl.pointee.rtnl_route_nexthop_n(route, 0) else { return }
        if nl.pointee.rtnl_route_nh_get_via(hop) != nil || nl.pointee.rtnl_route_nh_get_realms(hop) != 0 {
            self = .beyondModel(key)
            return
        }
        let index = nl.pointee.rtnl_route_nh_get_ifindex(hop)
        device = index == 0 ? .none : names[index]
        gateway = IPAddress(nl.pointee.rtnl_route_nh_get_gateway(hop), nl)
    }

    private static func hasMetrics(_ route: OpaquePointer, _ nl: UnsafePointer<libnl>) -> Bool {
        var value: UInt32 = 0
        return (1..<Int32(__RTAX_MAX)).contains { nl.pointee.rtnl_route_get_metric(route, $0, &value) == 0 }
    }

    /// How the first reader tells of a route that somebody made into what the model has no words for.
    fileprivate static func beyondModel(_ key: Key) -> Route {
        Route(key: key, kind: .unicast, scope: .universe, nexthop: .none, device: .none, gateway: nil)
    }
}

// MARK: - Addresses of libnl's

extension IPAddress {
    fileprivate init?(_ address: OpaquePointer?, _ nl: UnsafePointer<libnl>) {
        guard let address, let start = nl.pointee.nl_addr_get_binary_addr(address) else { return nil }
        self.init(
            networkOrder: UnsafeRawBufferPointer(start: start, count: Int(nl.pointee.nl_addr_get_len(address))))
    }

    /// From 4 or 16 bytes.
    fileprivate init?(networkOrder bytes: UnsafeRawBufferPointer) {
        let number = { (range: Range<Int>) in bytes[range].reduce(0 as UInt64) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: self.init(v4: UInt32(number(0..<4)))
        case 16: self.init(family: .ipv6, high: number(0..<8), low: number(8..<16))
        default: return nil
        }
    }
}

extension IPPrefix {
    fileprivate init?(_ address: OpaquePointer?, _ nl: UnsafePointer<libnl>) {
        guard let address, let number = IPAddress(address, nl) else { return nil }
        let length = Int(nl.pointee.nl_addr_get_prefixlen(address))
        self.init(containing: number, length: min(length, number.family.bitWidth))
    }
}

extension MACAddress {
    /// Nil for a hardware address of another kind.
    fileprivate init?(_ address: OpaquePointer?, _ nl: UnsafePointer<libnl>) {
        guard let bytes = linkLayerBytes(address, nl), bytes.count == 6 else { return nil }
        self.init(rawValue: bytes.reduce(0) { $0 << 8 | UInt64($1) })
    }
}

extension LinkLayerAddress {
    fileprivate init?(_ address: OpaquePointer?, _ nl: UnsafePointer<libnl>) {
        if let mac = MACAddress(address, nl) {
            self = .ethernet(mac)
        } else if let bytes = linkLayerBytes(address, nl), bytes.count == 4 {
            self = .tunnel(IPAddress(v4: bytes.reduce(0) { $0 << 8 | UInt32($1) }))
        } else {
            return nil
        }
    }
}

private func linkLayerBytes(_ address: OpaquePointer?, _ nl: UnsafePointer<libnl>) -> UnsafeRawBufferPointer? {
    guard let address, let start = nl.pointee.nl_addr_get_binary_addr(address) else { return nil }
    return UnsafeRawBufferPointer(start: start, count: Int(nl.pointee.nl_addr_get_len(address)))
}
