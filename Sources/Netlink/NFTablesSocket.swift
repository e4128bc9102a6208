public import CLinux
internal import Glibc

/// A netlink socket for nf_tables: transactions, which take effect as a whole or not at all, and listings.
public struct NFTablesSocket: ~Copyable, Sendable {
    /// Messages sent that can modify the kernel's state, those of refused transactions among them.
    public private(set) var modificationCount = 0

    private var socket: NetlinkSocket
    private var writer = MessageWriter()
    private var sequence: UInt32 = 0
    private var sendBuffer: Int

    /// - Parameter receiveBuffer: Bytes for queued replies. The kernel reports every message of a transaction that it
    ///   refuses, with about 1 KiB each.
    public init(in namespace: NetworkNamespace = .current, receiveBuffer: Int = 8 << 20) throws(NetlinkError) {
        sendBuffer = 1 << 20
        socket = try NetlinkSocket(.tables, in: namespace, receiveBuffer: receiveBuffer, sendBuffer: sendBuffer)
    }

    /// See ``NetlinkSocket/objectCount``.
    public var objectCount: Int { socket.objectCount }

    /// The address the kernel gave to this socket.
    public var portID: UInt32 { socket.portID }

    // MARK: Transactions

    /// What became of a transaction.
    public enum Outcome: Hashable, Sendable {
        case committed
        /// Others changed something since the generation that was named; nothing took effect. Look again.
        case stale
        /// Nothing took effect; why has been reported.
        case refused
    }

    /// Sends one transaction.
    ///
    /// The messages lie between `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END` in one datagram; only the last one asks
    /// for an acknowledgement, errors come unasked.
    ///
    /// - Parameters:
    ///   - generation: What ``generation()`` said when that was looked at which the transaction builds on; nil takes
    ///     effect whatever has happened since.
    ///   - encode: Writes the messages and adds 1 to ``MessageWriter/sequence`` behind each.
    ///   - failed: Called with the number of each message that the kernel refused, from 1 in the order in which they were
    ///     written, and that message; 0 is the transaction itself. The kernel goes on looking at the others.
    /// - Throws: When the socket itself fails, or nobody knows what became of the transaction (`ENOBUFS`).
    public mutating func transact(
        generation: UInt32?, encode: (inout MessageWriter) -> Void,
        failed: (_ message: Int, _ request: RawSpan, NetlinkError) -> Void
    ) throws(NetlinkError) -> Outcome {
        writer.removeAll()
        sequence &+= 1
        let begin = sequence
        writer.sequence = begin
        writer.message(.batchBegin, [], nfgenmsg.batch) { message in
            if let generation { message.put(NFNL_BATCH_GENID, number: generation) }
        }
        let first = begin &+ 1
        writer.sequence = first
        encode(&writer)
        let operations = writer.messageCount - 1
        if operations == 0 { return .committed }
        writer.acknowledgeLast()
        let last = writer.lastSequence
        sequence = last &+ 1
        writer.sequence = sequence
        writer.message(.batchEnd, [], nfgenmsg.batch)
        if let failure = writer.takeFailure() { throw NetlinkError(failure, operation: "encode") }
        try reserve(writer.byteCount)
        modificationCount += operations
        try socket.transport.send(writer.bytes) { "nf_tables transaction" }
        return try answer(begin: begin, last: last, failed: failed)
    }

    /// The kernel takes a transaction in one piece, however large, if the socket's buffer allows it.
    private mutating func reserve(_ byteCount: Int) throws(NetlinkError) {
        // It subtracts a little for itself, and doubles what it is asked for.
        let needed = byteCount + 4096
        if needed <= sendBuffer { return }
        var size = Int32(clamping: needed)
        let length = socklen_t(MemoryLayout<Int32>.size)
        guard setsockopt(socket.transport.descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &size, length) == 0 else {
            throw .system("SO_SNDBUFFORCE")
        }
        sendBuffer = needed
    }

    private mutating func answer(
        begin: UInt32, last: UInt32, failed: (Int, RawSpan, NetlinkError) -> Void
    ) throws(NetlinkError) -> Outcome {
        var cursor = RequestCursor()
        var isAcknowledged = false
        var isStale = false
        var failures = 0
        var isOverrun = false
        // The kernel has answered everything when `send` returns: what is queued is all there will be.
        receiving: while true {
            switch try socket.transport.receive() {
            case .overrun: isOverrun = true
            case .foreign: break
            case .empty: break receiving
            case .datagram(let byteCount):
                let portID = socket.transport.portID
                try NetlinkSocket.forEachMessage(socket.transport.datagram(byteCount)) {
                    message throws(CodecError) in
                    guard message.type == .error, message.isAnswer(to: 0, of: portID) else { return }
                    let reply = try Reply(message)
                    guard let request = cursor.find(reply.request, in: writer.bytes) else { return }
                    if reply.errno == 0 {
                        if message.sequence == last { isAcknowledged = true }
                    } else if message.sequence == begin, reply.errno == ERESTART {
                        isStale = true
                    } else {
                        failures += 1
                        let bytes = writer.bytes.extracting(request)
                        let number = Int(message.sequence &- begin)
                        failed(number, bytes, reply.error(socket.family, about: bytes))
                    }
                }
            }
        }
        if isStale { return .stale }
        if failures > 0 { return .refused }
        // An error that was thrown away would have come before the acknowledgement.
        if isAcknowledged, !isOverrun { return .committed }
        throw NetlinkError(errno: isOverrun ? ENOBUFS : ETIMEDOUT, operation: "nf_tables transaction")
    }

