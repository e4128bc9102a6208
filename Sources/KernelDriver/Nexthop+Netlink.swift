import CLinux
import IPAddressing
import KernelModel
import KernelNames
import Netlink

extension Nexthop {
    /// - Parameter index: The device's number; not used of a group.
    func encode(_ flags: MessageFlags, index: UInt32, _ owner: Ownership, into writer: inout MessageWriter) {
        var header = nhmsg()
        header.nh_protocol = owner.routeProtocol.rawValue
        switch body {
        case .encapsulate(let tunnel, _):
            // ip nexthop add id ID encap ip id KEY src S dst D ttl T key via D dev gx onlink
            header.nh_family = tunnel.payload.number
            header.nh_flags = UInt32(tunnel.gateway == nil ? 0 : RTNH_F_ONLINK)
            writer.message(MessageType(RTM_NEWNEXTHOP), flags, header) { message in
                message.put(NHA_ID, id.rawValue)
                message.put(NHA_OIF, index)
                if let gateway = tunnel.gateway { message.put(NHA_GATEWAY, gateway) }
                message.put(NHA_ENCAP_TYPE, UInt16(LWTUNNEL_ENCAP_IP.rawValue))
                message.nested(NHA_ENCAP) { encapsulation in
                    encapsulation.put(LWTUNNEL_IP_ID.rawValue, BigEndian(UInt64(tunnel.key)))
                    encapsulation.put(LWTUNNEL_IP_DST.rawValue, tunnel.destination)
                    encapsulation.put(LWTUNNEL_IP_SRC.rawValue, tunnel.source)
                    encapsulation.put(LWTUNNEL_IP_TTL.rawValue, tunnel.ttl)
                    // Without the one flag packets leave as GRE without a key; without the other, which a GRE device
                    // of its own has, the kernel looks for a smaller MTU of the way at every packet (tnl_update_pmtu of
                    // net/ipv4/ip_tunnel.c).
                    encapsulation.put(LWTUNNEL_IP_FLAGS.rawValue, linux_tunnel_flags())
                }
            }
        case .gateway(let gateway, _):
            // ip nexthop add id ID via GATEWAY dev DEVICE onlink
            header.nh_family = gateway.familyNumber
            header.nh_flags = UInt32(RTNH_F_ONLINK)
            writer.message(MessageType(RTM_NEWNEXTHOP), flags, header) { message in
                message.put(NHA_ID, id.rawValue)
                message.put(NHA_OIF, index)
                message.put(NHA_GATEWAY, gateway)
            }
        case .group(let group):
            // ip nexthop add id ID group MEMBER,WEIGHT/… type resilient buckets B idle_timer T
            writer.message(MessageType(RTM_NEWNEXTHOP), flags, header) { message in
                message.put(NHA_ID, id.rawValue)
                message.put(NHA_GROUP, array: group.members.map(\.wire))
                switch group.algorithm {
                case .hashThreshold: message.put(NHA_GROUP_TYPE, UInt16(NEXTHOP_GRP_TYPE_MPATH))
                case .resilient(let buckets, let idleTimer):
                    message.put(NHA_GROUP_TYPE, UInt16(NEXTHOP_GRP_TYPE_RES))
                    message.nested(NHA_RES_GROUP) { parameters in
                        parameters.put(NHA_RES_GROUP_BUCKETS, buckets)
                        parameters.put(NHA_RES_GROUP_IDLE_TIMER, idleTimer)
                    }
                }
            }
        }
    }

    // ip nexthop del id ID
    func encodeDeletion(into writer: inout MessageWriter) {
        writer.message(MessageType(RTM_DELNEXTHOP), [], nhmsg()) { $0.put(NHA_ID, id.rawValue) }
    }
}

extension GREEncapsulation {
    /// The device asks nobody, but without a gateway there would be a neighbour entry for every destination. It has to be
    /// of the family of the packets inside, and no IPv6 address is that of a host of an IPv4 underlay.
    fileprivate var gateway: IPAddress? { payload == destination.family ? destination : nil }
}

extension NexthopGroup.Member {
    fileprivate var wire: nexthop_grp {
        var wire = nexthop_grp()
        wire.id = id.rawValue
        wire.weight = UInt8(truncatingIfNeeded: max(weight, 1) - 1)
        return wire
    }

    fileprivate init(_ wire: nexthop_grp) {
        self.init(id: NexthopID(wire.id), weight: UInt16(wire.weight) + 1)
    }
}

/// What RTM_NEWNEXTHOP says.
struct NexthopReading {
    var id = NexthopID.none
    var routeProtocol: RouteProtocol
    var isOnLink: Bool
    var device: UInt32 = 0
    var gateway: IPAddress?
    var encapsulationType: UInt16 = 0
    var tunnel = GREEncapsulation(key: 0, source: .anyIPv4, destination: .anyIPv4, ttl: 0)
    var tunnelFlags: UInt16 = 0
    var members: [NexthopGroup.Member] = []
    var isGroup = false
    var groupType: UInt16 = 0
    var buckets: UInt16 = 0
    var idleTimer: UInt32 = 0

