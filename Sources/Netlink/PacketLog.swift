internal import CLinux
internal import Glibc

extension NetlinkProtocol {
    /// Packets that rules log, over nfnetlink (`nfnetlink_log`).
    public static let packetLog = NetlinkProtocol(rawValue: NETLINK_NETFILTER) { type in
        guard type == .packetLogConfiguration else { return nil }
        return MessageNames(
            name: "NFULNL_MSG_CONFIG", headerLength: MemoryLayout<nfgenmsg>.size,
            attributes: AttributeNames(
                "NFULA_CFG_",
                [
                    Int(NFULA_CFG_CMD.rawValue): "CMD", Int(NFULA_CFG_MODE.rawValue): "MODE",
                    Int(NFULA_CFG_QTHRESH.rawValue): "QTHRESH", Int(NFULA_CFG_FLAGS.rawValue): "FLAGS",
                ]))
    }
}

extension MessageType {
    static let loggedPacket = MessageType.netfilter(
        subsystem: NFNL_SUBSYS_ULOG, message: NFULNL_MSG_PACKET.rawValue)
    static let packetLogConfiguration = MessageType.netfilter(
        subsystem: NFNL_SUBSYS_ULOG, message: NFULNL_MSG_CONFIG.rawValue)
}

/// A packet that a rule logged, such as nft(8)'s `log group 5 prefix "…"` (linux/netfilter/nfnetlink_log.h).
public struct LoggedPacket: Hashable, Sendable {
    /// The group that the rule named.
    public var group: UInt16
    /// The rule's own words; at most 127 bytes.
    public var prefix = ""
    /// Where in its way the packet was: `NF_INET_*`, for packets of IP.
    public var hook: UInt8 = 0
    /// What the bytes are: `ETH_P_*`.
    public var etherType: UInt16 = 0
    /// Index of the device it came in by; 0 where there is none.
    public var inputDevice: UInt32 = 0
    /// Index of the device it was to leave by; 0 where there is none.
    public var outputDevice: UInt32 = 0
    /// Source address of the frame, where it came in one.
    public var hardwareAddress: [UInt8] = []
    /// When it was received, since the epoch; the kernel does not always note it.
    public var time: Duration?
    /// Its number among those of its group, counted from 0 since somebody reads the group.
    public var sequence: UInt32?
    /// From the network header on, no more than the rule or the reader asked for.
    public var bytes: [UInt8] = []

    init(_ message: borrowing Message) throws(CodecError) {
        group = UInt16(bigEndian: try message.header(as: nfgenmsg.self).res_id)
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() { try take(attribute) }
    }

    private mutating func take(_ attribute: borrowing Attribute) throws(CodecError) {
        switch UInt32(attribute.type) {
        case NFULA_PACKET_HDR.rawValue:
            let header = try attribute.value(as: nfulnl_msg_packet_hdr.self)
            (hook, etherType) = (header.hook, UInt16(bigEndian: header.hw_protocol))
        case NFULA_TIMESTAMP.rawValue:
            let stamp = try attribute.value(as: nfulnl_msg_packet_timestamp.self)
            time =
                .seconds(Int64(truncatingIfNeeded: UInt64(bigEndian: stamp.sec)))
                + .microseconds(Int64(truncatingIfNeeded: UInt64(bigEndian: stamp.usec)))
        case NFULA_IFINDEX_INDEV.rawValue: inputDevice = try attribute.value(as: BigEndian<UInt32>.self).value
        case NFULA_IFINDEX_OUTDEV.rawValue: outputDevice = try attribute.value(as: BigEndian<UInt32>.self).value
        case NFULA_HWADDR.rawValue:
            let address = try attribute.value(as: nfulnl_msg_packet_hw.self)
            let count = min(Int(UInt16(bigEndian: address.hw_addrlen)), MemoryLayout.size(ofValue: address.hw_addr))
            hardwareAddress = withUnsafeBytes(of: address.hw_addr) { Array($0.prefix(count)) }
        case NFULA_PREFIX.rawValue: prefix = attribute.string()
        case NFULA_SEQ.rawValue: sequence = try attribute.value(as: BigEndian<UInt32>.self).value
        case NFULA_PAYLOAD.rawValue: bytes = attribute.payload.withUnsafeBytes { Array($0) }
        default: break
        }
    }
}

