import CLinux
import IPAddressing
import KernelModel
import KernelNames
import Netlink

/// A device as RTM_NEWLINK tells of it: other devices are still numbers.
struct LinkReading {
    var index: UInt32 = 0
    var name = InterfaceName.none
    var isUp = false
    /// Whether the kernel's routing takes it to be connected (IFF_LOWER_UP or IFF_RUNNING).
    var hasCarrier = false
    var isOperational = false
    var alias = ""
    var master: UInt32 = 0
    var group: UInt32 = 0
    var mtu: UInt32?
    var hardwareAddress: MACAddress?
    /// IFLA_LINK; of a VXLAN device, which does not tell it there, IFLA_VXLAN_LINK.
    var lower: UInt32 = 0
    /// IFLA_LINK_NETNSID: that is a device of another namespace.
    var isLowerElsewhere = false
    var isLoopback = false
    /// IFLA_ALT_IFNAME.
    var alternativeNames: [String] = []
    var kindName = ""
    var vrfTable: TableID?
    var tunnel = TunnelReading()
    /// IFLA_MACVLAN_MODE, IFLA_IPVLAN_MODE.
    var mode: UInt32?
    var ipv4: IPv4DeviceConfiguration?
    var ipv6Disabled: Bool?
    /// IFLA_INET6_ADDR_GEN_MODE.
    var addressGeneration: UInt8?
    var promotesSecondaries: Bool?

    /// IFLA_GRE_*.
    struct TunnelReading {
        var local = IPAddress.anyIPv4
        var remote = IPAddress.anyIPv4
        var inputKey: UInt32 = 0
        var outputKey: UInt32 = 0
        var inputFlags: UInt16 = 0
        var outputFlags: UInt16 = 0
        var ttl: UInt8 = 0
        var isExternal = false
    }

    init() {}

    /// Whether a notification tells of a device: bridges tell of their ports, and IPv6 of its settings, by messages of the
    /// same type in which the attributes mean other things (br_ifinfo_notify of net/bridge/br_netlink.c,
    /// inet6_ifinfo_notify of net/ipv6/addrconf.c).
    static func isTold(by message: borrowing Message) throws(CodecError) -> Bool {
        guard message.type == MessageType(RTM_NEWLINK) else { return false }
        return try message.header(as: ifinfomsg.self).ifi_family == UInt8(AF_UNSPEC)
    }

    init(_ message: borrowing Message) throws(CodecError) {
        let header = try message.header(as: ifinfomsg.self)
        index = UInt32(bitPattern: header.ifi_index)
        isUp = header.ifi_flags & UInt32(IFF_UP) != 0
        isLoopback = header.ifi_flags & UInt32(IFF_LOOPBACK) != 0
        hasCarrier = header.ifi_flags & (IFF_LOWER_UP.rawValue | UInt32(IFF_RUNNING)) != 0
        var attributes = message.attributes(after: ifinfomsg.self)
        while let attribute = try attributes.next() {
            switch attribute.type {
            case IFLA_IFNAME: name = attribute.interfaceName()
            case IFLA_IFALIAS: alias = attribute.string()
            case IFLA_MASTER: master = try attribute.value(as: UInt32.self)
            case IFLA_GROUP: group = try attribute.value(as: UInt32.self)
            case IFLA_MTU: mtu = try attribute.value(as: UInt32.self)
            case IFLA_ADDRESS: hardwareAddress = attribute.macAddress()
            case IFLA_LINK: lower = try attribute.value(as: UInt32.self)
            case IFLA_LINK_NETNSID: isLowerElsewhere = true
            case IFLA_PROP_LIST: try readProperties(attribute.nested)
            case IFLA_OPERSTATE: isOperational = try attribute.value(as: UInt8.self) == UInt8(IF_OPER_UP)
            case IFLA_LINKINFO: try readKind(attribute.nested)
            case IFLA_AF_SPEC: try readFamilies(attribute.nested)
            default: break
            }
        }
    }

    private mutating func readProperties(_ attributes: consuming AttributeReader) throws(CodecError) {
        var attributes = attributes
        while let attribute = try attributes.next() {
            if attribute.type == IFLA_ALT_IFNAME { alternativeNames.append(attribute.string()) }
        }
    }

    private mutating func readKind(_ attributes: consuming AttributeReader) throws(CodecError) {
        var attributes = attributes
        while let attribute = try attributes.next() {
            switch attribute.type {
            // The kernel puts the kind first.
            case IFLA_INFO_KIND: kindName = attribute.string()
            case IFLA_INFO_DATA where kindName == LinkKindName.vrf: try readVRF(attribute.nested)
            case IFLA_INFO_DATA where kindName == LinkKindName.gre: try tunnel.read(attribute.nested)
            case IFLA_INFO_DATA where kindName == LinkKindName.vxlan: try readVXLAN(attribute.nested)
            case IFLA_INFO_DATA where kindName == LinkKindName.macvlan || kindName == LinkKindName.ipvlan:
                try readMode(attribute.nested)
            default: break
            }
        }
    }