    init(_ message: borrowing Message) throws(CodecError) {
        let header = try message.header(as: nhmsg.self)
        routeProtocol = RouteProtocol(header.nh_protocol)
        isOnLink = header.nh_flags & UInt32(RTNH_F_ONLINK) != 0
        tunnel.payload = header.nh_family == AddressFamily.ipv6.number ? .ipv6 : .ipv4
        var attributes = message.attributes(after: nhmsg.self)
        while let attribute = try attributes.next() {
            switch attribute.type {
            case NHA_ID: id = NexthopID(try attribute.value(as: UInt32.self))
            case NHA_OIF: device = try attribute.value(as: UInt32.self)
            case NHA_GATEWAY: gateway = try attribute.address()
            case NHA_ENCAP_TYPE: encapsulationType = try attribute.value(as: UInt16.self)
            case NHA_ENCAP: try readEncapsulation(attribute.nested)
            case NHA_GROUP_TYPE: groupType = try attribute.value(as: UInt16.self)
            case NHA_GROUP:
                isGroup = true
                for index in 0..<attribute.count(of: nexthop_grp.self) {
                    members.append(.init(attribute.element(index, as: nexthop_grp.self)))
                }
                // The kernel keeps the order of the request.
                members.sort { $0.id < $1.id }
            case NHA_RES_GROUP: try readResilience(attribute.nested)
            default: break
            }
        }
    }

    /// Read whatever the type is: NHA_ENCAP may come before NHA_ENCAP_TYPE, and only ``body`` believes it.
    private mutating func readEncapsulation(_ attributes: consuming AttributeReader) throws(CodecError) {
        var attributes = attributes
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case LWTUNNEL_IP_ID.rawValue where attribute.payload.byteCount == 8:
                tunnel.key = UInt32(truncatingIfNeeded: try attribute.value(as: BigEndian<UInt64>.self).value)
            case LWTUNNEL_IP_DST.rawValue where attribute.payload.byteCount == 4:
                tunnel.destination = try attribute.address()
            case LWTUNNEL_IP_SRC.rawValue where attribute.payload.byteCount == 4:
                tunnel.source = try attribute.address()
            case LWTUNNEL_IP_TTL.rawValue: tunnel.ttl = try attribute.value(as: UInt8.self)
            case LWTUNNEL_IP_FLAGS.rawValue where attribute.payload.byteCount == 2:
                tunnelFlags = try attribute.value(as: UInt16.self)
            default: break
            }
        }
    }

    private mutating func readResilience(_ attributes: consuming AttributeReader) throws(CodecError) {
        var attributes = attributes
        while let attribute = try attributes.next() {
            switch attribute.type {
            case NHA_RES_GROUP_BUCKETS: buckets = try attribute.value(as: UInt16.self)
            case NHA_RES_GROUP_IDLE_TIMER: idleTimer = try attribute.value(as: UInt32.self)
            default: break
            }
        }
    }

    func nexthop(_ names: DeviceNames) -> Nexthop {
        if isGroup {
            let algorithm: NexthopGroup.Algorithm =
                groupType == UInt16(NEXTHOP_GRP_TYPE_RES)
                ? .resilient(buckets: buckets, idleTimer: idleTimer) : .hashThreshold
            return Nexthop(id: id, body: .group(NexthopGroup(members: members, algorithm: algorithm)))
        }
        if encapsulationType == UInt16(LWTUNNEL_ENCAP_IP.rawValue), tunnelFlags == linux_tunnel_flags(),
            isOnLink == (tunnel.gateway != nil), gateway == tunnel.gateway
        {
            return Nexthop(id: id, body: .encapsulate(tunnel, device: names[device]))
        }
        if encapsulationType == 0, isOnLink, let gateway {
            return Nexthop(id: id, body: .gateway(gateway, device: names[device]))
        }
        // Somebody made ours into something the model has no words for (a blackhole): shown as a group without members,
        // which nobody can want, so that it is put right.
        return Nexthop(id: id, body: .group(NexthopGroup(members: [], algorithm: .hashThreshold)))
    }
}

extension NetlinkSocket {
    /// Which nexthop objects are to be listed.
    enum NexthopFilter {
        case all
        /// Those that leave by the device with this number.
        case device(UInt32)
        case groups
    }

    /// The nexthop objects of everybody, by id.
    // ip nexthop [show dev DEVICE|groups]
    mutating func nexthops(_ filter: NexthopFilter = .all) throws(NetlinkError) -> [NexthopReading] {
        var list = try dump(MessageType(RTM_GETNEXTHOP), nhmsg(), into: [NexthopReading]()) { message in
            switch filter {
            case .all: break
            case .device(let index): message.put(NHA_OIF, index)
            case .groups: message.put(flag: NHA_GROUPS)
            }
        } each: { list, message throws(CodecError) in
            list.append(try NexthopReading(message))
        }
        list.sort { $0.id < $1.id }
        return list
    }
}
