internal import CLinux
internal import Glibc

/// An IPv4 connection as another host can have it as well: what ctnetlink tells of it, less what is true of one kernel only.
/// Numbers are in the machine's order.
public struct ConntrackCopy: Hashable, Sendable, BitwiseCopyable {
    /// One direction. Of ICMP the source port is the identifier, the destination port type and code.
    public struct Way: Hashable, Sendable, BitwiseCopyable {
        public var source: UInt32 = 0
        public var destination: UInt32 = 0
        public var sourcePort: UInt16 = 0
        public var destinationPort: UInt16 = 0

        public init() {}
    }

    public var original = Way()
    public var reply = Way()
    public var mark: UInt32 = 0
    /// Seconds until it is forgotten if nothing comes.
    public var timeout: UInt32 = 0
    public var zone: UInt16 = 0
    /// `IPPROTO_*`.
    public var `protocol`: UInt8 = 0
    /// `TCP_CONNTRACK_*` of linux/netfilter/nf_conntrack_tcp.h.
    public var tcpState: UInt8 = Self.established
    /// `IPS_*` of linux/netfilter/nf_conntrack_common.h.
    public var status: UInt32 = 0

    /// What names a connection: nothing else has it at the same time.
    public struct Name: Hashable, Sendable, BitwiseCopyable {
        public var original: Way
        public var zone: UInt16
        public var `protocol`: UInt8
    }

    public var name: Name { Name(original: original, zone: zone, protocol: self.protocol) }

    /// Whether packets went both ways and the kernel is in no hurry to forget it.
    public var isAssured: Bool { status & IPS_ASSURED.rawValue != 0 }

    /// TCP_CONNTRACK_ESTABLISHED.
    private static let established: UInt8 = 3

    public init() {}

    /// Nil: no IPv4, or no zone.
    init?(_ message: borrowing Message) throws(CodecError) {
        guard try message.header(as: nfgenmsg.self).nfgen_family == UInt8(AF_INET) else { return nil }
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case CTA_TUPLE_ORIG.rawValue: self.protocol = try original.read(attribute.nested)
            case CTA_TUPLE_REPLY.rawValue: _ = try reply.read(attribute.nested)
            case CTA_STATUS.rawValue: status = try attribute.value(as: BigEndian<UInt32>.self).value
            case CTA_TIMEOUT.rawValue: timeout = try attribute.value(as: BigEndian<UInt32>.self).value
            case CTA_MARK.rawValue: mark = try attribute.value(as: BigEndian<UInt32>.self).value
            case CTA_ZONE.rawValue: zone = try attribute.value(as: BigEndian<UInt16>.self).value
            case CTA_PROTOINFO.rawValue: try readState(attribute.nested)
            default: break
            }
        }
        if zone == 0 { return nil }
    }

    private mutating func readState(_ attributes: consuming AttributeReader) throws(CodecError) {
        while let attribute = try attributes.next() {
            guard UInt32(attribute.type) == CTA_PROTOINFO_TCP.rawValue else { continue }
            var inner = attribute.nested
            while let value = try inner.next() {
                guard UInt32(value.type) == CTA_PROTOINFO_TCP_STATE.rawValue else { continue }
                tcpState = try value.value(as: UInt8.self)
            }
        }
    }

    // MARK: Writing

    fileprivate func writeName(to message: inout MessageWriter) {
        message.nested(CTA_TUPLE_ORIG) { original.write(self.protocol, to: &$0) }
        message.put(CTA_ZONE, BigEndian(zone))
    }

    /// The kernel translates what it is given: the answer's direction as it would be without, and what to make of it
    /// (ctnetlink_setup_nat of net/netfilter/nf_conntrack_netlink.c). Windows of TCP are not known, so nothing is held against
    /// a packet because of them.
    fileprivate func writeContent(to message: inout MessageWriter) {
        var plain = Way()
        (plain.source, plain.destination) = (original.destination, original.source)
        (plain.sourcePort, plain.destinationPort) = (original.destinationPort, original.sourcePort)
        let isICMP = self.protocol == UInt8(IPPROTO_ICMP)
        if isICMP {
            // The identifier stays, and the type is that of the answer.
            (plain.sourcePort, plain.destinationPort) = (original.sourcePort, reply.destinationPort)
        }
        message.nested(CTA_TUPLE_REPLY) { plain.write(self.protocol, to: &$0) }
        message.put(CTA_TIMEOUT, BigEndian(timeout))
        message.put(CTA_STATUS, BigEndian(status & Self.keptStatus | IPS_CONFIRMED.rawValue))
        if mark != 0 { message.put(CTA_MARK, BigEndian(mark)) }
        let outside = isICMP ? reply.sourcePort : reply.destinationPort
        if reply.source != original.destination || (!isICMP && reply.sourcePort != original.destinationPort) {
            Self.write(CTA_NAT_DST, reply.source, isICMP ? original.sourcePort : reply.sourcePort, to: &message)
        }
        if reply.destination != original.source || outside != original.sourcePort {
            Self.write(CTA_NAT_SRC, reply.destination, outside, to: &message)
        }
        writeProtocol(to: &message, tcpState)
    }

    /// Windows of TCP that another host has seen are not asked for.
    /// - Parameter state: Nil: it stays.
    fileprivate func writeProtocol(to message: inout MessageWriter, _ state: UInt8? = nil) {
        guard self.protocol == UInt8(IPPROTO_TCP) else { return }
        message.nested(CTA_PROTOINFO) { info in
            info.nested(CTA_PROTOINFO_TCP) { tcp in
                if let state { tcp.put(CTA_PROTOINFO_TCP_STATE, state) }
                // struct nf_ct_tcp_flags: flags and mask.
                let flags = Self.liberal | Self.liberal << 8
                tcp.put(CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, flags)
                tcp.put(CTA_PROTOINFO_TCP_FLAGS_REPLY, flags)
            }
        }
    }

    private static let keptStatus = IPS_SEEN_REPLY.rawValue | IPS_ASSURED.rawValue
    /// IP_CT_TCP_FLAG_SACK_PERM and IP_CT_TCP_FLAG_BE_LIBERAL.
    private static let liberal: UInt16 = 0x02 | 0x08

    private static func write(
        _ type: ctattr_type, _ address: UInt32, _ port: UInt16, to message: inout MessageWriter
    ) {
        message.nested(type) { nat in
            nat.put(CTA_NAT_V4_MINIP, BigEndian(address))
            nat.put(CTA_NAT_V4_MAXIP, BigEndian(address))
            nat.nested(CTA_NAT_PROTO) { ports in
                ports.put(CTA_PROTONAT_PORT_MIN, BigEndian(port))
                ports.put(CTA_PROTONAT_PORT_MAX, BigEndian(port))
            }
        }
    }
}