    private mutating func readVRF(_ attributes: consuming AttributeReader) throws(CodecError) {
        var attributes = attributes
        while let attribute = try attributes.next() {
            if attribute.type == IFLA_VRF_TABLE { vrfTable = TableID(try attribute.value(as: UInt32.self)) }
        }
    }

    private mutating func readMode(_ attributes: consuming AttributeReader) throws(CodecError) {
        var attributes = attributes
        while let attribute = try attributes.next() {
            switch (kindName, attribute.type) {
            case (LinkKindName.macvlan, IFLA_MACVLAN_MODE): mode = try attribute.value(as: UInt32.self)
            case (LinkKindName.ipvlan, IFLA_IPVLAN_MODE): mode = UInt32(try attribute.value(as: UInt16.self))
            default: break
            }
        }
    }

    private mutating func readVXLAN(_ attributes: consuming AttributeReader) throws(CodecError) {
        var attributes = attributes
        while let attribute = try attributes.next() {
            if attribute.type == IFLA_VXLAN_LINK { lower = try attribute.value(as: UInt32.self) }
        }
    }

    private mutating func readFamilies(_ attributes: consuming AttributeReader) throws(CodecError) {
        var attributes = attributes
        while let family = try attributes.next() {
            var inner = family.nested
            while let attribute = try inner.next() {
                switch (family.type, attribute.type) {
                case (Int(AF_INET), IFLA_INET_CONF):
                    ipv4 = IPv4DeviceConfiguration(attribute)
                    let index = IPV4_DEVCONF_PROMOTE_SECONDARIES - 1
                    guard index < attribute.count(of: UInt32.self) else { break }
                    promotesSecondaries = attribute.element(index, as: UInt32.self) != 0
                case (Int(AF_INET6), IFLA_INET6_CONF):
                    let index = DEVCONF_DISABLE_IPV6
                    guard index < attribute.count(of: Int32.self) else { break }
                    ipv6Disabled = attribute.element(index, as: Int32.self) != 0
                case (Int(AF_INET6), IFLA_INET6_ADDR_GEN_MODE):
                    addressGeneration = try attribute.value(as: UInt8.self)
                default: break
                }
            }
        }
    }

    /// The mark of a loopback device is that of its namespace.
    func isOwned(by owner: Ownership) -> Bool {
        !owner.aliasPrefix.isEmpty && !isLoopback && alias.hasPrefix(owner.aliasPrefix)
    }

    /// The device as the model sees it.
    func observed(_ owner: Ownership, _ names: DeviceNames, proxyDelay: UInt64?) -> ObservedLink {
        let isOwned = isOwned(by: owner)
        let link = Link(
            name: name, kind: isOwned ? kind(names) : .adopted, alias: alias,
            master: master == 0 ? nil : names.reference(master), group: group, mtu: mtu,
            hardwareAddress: hardwareAddress,
            isUp: isUp, ipv4: ipv4, proxyDelay: proxyDelay,
            // No IPv6 on the device, or in the kernel, is as good as IPv6 switched off.
            ipv6Disabled: ipv6Disabled ?? true, addressGeneration: addressGeneration,
            notes: alternativeNames.filter { $0.hasPrefix(owner.notePrefix) }.sorted(),
            promotesSecondaries: promotesSecondaries)
        return ObservedLink(
            index: index, link: link, kindName: kindName, isOwned: isOwned, isOperational: isOperational,
            peerIndex: lower, isPeerElsewhere: isLowerElsewhere, isLoopback: isLoopback)
    }

    /// What it sits upon, or leaves by.
    private func base(_ names: DeviceNames) -> InterfaceName {
        isLowerElsewhere ? names.others?.reference(lower) ?? .none : names.reference(lower)
    }

    /// What the model would have to ask for to get this device. Where it cannot (somebody gave our tunnel a remote
    /// address), `.adopted`: unlike anything that can be wanted of an own device, so that it is made anew.
    private func kind(_ names: DeviceNames) -> Link.Kind {
        switch kindName {
        case LinkKindName.vrf:
            if let vrfTable { return .vrf(table: vrfTable) }
        case LinkKindName.gre:
            let underlay = base(names)
            if tunnel.isExternal { return .greExternal(underlay: underlay) }
            let keyed = linux_gre_key_flag()
            if tunnel.inputFlags == keyed, tunnel.outputFlags == keyed, tunnel.inputKey == tunnel.outputKey,
                tunnel.remote == .anyIPv4
            {
                return .gre(
                    GRETunnel(
                        local: tunnel.local, key: tunnel.inputKey, ttl: tunnel.ttl, underlay: underlay))
            }
        case LinkKindName.veth:
            if let peer = VethPeer(noteIn: alias) { return .veth(peer: peer) }
            if !isLowerElsewhere, lower != 0 {
                let isFar = alias.hasSuffix(PairEnd.farNote)
                return .pair(
                    PairEnd(peer: names.reference(lower), farIndex: isFar ? index : lower, isFar: isFar))
            }
        case LinkKindName.macvlan where mode == MACVLAN_MODE_BRIDGE.rawValue: return .macvlan(upon: base(names))
        case LinkKindName.ipvlan where mode == UInt32(IPVLAN_MODE_L2.rawValue): return .ipvlan(upon: base(names))
        case LinkKindName.bridge: return .bridge
        case LinkKindName.dummy: return .dummy
        default: break
        }
        return .adopted
    }
}

