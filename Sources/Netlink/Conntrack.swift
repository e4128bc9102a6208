internal import CLinux
internal import Glibc

extension NetlinkProtocol {
    /// Connection tracking over nfnetlink.
    public static let conntrack = NetlinkProtocol(rawValue: NETLINK_NETFILTER) { type in
        guard type.rawValue >> 8 == UInt16(NFNL_SUBSYS_CTNETLINK) else { return nil }
        let name =
            switch UInt32(type.rawValue & 0xFF) {
            case IPCTNL_MSG_CT_NEW.rawValue: "NEW"
            case IPCTNL_MSG_CT_GET.rawValue: "GET"
            case IPCTNL_MSG_CT_DELETE.rawValue: "DELETE"
            case IPCTNL_MSG_CT_GET_STATS.rawValue: "GET_STATS"
            default: "message \(type.rawValue & 0xFF)"
            }
        return MessageNames(
            name: "IPCTNL_MSG_CT_\(name)", headerLength: MemoryLayout<nfgenmsg>.size,
            attributes: AttributeNames("CTA_", [Int(CTA_TUPLE_ORIG.rawValue): "TUPLE_ORIG"]))
    }
}

/// One direction of a connection: what its packets look like.
public struct ConntrackTuple: Hashable, Sendable {
    /// An IPv4 address in the low 32 bits, or an IPv6 address.
    public struct Address: Hashable, Sendable {
        public var isIPv6: Bool
        public var value: UInt128

        public init(isIPv6: Bool, value: UInt128) {
            self.isIPv6 = isIPv6
            self.value = value
        }
    }

    public var source: Address
    public var destination: Address
    /// `IPPROTO_*`.
    public var `protocol`: UInt8
    /// Ports of TCP, UDP, SCTP and DCCP, halves of the keys of GRE; 0 otherwise.
    public var sourcePort: UInt16 = 0
    public var destinationPort: UInt16 = 0
    /// Of ICMP and ICMPv6.
    public var icmp: ICMP?

    public struct ICMP: Hashable, Sendable {
        public var type: UInt8
        public var code: UInt8
        public var id: UInt16

        public init(type: UInt8, code: UInt8, id: UInt16) {
            self.type = type
            self.code = code
            self.id = id
        }
    }

    public init(source: Address, destination: Address, protocol: UInt8) {
        self.source = source
        self.destination = destination
        self.protocol = `protocol`
    }
}

/// A tracked connection.
public struct ConntrackFlow: Hashable, Sendable {
    /// The kernel's number of the entry, made of its place in memory and its addresses (`nf_ct_get_id`): two entries that
    /// exist at once differ; one that comes later, to the same place with the same addresses, may get the same.
    public var id: UInt32
    public var zone: UInt16
    public var original: ConntrackTuple
    public var reply: ConntrackTuple
    public var mark: UInt32
    /// `IPS_*` of linux/netfilter/nf_conntrack_common.h.
    public var status: UInt32
    /// Seconds until it is forgotten if nothing comes.
    public var timeout: UInt32

    /// Whether packets went both ways.
    public var isAnswered: Bool { status & IPS_SEEN_REPLY.rawValue != 0 }

    /// An entry to be asked for, or to be forgotten: its number, zone and original direction name it.
    public init(id: UInt32, zone: UInt16, original: ConntrackTuple) {
        self.id = id
        self.zone = zone
        self.original = original
        reply = original
        (mark, status, timeout) = (0, 0, 0)
    }

