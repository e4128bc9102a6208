internal import CLinux
internal import Glibc
internal import IPAddressing
internal import Netlink

/// A route that no packet follows: it is there for BIRD or FRR to announce. Both find it by table and protocol, and say as next
/// hop what it leads by.
enum AnnouncedRoute {
    static let table: UInt32 = 118

    // ip route replace PREFIX dev DEVICE via GATEWAY onlink proto 118 table 118 realm …
    static func add(
        _ prefix: IPPrefix, by device: UInt32, via gateway: IPAddress?, of endpoint: IPAddress,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) {
        var header = self.header(prefix)
        header.rtm_type = UInt8(RTN_UNICAST)
        header.rtm_scope = UInt8(gateway == nil ? RT_SCOPE_LINK.rawValue : RT_SCOPE_UNIVERSE.rawValue)
        if gateway != nil { header.rtm_flags = UInt32(RTNH_F_ONLINK) }
        try socket.modify { writer in
            writer.message(MessageType(RTM_NEWROUTE), [.create, .replace], header) { message in
                message.put(RTA_TABLE, table)
                message.put(RTA_DST, BigEndian(prefix.address.v4))
                message.put(RTA_OIF, device)
                message.put(RTA_PRIORITY, metric(of: endpoint))
                if let gateway { message.put(RTA_GATEWAY, BigEndian(gateway.v4)) }
            }
        }
    }

    /// Of a pair: whose they are is in their metric.
    static func removeAll(of endpoint: IPAddress, _ socket: inout NetlinkSocket) throws(NetlinkError) {
        let metric = metric(of: endpoint)
        for prefix in try routes(metric, &socket) {
            var header = header(prefix)
            // Whichever it has.
            header.rtm_scope = UInt8(RT_SCOPE_NOWHERE.rawValue)
            try socket.modify { writer in
                writer.message(MessageType(RTM_DELROUTE), [], header) { message in
                    message.put(RTA_TABLE, table)
                    message.put(RTA_DST, BigEndian(prefix.address.v4))
                    message.put(RTA_PRIORITY, metric)
                }
            }
        }
    }

    private static func routes(
        _ metric: UInt32, _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [IPPrefix] {
        var request = rtmsg()
        request.rtm_family = UInt8(AF_INET)
        do throws(NetlinkError) {
            return try socket.dump(MessageType(RTM_GETROUTE), request, into: []) { writer in
                writer.put(RTA_TABLE, table)
            } each: { (routes: inout [IPPrefix], message) throws(CodecError) in
                let header = try message.header(as: rtmsg.self)
                guard header.rtm_protocol == LentAddress.owner else { return }
                var (address, found): (UInt32, UInt32) = (0, 0)
                var attributes = message.attributes(after: rtmsg.self)
                while let attribute = try attributes.next() {
                    switch UInt32(attribute.type) {
                    case RTA_DST.rawValue: address = try attribute.value(as: BigEndian<UInt32>.self).value
                    case RTA_PRIORITY.rawValue: found = try attribute.value(as: UInt32.self)
                    default: break
                    }
                }
                if found == metric {
                    routes.append(IPPrefix(containing: IPAddress(v4: address), length: Int(header.rtm_dst_len)))
                }
            }
        } catch {
            // A table without routes does not exist.
            if error.errno == ENOENT { return [] }
            throw error
        }
    }

    private static func metric(of endpoint: IPAddress) -> UInt32 { endpoint.v4 }

    private static func header(_ prefix: IPPrefix) -> rtmsg {
        var header = rtmsg()
        header.rtm_family = UInt8(AF_INET)
        header.rtm_dst_len = prefix.length
        header.rtm_protocol = LentAddress.owner
        return header
    }
}