extension ConntrackCopy.Way {
    /// - Returns: The protocol.
    fileprivate mutating func read(_ attributes: consuming AttributeReader) throws(CodecError) -> UInt8 {
        var number: UInt8 = 0
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case CTA_TUPLE_IP.rawValue:
                var addresses = attribute.nested
                while let address = try addresses.next() {
                    let value = try address.value(as: BigEndian<UInt32>.self).value
                    if UInt32(address.type) == CTA_IP_V4_SRC.rawValue { source = value } else { destination = value }
                }
            case CTA_TUPLE_PROTO.rawValue: number = try readPorts(attribute.nested)
            default: break
            }
        }
        return number
    }

    private mutating func readPorts(_ attributes: consuming AttributeReader) throws(CodecError) -> UInt8 {
        var number: UInt8 = 0
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case CTA_PROTO_NUM.rawValue: number = try attribute.value(as: UInt8.self)
            case CTA_PROTO_SRC_PORT.rawValue, CTA_PROTO_ICMP_ID.rawValue:
                sourcePort = try attribute.value(as: BigEndian<UInt16>.self).value
            case CTA_PROTO_DST_PORT.rawValue:
                destinationPort = try attribute.value(as: BigEndian<UInt16>.self).value
            case CTA_PROTO_ICMP_TYPE.rawValue:
                destinationPort |= UInt16(try attribute.value(as: UInt8.self)) << 8
            case CTA_PROTO_ICMP_CODE.rawValue: destinationPort |= UInt16(try attribute.value(as: UInt8.self))
            default: break
            }
        }
        return number
    }

    fileprivate func write(_ number: UInt8, to tuple: inout MessageWriter) {
        tuple.nested(CTA_TUPLE_IP) { ip in
            ip.put(CTA_IP_V4_SRC, BigEndian(source))
            ip.put(CTA_IP_V4_DST, BigEndian(destination))
        }
        tuple.nested(CTA_TUPLE_PROTO) { proto in
            proto.put(CTA_PROTO_NUM, number)
            if number == UInt8(IPPROTO_ICMP) {
                proto.put(CTA_PROTO_ICMP_ID, BigEndian(sourcePort))
                proto.put(CTA_PROTO_ICMP_TYPE, UInt8(destinationPort >> 8))
                proto.put(CTA_PROTO_ICMP_CODE, UInt8(destinationPort & 0xFF))
            } else {
                proto.put(CTA_PROTO_SRC_PORT, BigEndian(sourcePort))
                proto.put(CTA_PROTO_DST_PORT, BigEndian(destinationPort))
            }
        }
    }
}

/// Is told which connections have become assured, and which have ended, as far as the rules have them told
/// (`ct event set`).
public struct ConntrackMonitor: ~Copyable, Sendable {
    public enum Event: Sendable {
        case assured(ConntrackCopy)
        case ended(ConntrackCopy)
    }

    private var monitor: NetlinkMonitor

    /// Bytes: two hundred thousand ends at once.
    public static let roomForBursts = 64 << 20