    init(_ message: borrowing Message) throws(CodecError) {
        let nowhere = ConntrackTuple.Address(isIPv6: false, value: 0)
        original = ConntrackTuple(source: nowhere, destination: nowhere, protocol: 0)
        reply = original
        (id, zone, mark, status, timeout) = (0, 0, 0, 0, 0)
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case CTA_TUPLE_ORIG.rawValue: try original.read(attribute.nested)
            case CTA_TUPLE_REPLY.rawValue: try reply.read(attribute.nested)
            case CTA_STATUS.rawValue: status = try attribute.value(as: BigEndian<UInt32>.self).value
            case CTA_TIMEOUT.rawValue: timeout = try attribute.value(as: BigEndian<UInt32>.self).value
            case CTA_MARK.rawValue: mark = try attribute.value(as: BigEndian<UInt32>.self).value
            case CTA_ID.rawValue: id = try attribute.value(as: BigEndian<UInt32>.self).value
            case CTA_ZONE.rawValue: zone = try attribute.value(as: BigEndian<UInt16>.self).value
            default: break
            }
        }
    }
}

/// A netlink socket for connection tracking.
public struct ConntrackSocket: ~Copyable, Sendable {
    private var socket: NetlinkSocket

    public init(in namespace: NetworkNamespace = .current) throws(NetlinkError) {
        socket = try NetlinkSocket(.conntrack, in: namespace)
    }

    /// Messages sent that can modify the kernel's state.
    public var modificationCount: Int { socket.modificationCount }

    private static func type(_ message: cntl_msg_types) -> MessageType {
        .netfilter(subsystem: NFNL_SUBSYS_CTNETLINK, message: message.rawValue)
    }

    /// Calls `each` with every connection, of one zone or of all.
    ///
    /// Connections that begin or end meanwhile may be missing or, rarely, come twice. Kernels since 6.8 filter by zone
    /// themselves; older ones list everything and the rest is dropped here.
    public mutating func forEachFlow(zone: UInt16? = nil, _ each: (ConntrackFlow) -> Void) throws(NetlinkError) {
        try socket.dump(Self.type(IPCTNL_MSG_CT_GET), nfgenmsg(family: UInt8(AF_UNSPEC)), into: ()) { writer in
            if let zone { writer.put(CTA_ZONE, BigEndian(zone)) }
        } each: { _, message throws(CodecError) in
            let flow = try ConntrackFlow(message)
            if zone == nil || flow.zone == zone { each(flow) }
        }
    }

    public mutating func flows(zone: UInt16? = nil) throws(NetlinkError) -> [ConntrackFlow] {
        var flows: [ConntrackFlow] = []
        try forEachFlow(zone: zone) { flows.append($0) }
        return flows
    }

    /// How many connections the namespace has in each zone. Nothing else of them is read.
    ///
    /// Connections that begin or end meanwhile may be missing or, rarely, count twice.
    /// - Parameter sample: About so many are read, those with the lowest hashes. The hash (SipHash) has a secret of the
    ///   kernel's, so nobody can choose to be among them. Nil: all are read.
    public consuming func countsByZone(sample: Int? = nil) throws(NetlinkError) -> [UInt16: Int] {
        try socket.dump(
            Self.type(IPCTNL_MSG_CT_GET), nfgenmsg(family: UInt8(AF_UNSPEC)), into: [UInt16: Int](),
            enough: sample ?? .max
        ) { counts, message throws(CodecError) in
            var zone: UInt16 = 0
            var attributes = message.attributes(after: nfgenmsg.self)
            while let attribute = try attributes.next() {
                guard attribute.type == Int(CTA_ZONE.rawValue) else { continue }
                zone = try attribute.value(as: BigEndian<UInt16>.self).value
                break
            }
            counts[zone, default: 0] += 1
        }
    }

    /// How many connections the namespace has, in all zones.
    public mutating func count() throws(NetlinkError) -> Int { try statistics().count }