    // MARK: Listings

    /// The number of the present state: every transaction of anybody raises it by one.
    public mutating func generation() throws(NetlinkError) -> UInt32 {
        var generation: UInt32?
        try socket.query { writer in
            writer.message(.tables(NFT_MSG_GETGEN), [], nfgenmsg(family: 0))
        } each: { message throws(CodecError) in
            generation = try NFTablesGeneration(message)?.number
        }
        guard let generation else { throw NetlinkError(errno: EBADMSG, operation: "NFT_MSG_GETGEN") }
        return generation
    }

    /// Asks for one object.
    public mutating func query(
        _ type: nf_tables_msg_types, family: UInt8, attributes: (inout MessageWriter) -> Void,
        each: (borrowing Message) throws(CodecError) -> Void
    ) throws(NetlinkError) {
        try socket.query({ $0.message(.tables(type), [], nfgenmsg(family: family), attributes) }, each: each)
    }

    /// Lists objects; see ``NetlinkSocket/dump(_:_:into:attempts:attributes:each:)``.
    ///
    /// The kernel filters rules by table and chain, sets and objects by table; chains only by family.
    public mutating func dump<State>(
        _ type: nf_tables_msg_types, family: UInt8, into initial: State,
        attributes: (inout MessageWriter) -> Void = { _ in },
        each: (inout State, borrowing Message) throws(CodecError) -> Void
    ) throws(NetlinkError) -> State {
        try socket.dump(
            .tables(type), nfgenmsg(family: family), into: initial, attributes: attributes, each: each)
    }
}

/// What the kernel says about a generation (`NFT_MSG_NEWGEN`): in answer to a question, or when a transaction brought it
/// about.
public struct NFTablesGeneration: Hashable, Sendable {
    public var number: UInt32
    /// The address of the socket that brought it about, or that asked.
    public var portID: UInt32
    /// Who brought it about, or asked.
    public var processID: UInt32?
    public var processName: String?

    /// Nil when the message is another.
    public init?(_ message: borrowing Message) throws(CodecError) {
        guard message.type == .tables(NFT_MSG_NEWGEN) else { return nil }
        portID = message.portID
        var number: UInt32?
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_GEN_ID.rawValue: number = try attribute.value(as: BigEndian<UInt32>.self).value
            case NFTA_GEN_PROC_PID.rawValue: processID = try attribute.value(as: BigEndian<UInt32>.self).value
            case NFTA_GEN_PROC_NAME.rawValue: processName = attribute.string()
            default: break
            }
        }
        guard let number else { return nil }
        self.number = number
    }
}

/// Finds the element of a `NFT_MSG_NEWSETELEM` or `NFT_MSG_DELSETELEM` that an error is about.
public enum NFTablesElements {
    /// The number of elements before that which the byte at `offset` of the message belongs to. The ends of intervals are
    /// no elements of their own. Nil when the offset is outside the list of elements.
    public static func index(at offset: Int, in request: RawSpan) -> Int? {
        let header = Wire.messageHeader + Wire.aligned(MemoryLayout<nfgenmsg>.size)
        guard offset >= header, offset < request.byteCount else { return nil }
        var lists = AttributeReader(request.extracting(droppingFirst: header))
        var position = header
        while let list = try? lists.next() {
            let end = position + Wire.attributeHeader + list.payload.byteCount
            if list.type == Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue), offset > position, offset < end {
                return index(at: offset, from: position + Wire.attributeHeader, list.nested)
            }
            position = Wire.aligned(end)
        }
        return nil
    }

    private static func index(at offset: Int, from start: Int, _ list: consuming AttributeReader) -> Int? {
        var position = start
        var count = 0
        while let element = try? list.next() {
            position += Wire.attributeHeader + Wire.aligned(element.payload.byteCount)
            let isEnd = isIntervalEnd(element.nested)
            if offset < position { return isEnd ? count - 1 : count }
            if !isEnd { count += 1 }
        }
        return nil
    }

    private static func isIntervalEnd(_ attributes: consuming AttributeReader) -> Bool {
        while let attribute = try? attributes.next() {
            if attribute.type == Int(NFTA_SET_ELEM_FLAGS.rawValue),
                let flags = try? attribute.value(as: BigEndian<UInt32>.self)
            {
                return flags.value & NFT_SET_ELEM_INTERVAL_END.rawValue != 0
            }
        }
        return false
    }
}