    /// - Parameter receiveBuffer: Bytes.
    public init(in namespace: NetworkNamespace, receiveBuffer: Int = roomForBursts) throws(NetlinkError) {
        let groups = [NFNLGRP_CONNTRACK_UPDATE, NFNLGRP_CONNTRACK_DESTROY].map { MulticastGroup(rawValue: $0.rawValue) }
        monitor = try NetlinkMonitor(.conntrack, groups: groups, in: namespace, receiveBuffer: receiveBuffer)
    }

    public var fileDescriptor: Int32 { monitor.fileDescriptor }

    /// Hands over what has come; does not wait. Connections that never were assured are left out.
    /// - Parameter limit: Datagrams that are taken.
    /// - Returns: Whether the kernel has thrown messages away: then all is to be read anew.
    public mutating func receive(limit: Int, _ each: (Event) -> Void) throws(NetlinkError) -> (
        isOverrun: Bool, isEmpty: Bool
    ) {
        try monitor.receiveConnections(limit: limit) { copy, isEnd in
            if copy.isAssured { each(isEnd ? .ended(copy) : .assured(copy)) }
        }
    }
}

extension NetlinkMonitor {
    /// Hands over what has come of connections, and whether it is their end; does not wait.
    /// - Parameter limit: Datagrams that are taken.
    /// - Returns: Whether the kernel has thrown messages away, and whether all were taken.
    mutating func receiveConnections(
        limit: Int, _ each: (_ copy: ConntrackCopy, _ isEnd: Bool) -> Void
    ) throws(NetlinkError) -> (isOverrun: Bool, isEmpty: Bool) {
        var isOverrun = false
        for _ in 0..<limit {
            let outcome = try receive(timeout: .zero) { message throws(CodecError) in
                guard let copy = try ConntrackCopy(message) else { return }
                each(copy, message.type.rawValue & 0xFF == UInt16(IPCTNL_MSG_CT_DELETE.rawValue))
            }
            switch outcome {
            case .timedOut: return (isOverrun, true)
            case .overrun: isOverrun = true
            case .messages: break
            }
        }
        return (isOverrun, false)
    }
}

/// Reads and writes ``ConntrackCopy``.
public struct ConntrackCopySocket: ~Copyable, Sendable {
    private var socket: NetlinkSocket

    public init(in namespace: NetworkNamespace) throws(NetlinkError) {
        socket = try NetlinkSocket(.conntrack, in: namespace)
    }

    private static func type(_ message: cntl_msg_types) -> MessageType {
        .netfilter(subsystem: NFNL_SUBSYS_CTNETLINK, message: message.rawValue)
    }

    private static var header: nfgenmsg { nfgenmsg(family: UInt8(AF_INET)) }

    /// All connections that have a zone.
    public mutating func forEach(_ each: (ConntrackCopy) -> Void) throws(NetlinkError) {
        try socket.dump(Self.type(IPCTNL_MSG_CT_GET), Self.header, into: ()) { _, message throws(CodecError) in
            if let copy = try ConntrackCopy(message) { each(copy) }
        }
    }

    /// Makes connections. One that is there already stays as it is.
    /// - Returns: How many were made, and what kept others from it.
    public mutating func create(_ copies: [ConntrackCopy]) throws(NetlinkError) -> (made: Int, error: NetlinkError?) {
        var (failures, first): (Int, NetlinkError?) = (0, nil)
        let outcome = try socket.commit(copies.count) { index, writer in
            writer.message(Self.type(IPCTNL_MSG_CT_NEW), [.create, .exclusive], Self.header) { message in
                copies[index].writeName(to: &message)
                copies[index].writeContent(to: &message)
            }
        } failed: { _, error in
            failures += 1
            if error.errno != EEXIST { first = first ?? error }
        }
        if outcome.repliesLost { throw NetlinkError(errno: ENOBUFS, operation: "create connections") }
        return (copies.count - failures, first)
    }

    /// Ends connections. One that is not there is as good.
    public mutating func delete(_ names: [ConntrackCopy]) throws(NetlinkError) -> Int {
        try change(names, IPCTNL_MSG_CT_DELETE) { _, _ in }
    }

    /// Sets how long connections are remembered if nothing comes, to their ``ConntrackCopy/timeout``, and holds nothing of
    /// TCP against them that this kernel has not seen: another host carries them meanwhile, or has carried them.
    public mutating func setTimeouts(_ copies: [ConntrackCopy]) throws(NetlinkError) -> Int {
        try change(copies, IPCTNL_MSG_CT_NEW) { copy, message in
            message.put(CTA_TIMEOUT, BigEndian(copy.timeout))
            copy.writeProtocol(to: &message)
        }
    }

    private mutating func change(
        _ copies: [ConntrackCopy], _ type: cntl_msg_types, _ body: (ConntrackCopy, inout MessageWriter) -> Void
    ) throws(NetlinkError) -> Int {
        var failures = 0
        _ = try socket.commit(copies.count) { index, writer in
            writer.message(Self.type(type), [], Self.header) { message in
                copies[index].writeName(to: &message)
                body(copies[index], &message)
            }
        } failed: { _, _ in
            failures += 1
        }
        return copies.count - failures
    }
}
