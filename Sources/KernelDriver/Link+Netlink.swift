import CLinux
import IPAddressing
import KernelModel
import Netlink

extension ifinfomsg {
    init(index: UInt32) {
        self.init()
        ifi_index = Int32(bitPattern: index)
    }

    /// Sets or clears IFF_UP and nothing else.
    init(index: UInt32, isUp: Bool) {
        self.init(index: index)
        ifi_flags = isUp ? UInt32(IFF_UP) : 0
        ifi_change = UInt32(IFF_UP)
    }
}

extension LinkSettings {
    static let all: LinkSettings = [
        .alias, .master, .group, .mtu, .hardwareAddress, .isUp, .ipv4, .proxyDelay, .ipv6, .underlay,
        .promotesSecondaries,
    ]
    /// What a device of somebody else loses when it comes to another namespace, and what we set there.
    static let allOfOthers: LinkSettings = [.master, .group, .isUp, .ipv4, .proxyDelay, .ipv6, .mtu, .hardwareAddress]
}

/// One device to be made or changed, with the numbers of the devices that it refers to.
struct LinkTask {
    /// Its position in the step.
    var change: Int
    var index: UInt32
    var link: Link
    var isNew: Bool
    /// Whether it was made where its packets travel, and has been moved here.
    var isMadeOutside = false
    var settings: LinkSettings
    /// The notes that the device has.
    var formerNotes: [String] = []
    private(set) var master: UInt32 = 0
    private var underlay: UInt32 = 0
    var peerNamespace: OpenNamespace?

    init(change: Int, index: UInt32, link: Link, isNew: Bool, settings: LinkSettings) {
        self.change = change
        self.index = index
        self.link = link
        self.isNew = isNew
        self.settings = settings
    }

    /// Looks up what the link refers to; returns what is missing.
    /// - Parameter others: The devices that tunnels leave by, where those are in another namespace.
    mutating func resolve(_ devices: DeviceTable, tunnelsBy others: DeviceTable? = nil) -> CommitReport.Reason? {
        if settings.contains(.master), let name = link.master {
            guard let device = devices[name] else { return .dependency("link \(name)") }
            master = device.index
        }
        if settings.contains(.underlay), let lower = link.kind.underlay ?? link.kind.base, !lower.isNone {
            guard let device = (others ?? devices)[lower] else { return .dependency("link \(lower)") }
            underlay = device.index
        }
        return nil
    }

    // MARK: Messages

    /// What can be given with the request that makes the device.
    // ip link add NAME index I address MAC mtu M group G type KIND …
    func encodeCreation(into writer: inout MessageWriter) {
        writer.message(MessageType(RTM_NEWLINK), [.create, .exclusive], ifinfomsg(index: index)) { message in
            // Where it is made its name may be somebody's; the kernel finds another one for a kind.
            if !isMadeOutside { message.put(IFLA_IFNAME, link.name) }
            if let address = link.hardwareAddress { message.put(IFLA_ADDRESS, address) }
            if let mtu = link.mtu { message.put(IFLA_MTU, mtu) }
            message.put(IFLA_GROUP, link.group)
            if link.kind.base != nil { message.put(IFLA_LINK, underlay) }
            message.nested(IFLA_LINKINFO) { encodeKind(into: &$0) }
        }
    }

    private func encodeKind(into information: inout MessageWriter) {
        switch link.kind {
        case .vrf(let table):
            information.put(IFLA_INFO_KIND, LinkKindName.vrf)
            information.nested(IFLA_INFO_DATA) { $0.put(IFLA_VRF_TABLE, table.rawValue) }
        case .gre(let tunnel):
            information.put(IFLA_INFO_KIND, LinkKindName.gre)
            information.nested(IFLA_INFO_DATA) { data in
                data.put(IFLA_GRE_LINK, underlay)
                data.put(IFLA_GRE_IFLAGS, linux_gre_key_flag())
                data.put(IFLA_GRE_OFLAGS, linux_gre_key_flag())
                data.put(IFLA_GRE_IKEY, BigEndian(tunnel.key))
                data.put(IFLA_GRE_OKEY, BigEndian(tunnel.key))
                data.put(IFLA_GRE_LOCAL, tunnel.local)
                data.put(IFLA_GRE_TTL, tunnel.ttl)
            }
        case .greExternal:
            information.put(IFLA_INFO_KIND, LinkKindName.gre)
            information.nested(IFLA_INFO_DATA) { data in
                // ip(8) drops the device of an external tunnel. It makes the kernel reserve the right headroom, without
                // which every packet is copied.
                data.put(IFLA_GRE_LINK, underlay)
                data.put(flag: IFLA_GRE_COLLECT_METADATA)
            }
        case .veth(let peer):
            information.put(IFLA_INFO_KIND, LinkKindName.veth)
            information.nested(IFLA_INFO_DATA) { data in
                data.nested(VETH_INFO_PEER) { far in
                    // Down: it cannot come up before it has this end as its peer (ENOTCONN).
                    far.put(structure: ifinfomsg())
                    far.put(IFLA_IFNAME, peer.name)
                    far.put(IFLA_ADDRESS, peer.hardwareAddress)
                    far.put(IFLA_MTU, peer.mtu)
                    if let peerNamespace { far.put(IFLA_NET_NS_FD, peerNamespace.descriptor) }
                }
            }
        case .macvlan:
            information.put(IFLA_INFO_KIND, LinkKindName.macvlan)
            information.nested(IFLA_INFO_DATA) { $0.put(IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE.rawValue) }
        case .ipvlan:
            information.put(IFLA_INFO_KIND, LinkKindName.ipvlan)
            information.nested(IFLA_INFO_DATA) { $0.put(IFLA_IPVLAN_MODE, UInt16(IPVLAN_MODE_L2.rawValue)) }
        case .pair(let end):
            information.put(IFLA_INFO_KIND, LinkKindName.veth)
            information.nested(IFLA_INFO_DATA) { data in
                data.nested(VETH_INFO_PEER) { far in
                    // Down, as that of a guest.
                    far.put(structure: ifinfomsg(index: end.farIndex))
                    far.put(IFLA_IFNAME, end.peer)
                }
            }
        case .bridge: information.put(IFLA_INFO_KIND, LinkKindName.bridge)
        case .dummy: information.put(IFLA_INFO_KIND, LinkKindName.dummy)
        case .adopted: break
        }
    }