    /// How many connections the namespace has, in all zones, and how many it has room for (`nf_conntrack_max`); 0 where
    /// the kernel does not say (before 4.18).
    public mutating func statistics() throws(NetlinkError) -> (count: Int, room: Int) {
        var count: UInt32 = 0
        var room: UInt32 = 0
        try socket.query { writer in
            writer.message(Self.type(IPCTNL_MSG_CT_GET_STATS), [], nfgenmsg(family: UInt8(AF_UNSPEC)))
        } each: { message throws(CodecError) in
            var attributes = message.attributes(after: nfgenmsg.self)
            while let attribute = try attributes.next() {
                if attribute.type == Int(CTA_STATS_GLOBAL_ENTRIES.rawValue) {
                    count = try attribute.value(as: BigEndian<UInt32>.self).value
                } else if attribute.type == Int(CTA_STATS_GLOBAL_MAX_ENTRIES.rawValue) {
                    room = try attribute.value(as: BigEndian<UInt32>.self).value
                }
            }
        }
        return (Int(count), Int(room))
    }

    /// How many connections could not be entered, because somebody else had their place (`insert_failed` of conntrack(8)),
    /// since the namespace was made.
    public mutating func failedInserts() throws(NetlinkError) -> Int {
        try socket.dump(Self.type(IPCTNL_MSG_CT_GET_STATS_CPU), nfgenmsg(family: UInt8(AF_UNSPEC)), into: 0) {
            sum, message throws(CodecError) in
            var attributes = message.attributes(after: nfgenmsg.self)
            while let attribute = try attributes.next() {
                guard attribute.type == Int(CTA_STATS_INSERT_FAILED.rawValue) else { continue }
                sum += Int(try attribute.value(as: BigEndian<UInt32>.self).value)
            }
        }
    }

    /// Forgets connections. One that ended meanwhile and began again is another entry and stays, unless the kernel happened
    /// to give it the same number, see ``ConntrackFlow/id``.
    ///
    /// - Parameter failed: Called with the position of each that could not be deleted.
    /// - Returns: How many were deleted; those that had ended by themselves do not count.
    public mutating func delete(
        _ flows: [ConntrackFlow], failed: (Int, NetlinkError) -> Void = { _, _ in }
    ) throws(NetlinkError) -> Int {
        try change(flows, IPCTNL_MSG_CT_DELETE, "delete connections", failed: failed) { flow, message in
            message.put(CTA_ID, number: flow.id)
        }
    }

    /// Gives connections a mark and a last `seconds`, which no packet prolongs.
    ///
    /// - Parameters:
    ///   - flows: With the status that they had when they were read.
    ///   - failed: Called with the position of each that could not be changed.
    /// - Returns: How many were changed; those that had ended by themselves do not count.
    public mutating func condemn(
        _ flows: [ConntrackFlow], mark: UInt32, seconds: UInt32, failed: (Int, NetlinkError) -> Void = { _, _ in }
    ) throws(NetlinkError) -> Int {
        // An answer may have come since it was read: these bits can be set, but not taken back.
        let settled = IPS_SEEN_REPLY.rawValue | IPS_ASSURED.rawValue | IPS_FIXED_TIMEOUT.rawValue
        return try change(flows, IPCTNL_MSG_CT_NEW, "change connections", failed: failed) { flow, message in
            message.put(CTA_TIMEOUT, number: seconds)
            message.put(CTA_STATUS, number: flow.status | settled)
            message.put(CTA_MARK, number: mark)
        }
    }

    /// A message for every connection, which names it and says what `body` adds.
    private mutating func change(
        _ flows: [ConntrackFlow], _ type: cntl_msg_types, _ operation: String, failed: (Int, NetlinkError) -> Void,
        _ body: (ConntrackFlow, inout MessageWriter) -> Void
    ) throws(NetlinkError) -> Int {
        var others = 0
        let outcome = try socket.commit(flows.count) { index, writer in
            let flow = flows[index]
            let family = UInt8(flow.original.source.isIPv6 ? AF_INET6 : AF_INET)
            writer.message(Self.type(type), [], nfgenmsg(family: family)) { message in
                message.nested(CTA_TUPLE_ORIG) { flow.original.write(to: &$0) }
                message.put(CTA_ZONE, BigEndian(flow.zone))
                body(flow, &message)
            }
        } failed: { index, error in
            others += 1
            if error.errno != ENOENT { failed(index, error) }
        }
        if outcome.repliesLost { throw NetlinkError(errno: ENOBUFS, operation: operation) }
        return flows.count - others
    }
}