/// Reads the packets that rules log to some groups, one by one as they come.
///
/// A group has one reader in a network namespace. What is logged while a group has none is gone.
public struct PacketLogSocket: ~Copyable, Sendable {
    public enum Event: Hashable, Sendable {
        /// - Parameter lostBefore: How many of the group's packets between the last one and this one the kernel
        ///   threw away, because they were not read in time.
        case packet(LoggedPacket, lostBefore: UInt32)
        /// The queue was full, and packets are being thrown away; the next of each group tells how many.
        case overrun
        case timedOut
    }

    private var socket: NetlinkSocket
    private var pending: [LoggedPacket] = []
    /// By group, the number that its next packet has if none is lost.
    private var expected: [UInt16: UInt32] = [:]

    /// - Parameters:
    ///   - groups: nfnetlink_log's numbers.
    ///   - snapLength: Bytes of each packet to hand over at most; a rule may ask for less.
    ///   - receiveBuffer: Bytes for packets not yet read; a packet takes about 1 KiB.
    /// - Throws: `EPERM` where another socket reads one of the groups, and where the process lacks CAP_NET_ADMIN.
    public init(
        groups: [UInt16], in namespace: NetworkNamespace = .current, snapLength: UInt32 = 128,
        receiveBuffer: Int = 4 << 20
    ) throws(NetlinkError) {
        var socket = try NetlinkSocket(.packetLog, in: namespace, receiveBuffer: receiveBuffer, sendBuffer: 32 << 10)
        for group in groups {
            try socket.modify { Self.writeConfiguration(of: group, snapLength: snapLength, to: &$0) }
        }
        self.socket = socket
    }

    /// For waiting in an event loop; while it is not readable, ``next(timeout:)`` may still hold packets that were read.
    public var fileDescriptor: Int32 { socket.transport.descriptor }

    /// Asks for the packets of a group: all of it in one message, so that no packet comes by other rules.
    static func writeConfiguration(of group: UInt16, snapLength: UInt32, to writer: inout MessageWriter) {
        let header = nfgenmsg(
            nfgen_family: UInt8(AF_UNSPEC), version: UInt8(NFNETLINK_V0), res_id: group.bigEndian)
        writer.message(.packetLogConfiguration, [], header) { message in
            message.put(NFULA_CFG_CMD, UInt8(NFULNL_CFG_CMD_BIND.rawValue))
            // The structure is packed: 4 bytes and 2.
            var mode = nfulnl_msg_config_mode()
            mode.copy_range = snapLength.bigEndian
            mode.copy_mode = UInt8(NFULNL_COPY_PACKET)
            message.put(NFULA_CFG_MODE, mode)
            // Hand over every packet at once, instead of gathering a hundred or waiting for a second.
            message.put(NFULA_CFG_QTHRESH, number: 1)
            message.put(NFULA_CFG_FLAGS, BigEndian(UInt16(NFULNL_CFG_F_SEQ)))
        }
    }

    /// Waits for the next packet.
    ///
    /// - Parameter timeout: Nil waits for ever; zero does not wait.
    public mutating func next(timeout: Duration?) throws(NetlinkError) -> Event {
        let deadline = timeout.map { ContinuousClock.now + $0 }
        while pending.isEmpty {
            switch try socket.transport.receive() {
            case .overrun: return .overrun
            case .foreign: break
            case .empty:
                let left = deadline.map { max(.zero, ContinuousClock.now.duration(to: $0)) }
                if left == .zero { return .timedOut }
                guard try socket.transport.wait(left) else { return .timedOut }
            case .datagram(let byteCount):
                var packets: [LoggedPacket] = []
                try NetlinkSocket.forEachMessage(socket.transport.datagram(byteCount)) { message throws(CodecError) in
                    if message.type == .loggedPacket { packets.append(try LoggedPacket(message)) }
                }
                pending = packets
            }
        }
        let packet = pending.removeFirst()
        return .packet(packet, lostBefore: lostBefore(packet))
    }

    private mutating func lostBefore(_ packet: LoggedPacket) -> UInt32 {
        guard let sequence = packet.sequence else { return 0 }
        defer { expected[packet.group] = sequence &+ 1 }
        return expected[packet.group].map { sequence &- $0 } ?? 0
    }
}