extension LinkReading.TunnelReading {
    fileprivate mutating func read(_ attributes: consuming AttributeReader) throws(CodecError) {
        var attributes = attributes
        while let attribute = try attributes.next() {
            switch attribute.type {
            case IFLA_GRE_LOCAL: local = try attribute.address()
            case IFLA_GRE_REMOTE: remote = try attribute.address()
            case IFLA_GRE_IKEY: inputKey = try attribute.value(as: BigEndian<UInt32>.self).value
            case IFLA_GRE_OKEY: outputKey = try attribute.value(as: BigEndian<UInt32>.self).value
            case IFLA_GRE_IFLAGS: inputFlags = try attribute.value(as: UInt16.self)
            case IFLA_GRE_OFLAGS: outputFlags = try attribute.value(as: UInt16.self)
            case IFLA_GRE_TTL: ttl = try attribute.value(as: UInt8.self)
            case IFLA_GRE_COLLECT_METADATA: isExternal = true
            default: break
            }
        }
    }
}

/// IFLA_INFO_KIND: the kernel's names, which no header has.
enum LinkKindName {
    static let vrf = "vrf"
    static let gre = "gre"
    static let veth = "veth"
    static let vxlan = "vxlan"
    static let macvlan = "macvlan"
    static let ipvlan = "ipvlan"
    static let bridge = "bridge"
    static let dummy = "dummy"
}

extension NetlinkSocket {
    // ip -d link
    mutating func links() throws(NetlinkError) -> [LinkReading] {
        try dump(MessageType(RTM_GETLINK), ifinfomsg(), into: []) { message in
            message.put(IFLA_EXT_MASK, UInt32(RTEXT_FILTER_SKIP_STATS))
        } each: { links, message throws(CodecError) in
            guard message.type == MessageType(RTM_NEWLINK) else { return }
            links.append(try LinkReading(message))
        }
    }

    /// One device; nil where there is none of that number.
    // ip -d link show dev NAME
    mutating func link(_ index: UInt32) throws(NetlinkError) -> LinkReading? {
        try link(ifinfomsg(index: index)) { _ in }
    }

    /// One device; nil where there is none of that name.
    mutating func link(named name: InterfaceName) throws(NetlinkError) -> LinkReading? {
        try link(ifinfomsg()) { $0.put(IFLA_IFNAME, name) }
    }

    private mutating func link(
        _ header: ifinfomsg, _ attributes: (inout MessageWriter) -> Void
    ) throws(NetlinkError) -> LinkReading? {
        var reading: LinkReading?
        do throws(NetlinkError) {
            try query { writer in
                writer.message(MessageType(RTM_GETLINK), [], header) { message in
                    message.put(IFLA_EXT_MASK, UInt32(RTEXT_FILTER_SKIP_STATS))
                    attributes(&message)
                }
            } each: { message throws(CodecError) in
                if message.type == MessageType(RTM_NEWLINK) { reading = try LinkReading(message) }
            }
        } catch {
            if error.isAbsence { return nil }
            throw error
        }
        return reading
    }

    /// Returns when whoever is changing links, addresses, routes or nexthops at this moment has finished.
    ///
    /// Some notifications go out before the kernel does what they announce: that a device is down, before its routes are
    /// flushed. Newer kernels list routes without the lock that such a change holds (RTNL), so that a list could still
    /// have them. Statistics are read under that lock.
    mutating func awaitChanges() throws(NetlinkError) {
        var header = if_stats_msg()
        // `lo`, in every namespace.
        header.ifindex = 1
        header.filter_mask = 1 << UInt32(IFLA_STATS_LINK_64 - 1)
        try query {
            $0.message(MessageType(RTM_GETSTATS), [], header)
        } each: { _ throws(CodecError) in
        }
    }

    /// Milliseconds of NDTPA_PROXY_DELAY by device. The entry of device 0 is what new devices get.
    // ip ntable show name arp_cache
    mutating func proxyDelays() throws(NetlinkError) -> [UInt32: UInt64] {
        var header = ndtmsg()
        header.ndtm_family = UInt8(AF_INET)
        return try dump(MessageType(RTM_GETNEIGHTBL), header, into: [:]) { delays, message throws(CodecError) in
            var attributes = message.attributes(after: ndtmsg.self)
            while let attribute = try attributes.next() {
                guard attribute.type == NDTA_PARMS else { continue }
                var parameters = attribute.nested
                var index: UInt32 = 0
                var delay: UInt64?
                while let parameter = try parameters.next() {
                    switch parameter.type {
                    case NDTPA_IFINDEX: index = try parameter.value(as: UInt32.self)
                    case NDTPA_PROXY_DELAY: delay = try parameter.value(as: UInt64.self)
                    default: break
                    }
                }
                if let delay { delays[index] = delay }
            }
        }
    }
}