extension ConntrackTuple {
    fileprivate mutating func read(_ attributes: consuming AttributeReader) throws(CodecError) {
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case CTA_TUPLE_IP.rawValue: try readAddresses(attribute.nested)
            case CTA_TUPLE_PROTO.rawValue: try readProtocol(attribute.nested)
            default: break
            }
        }
    }

    private mutating func readAddresses(_ attributes: consuming AttributeReader) throws(CodecError) {
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case CTA_IP_V4_SRC.rawValue: source = try Self.address(attribute)
            case CTA_IP_V4_DST.rawValue: destination = try Self.address(attribute)
            case CTA_IP_V6_SRC.rawValue: source = try Self.address(attribute)
            case CTA_IP_V6_DST.rawValue: destination = try Self.address(attribute)
            default: break
            }
        }
    }

    private static func address(_ attribute: borrowing Attribute) throws(CodecError) -> Address {
        if attribute.payload.byteCount < 16 {
            return Address(isIPv6: false, value: UInt128(try attribute.value(as: BigEndian<UInt32>.self).value))
        }
        return Address(isIPv6: true, value: try attribute.value(as: BigEndian<UInt128>.self).value)
    }

    private mutating func readProtocol(_ attributes: consuming AttributeReader) throws(CodecError) {
        var icmp = ICMP(type: 0, code: 0, id: 0)
        var isICMP = false
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case CTA_PROTO_NUM.rawValue: self.protocol = try attribute.value(as: UInt8.self)
            case CTA_PROTO_SRC_PORT.rawValue: sourcePort = try attribute.value(as: BigEndian<UInt16>.self).value
            case CTA_PROTO_DST_PORT.rawValue: destinationPort = try attribute.value(as: BigEndian<UInt16>.self).value
            case CTA_PROTO_ICMP_ID.rawValue, CTA_PROTO_ICMPV6_ID.rawValue:
                icmp.id = try attribute.value(as: BigEndian<UInt16>.self).value
                isICMP = true
            case CTA_PROTO_ICMP_TYPE.rawValue, CTA_PROTO_ICMPV6_TYPE.rawValue:
                icmp.type = try attribute.value(as: UInt8.self)
            case CTA_PROTO_ICMP_CODE.rawValue, CTA_PROTO_ICMPV6_CODE.rawValue:
                icmp.code = try attribute.value(as: UInt8.self)
            default: break
            }
        }
        if isICMP { self.icmp = icmp }
    }

    fileprivate func write(to writer: inout MessageWriter) {
        writer.nested(CTA_TUPLE_IP) { ip in
            if source.isIPv6 {
                ip.put(CTA_IP_V6_SRC, BigEndian(source.value))
                ip.put(CTA_IP_V6_DST, BigEndian(destination.value))
            } else {
                ip.put(CTA_IP_V4_SRC, BigEndian(UInt32(truncatingIfNeeded: source.value)))
                ip.put(CTA_IP_V4_DST, BigEndian(UInt32(truncatingIfNeeded: destination.value)))
            }
        }
        writer.nested(CTA_TUPLE_PROTO) { proto in
            proto.put(CTA_PROTO_NUM, self.protocol)
            if let icmp {
                proto.put(source.isIPv6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID, BigEndian(icmp.id))
                proto.put(source.isIPv6 ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE, icmp.type)
                proto.put(source.isIPv6 ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE, icmp.code)
            } else {
                proto.put(CTA_PROTO_SRC_PORT, BigEndian(sourcePort))
                proto.put(CTA_PROTO_DST_PORT, BigEndian(destinationPort))
            }
        }
    }
}