    /// - Parameter newIndex: Its number there; nil: the one that it has, or any.
    // ip link set dev I netns FD [name NAME] [alias …]
    func encodeMove(to namespace: OpenNamespace, newIndex: UInt32?, into writer: inout MessageWriter) {
        writer.message(MessageType(RTM_SETLINK), [], ifinfomsg(index: index)) { message in
            message.put(IFLA_NET_NS_FD, namespace.descriptor)
            if let newIndex { message.put(IFLA_NEW_IFINDEX, newIndex) }
            if isNew {
                message.put(IFLA_IFNAME, link.name)
                message.put(IFLA_IFALIAS, link.alias)
            }
        }
    }

    /// Everything but the operational state and IPv6.
    // ip link set NAME alias … group … mtu … address … master …; sysctl net.ipv4.conf.NAME.…
    func encodeSettings(into writer: inout MessageWriter) {
        if !isNew, settings.contains(.underlay), link.kind.underlay != nil {
            // ip link change NAME type gre … dev UNDERLAY. All of the kind's parameters are given again: those that are not
            // would be set to zero. Without the MTU the kernel would choose one.
            writer.message(MessageType(RTM_NEWLINK), [], ifinfomsg(index: index)) { message in
                if let mtu = link.mtu { message.put(IFLA_MTU, mtu) }
                message.nested(IFLA_LINKINFO) { encodeKind(into: &$0) }
            }
        }
        let bySettings = settings.intersection([
            .alias, .master, .group, .mtu, .hardwareAddress, .ipv4, .promotesSecondaries, .name,
        ])
        if !bySettings.isEmpty {
            writer.message(MessageType(RTM_SETLINK), [], ifinfomsg(index: index)) { message in
                if settings.contains(.name) { message.put(IFLA_IFNAME, link.name) }
                // The alias is set before what can fail: it is the mark that the device is ours.
                if settings.contains(.alias) { message.put(IFLA_IFALIAS, link.alias) }
                if !isNew {
                    if settings.contains(.group) { message.put(IFLA_GROUP, link.group) }
                    if settings.contains(.mtu), let mtu = link.mtu { message.put(IFLA_MTU, mtu) }
                    if settings.contains(.hardwareAddress), let address = link.hardwareAddress {
                        message.put(IFLA_ADDRESS, address)
                    }
                }
                if settings.contains(.master), !isNew || master != 0 { message.put(IFLA_MASTER, master) }
                encodeIPv4(into: &message)
            }
        }
        if settings.contains(.proxyDelay), let delay = link.proxyDelay {
            // ip ntable change name arp_cache dev NAME proxy_delay D
            var header = ndtmsg()
            header.ndtm_family = UInt8(AF_INET)
            writer.message(MessageType(RTM_SETNEIGHTBL), [], header) { message in
                message.put(NDTA_NAME, "arp_cache")
                message.nested(NDTA_PARMS) { parameters in
                    parameters.put(NDTPA_IFINDEX, index)
                    parameters.put(NDTPA_PROXY_DELAY, delay)
                }
            }
        }
    }

    /// Notes that the device does not have yet.
    var newNotes: [String] { notes(link.notes, without: formerNotes) }
    /// Notes that it shall have no longer.
    var oldNotes: [String] { notes(formerNotes, without: link.notes ?? []) }

    private func notes(_ some: [String]?, without others: [String]) -> [String] {
        settings.contains(.notes) ? (some ?? []).filter { !others.contains($0) } : []
    }

    // ip link property add|del dev NAME altname NOTE
    func encode(_ notes: [String], _ type: Int, into writer: inout MessageWriter) {
        if notes.isEmpty { return }
        writer.message(MessageType(type), [], ifinfomsg(index: index)) { message in
            message.nested(IFLA_PROP_LIST) { list in
                for note in notes { list.put(IFLA_ALT_IFNAME, note) }
            }
        }
    }

    private func encodeIPv4(into message: inout MessageWriter) {
        let configuration = settings.contains(.ipv4) ? link.ipv4 : nil
        let promotion = settings.contains(.promotesSecondaries) ? link.promotesSecondaries : nil
        if configuration == nil, promotion == nil { return }
        message.nested(IFLA_AF_SPEC) { families in
            families.nested(AF_INET) { family in
                family.nested(IFLA_INET_CONF) { inner in
                    configuration?.encode(into: &inner)
                    if let promotion { inner.put(IPV4_DEVCONF_PROMOTE_SECONDARIES, UInt32(promotion ? 1 : 0)) }
                }
            }
        }
    }

    // ip link set NAME up|down
    func encodeState(isUp: Bool, into writer: inout MessageWriter) {
        writer.message(MessageType(RTM_SETLINK), [], ifinfomsg(index: index, isUp: isUp))
    }
}
