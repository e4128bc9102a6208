internal import CLinux
internal import Glibc

/// A netlink socket for requests: single changes, batches of changes, queries and dumps.
///
/// Exactly one owner, and so one thread at a time: rtnetlink serialises writers anyway, a second socket would not make
/// anything faster. Extended acknowledgements are on, GET requests are checked strictly (so that the kernel filters
/// dumps), buffers are forced to the sizes asked for where the process may.
public struct NetlinkSocket: ~Copyable, Sendable {
    public let family: NetlinkProtocol
    /// How many messages were sent that can modify the kernel's state. A plan that is empty leaves it as it was.
    public private(set) var modificationCount = 0
    /// How many objects were received in answers to queries and dumps, those of interrupted dumps among them.
    public private(set) var objectCount = 0

    /// For tests of what is left when something fails half-way.
    package var refusal: InjectedRefusal?

    var transport: Transport
    private var writer = MessageWriter()
    private var sequence: UInt32 = 0

    /// How long to wait for an answer that the kernel should have queued before `send` returned. Only a guard against
    /// waiting for ever.
    static let replyTimeout = Duration.seconds(10)

    /// Opens a socket in a network namespace; it stays there whatever thread uses it later.
    ///
    /// - Parameters:
    ///   - receiveBuffer: Bytes for queued replies. A message that fails takes about 1 KiB.
    ///   - sendBuffer: The largest batch the kernel accepts.
    public init(
        _ family: NetlinkProtocol = .route, in namespace: NetworkNamespace = .current, receiveBuffer: Int = 4 << 20,
        sendBuffer: Int = 1 << 20
    ) throws(NetlinkError) {
        self.family = family
        transport = try namespace.enter { () throws(NetlinkError) in
            try Transport(family, receiveBuffer: receiveBuffer, sendBuffer: sendBuffer)
        }
    }

    /// The address the kernel gave to this socket.
    public var portID: UInt32 { transport.portID }

    // MARK: Changes

    /// How much goes into one `send`.
    public struct BatchLimits: Sendable {
        /// Measured: below 64 the system call shows, above 256 nothing is gained.
        public var messages: Int
        /// A batch is sent when it has grown to this size; must stay well below the socket's send buffer.
        public var bytes: Int

        public init(messages: Int = 256, bytes: Int = 64 << 10) {
            self.messages = messages
            self.bytes = bytes
        }
    }

    /// What became of a batch. Some changes failing while others took effect is normal: rtnetlink neither stops at the
    /// first error nor rolls back.
    public struct BatchOutcome: Hashable, Sendable {
        /// Messages sent.
        public var messages = 0
        /// Changes that failed and were reported.
        public var failures = 0
        /// The kernel dropped replies because the receive queue was full: more changes than reported may have failed.
        /// The only remedy is to look at what is there now.
        public var repliesLost = false

        public init() {}
    }

    /// Sends many changes, in order, many per system call.
    ///
    /// Only the last message of each `send` asks for an acknowledgement; the kernel reports errors of the others
    /// without being asked.
    ///
    /// - Parameters:
    ///   - count: How many changes.
    ///   - encode: Writes the messages (usually one) of the change with that index. All of them bear one sequence
    ///     number, by which errors find back to the index.
    ///   - failed: Called with the index of each change that failed, at most once per message.
    /// - Throws: ``NetlinkError`` when the socket itself fails; what was sent before then stands.
    public mutating func commit(
        _ count: Int, limits: BatchLimits = BatchLimits(),
        encode: (_ index: Int, _ writer: inout MessageWriter) -> Void,
        failed: (_ index: Int, NetlinkError) -> Void
    ) throws(NetlinkError) -> BatchOutcome {
        var outcome = BatchOutcome()
        // A sequence number is `first` plus the index; the next batch continues behind this one.
        let first = sequence &+ 1
        sequence = sequence &+ UInt32(truncatingIfNeeded: count)
        writer.removeAll()
        for index in 0..<count {
            writer.sequence = first &+ UInt32(truncatingIfNeeded: index)
            encode(index, &writer)
            if let failure = writer.takeFailure() {
                outcome.failures += 1
                failed(index, NetlinkError(failure, operation: "encode"))
            }
            guard writer.messageCount >= limits.messages || writer.byteCount >= limits.bytes || index == count - 1,
                writer.messageCount > 0
            else { continue }
            try flush(&outcome) { sequence, error in failed(Int(sequence &- first), error) }
        }
        return outcome
    }

    /// Makes one change.
    ///
    /// ```swift
    /// // ip link set dev eth0 up
    /// try socket.modify { $0.message(MessageType(RTM_NEWLINK), [], header) }
    /// ```
    /// - Throws: The first error the kernel reports.
    public mutating func modify(_ encode: (inout MessageWriter) -> Void) throws(NetlinkError) {
        var first: NetlinkError?
        let outcome = try commit(1) { _, writer in
            encode(&writer)
        } failed: { _, error in
            first = first ?? error
        }
        if let first { throw first }
        if outcome.repliesLost { throw NetlinkError(errno: ENOBUFS, operation: "receive acknowledgement") }
    }

    /// Sends what the writer holds and collects the answers.
    private mutating func flush(
        _ outcome: inout BatchOutcome, failed: (UInt32, NetlinkError) -> Void
    ) throws(NetlinkError) {
        if let refusal, let position = refusal.claim(writer.messageCount) {
            let (sequence, type) = writer.disarm(position)
            outcome.failures += 1
            failed(sequence, refusal.refusal(of: family.name(of: type)))
        }
        writer.acknowledgeLast()
        outcome.messages += writer.messageCount
        modificationCount += writer.messageCount
        let family = self.family
        try transport.send(writer.bytes) { Self.operation(family, of: writer.bytes) }
        let last = writer.lastSequence
        var cursor = RequestCursor()
        var overrun = false
        var acknowledged = false
        while !acknowledged {
            switch try transport.receive() {
            case .overrun:
                // The answer waited for may be among those dropped: from here on take only what is there.
                overrun = true
            case .foreign: break
            case .empty:
                if overrun {
                    outcome.repliesLost = true
                    acknowledged = true
                } else if !(try transport.wait(Self.replyTimeout)) {
                    throw NetlinkError(errno: ETIMEDOUT, operation: "receive acknowledgement")
                }
            case .datagram(let byteCount):
                let portID = transport.portID
                try Self.forEachMessage(transport.datagram(byteCount)) { message throws(CodecError) in
                    guard message.type == .error, message.isAnswer(to: 0, of: portID) else { return }
                    let reply = try Reply(message)
                    // Answers to an earlier request that had been given up.
                    guard let request = cursor.find(reply.request, in: writer.bytes) else { return }
                    if reply.errno != 0 {
                        outcome.failures += 1
                        failed(message.sequence, reply.error(family, about: writer.bytes.extracting(request)))
                    }
                    if message.sequence == last, reply.request.nlmsg_flags & MessageFlags.acknowledge.rawValue != 0 {
                        acknowledged = true
                    }
                }
            }
        }
        if overrun { outcome.repliesLost = true }
        writer.removeAll()
    }

    // MARK: Queries

    /// Asks for one object.
    ///
    /// - Parameters:
    ///   - encode: Writes the GET message.
    ///   - each: Called with every message of the answer, usually one.
    public mutating func query(
        _ encode: (inout MessageWriter) -> Void,
        each: (borrowing Message) throws(CodecError) -> Void
    ) throws(NetlinkError) {
        sequence &+= 1
        writer.removeAll()
        writer.sequence = sequence
        encode(&writer)
        let family = self.family
        if let failure = writer.takeFailure() { throw NetlinkError(failure, operation: "encode") }
        precondition(writer.messageCount == 1, "a query is one message")
        writer.acknowledgeLast()
        try transport.send(writer.bytes) { Self.operation(family, of: writer.bytes) }
        guard try answer(each) else {
            throw NetlinkError(errno: ENOBUFS, operation: Self.operation(family, of: writer.bytes))
        }
    }

    /// Asks for many objects, many questions per system call. The kernel answers all of them before the call returns.
    ///
    /// - Parameters:
    ///   - count: How many questions.
    ///   - limit: How many go into one `send`. The answers to them wait together: some 4 KiB each.
    ///   - encode: Writes the one GET message of the question with that index.
    ///   - each: Called with every message of the answers.
    ///   - failed: Called for each question that the kernel answers with an error.
    public mutating func query(
        _ count: Int, limit: Int = 64, encode: (_ index: Int, _ writer: inout MessageWriter) -> Void,
        each: (_ index: Int, borrowing Message) throws(CodecError) -> Void,
        failed: (_ index: Int, NetlinkError) -> Void
    ) throws(NetlinkError) {
        let first = sequence &+ 1
        sequence = sequence &+ UInt32(truncatingIfNeeded: count)
        for start in stride(from: 0, to: count, by: limit) {
            writer.removeAll()
            for index in start..<min(start + limit, count) {
                writer.sequence = first &+ UInt32(truncatingIfNeeded: index)
                encode(index, &writer)
            }
            if let failure = writer.takeFailure() { throw NetlinkError(failure, operation: "encode") }
            try exchange(first, each, failed)
        }
        writer.removeAll()
    }

    /// Sends the questions that the writer holds and takes all answers.
    private mutating func exchange(
        _ first: UInt32, _ each: (Int, borrowing Message) throws(CodecError) -> Void,
        _ failed: (Int, NetlinkError) -> Void
    ) throws(NetlinkError) {
        writer.acknowledgeLast()
        let (family, portID, last) = (family, transport.portID, writer.lastSequence)
        try transport.send(writer.bytes) { Self.operation(family, of: writer.bytes) }
        let questions = UInt32(truncatingIfNeeded: writer.messageCount)
        var cursor = RequestCursor()
        var isOver = false
        while !isOver {
            switch try transport.receive() {
            case .overrun: throw NetlinkError(errno: ENOBUFS, operation: Self.operation(family, of: writer.bytes))
            case .foreign: break
            case .empty:
                guard try transport.wait(Self.replyTimeout) else {
                    throw NetlinkError(
                        errno: ETIMEDOUT, operation: Self.operation(family, of: writer.bytes),
                        message: "the kernel did not answer")
                }
            case .datagram(let byteCount):
                var objects = 0
                try Self.forEachMessage(transport.datagram(byteCount)) { message throws(CodecError) in
                    // Else an answer to an earlier question that was given up.
                    guard message.portID == portID, last &- message.sequence < questions else { return }
                    let index = Int(message.sequence &- first)
                    guard message.type == .error else {
                        objects += 1
                        return try each(index, message)
                    }
                    if message.sequence == last { isOver = true }
                    let reply = try Reply(message)
                    guard reply.errno != 0, let request = cursor.find(reply.request, in: writer.bytes) else { return }
                    failed(index, reply.error(family, about: writer.bytes.extracting(request)))
                }
                objectCount += objects
            }
        }
    }

    /// Lists objects.
    ///
    /// The kernel filters by what the header and the attributes of the request name, where it can; what it cannot
    /// filter by it rejects. When objects change while they are listed, the list is started over.
    ///
    /// ```swift
    /// // ip route show table 100
    /// let count = try socket.dump(MessageType(RTM_GETROUTE), header, into: 0) { writer in
    ///     writer.put(RTA_TABLE.rawValue, UInt32(100))
    /// } each: { count, message throws(CodecError) in count += 1 }
    /// ```
    /// - Parameters:
    ///   - initial: What each attempt starts with.
    ///   - attempts: How many interrupted dumps are tolerated before giving up with `EINTR`.
    ///   - enough: After so many objects, and those that came with the last of them, no more are read. The kernel is then in
    ///     the middle of its answer: the socket is good for no other question.
    ///   - each: Called with every object; the message's bytes are valid only during the call.
    public mutating func dump<Header: BitwiseCopyable, State>(
        _ type: MessageType, _ header: Header, into initial: @autoclosure () -> State, attempts: Int = 16,
        enough: Int = .max, attributes: (inout MessageWriter) -> Void = { _ in },
        each: (inout State, borrowing Message) throws(CodecError) -> Void
    ) throws(NetlinkError) -> State {
        for _ in 0..<attempts {
            sequence &+= 1
            writer.removeAll()
            writer.sequence = sequence
            writer.message(type, .dump, header, attributes)
            let family = self.family
            if let failure = writer.takeFailure() { throw NetlinkError(failure, operation: family.name(of: type)) }
            try transport.send(writer.bytes) { Self.operation(family, of: writer.bytes) }
            var state = initial()
            let complete = try answer(enough: enough) { message throws(CodecError) in try each(&state, message) }
            if complete { return state }
        }
        throw NetlinkError(
            errno: EINTR, operation: family.name(of: type),
            message: "objects kept changing while they were listed, \(attempts) times in a row")
    }

    /// Takes messages until the one that ends the answer to the request in the writer.
    ///
    /// - Returns: False when the answer is not to be relied on and the request should be repeated.
    private mutating func answer(
        enough: Int = .max, _ each: (borrowing Message) throws(CodecError) -> Void
    ) throws(NetlinkError) -> Bool {
        let family = self.family
        let portID = transport.portID
        let sequence = self.sequence
        var progress = AnswerProgress()
        while !progress.isOver, progress.objects < enough {
            switch try transport.receive() {
            case .overrun:
                // Nothing of a dump is thrown away by the kernel, which waits for us to read; but an error or the end
                // may have been.
                progress.interrupted = true
                progress.overrun = true
            case .foreign: break
            case .empty:
                if progress.overrun { return false }
                guard try transport.wait(Self.replyTimeout) else {
                    throw NetlinkError(
                        errno: ETIMEDOUT, operation: Self.operation(family, of: writer.bytes),
                        message: "the kernel did not answer")
                }
            case .datagram(let byteCount):
                try Self.forEachMessage(transport.datagram(byteCount)) { message throws(CodecError) in
                    guard message.isAnswer(to: sequence, of: portID), !progress.isOver else { return }
                    try progress.take(message, each)
                }
            }
        }
        objectCount += progress.objects
        if let reply = progress.failure, reply.errno != 0 {
            throw reply.error(family, about: writer.bytes)
        }
        return !progress.interrupted
    }

    // MARK: Pieces

    /// What the first message of a request is called.
    private static func operation(_ family: NetlinkProtocol, of bytes: RawSpan) -> String {
        var messages = MessageReader(bytes)
        guard let message = try? messages.next() else { return "netlink message" }
        return family.name(of: message.type)
    }

    static func forEachMessage(
        _ bytes: RawSpan, _ body: (borrowing Message) throws(CodecError) -> Void
    ) throws(NetlinkError) {
        do {
            var messages = MessageReader(bytes)
            while let message = try messages.next() { try body(message) }
        } catch {
            throw NetlinkError(error, operation: "read netlink message")
        }
    }
}

/// How far the answer to one request has come. Apart from the socket so that it can be fed with any bytes.
struct AnswerProgress {
    var isOver = false
    var interrupted = false
    var overrun = false
    var failure: Reply?
    /// Messages handed over.
    var objects = 0

    mutating func take(
        _ message: borrowing Message, _ each: (borrowing Message) throws(CodecError) -> Void
    ) throws(CodecError) {
        if message.flags.contains(.dumpInterrupted) { interrupted = true }
        switch message.type {
        case .noop: break
        case .error:
            failure = try Reply(message)
            isOver = true
        case .done:
            // A dump that failed on the way says so here.
            failure = try Reply(done: message)
            isOver = true
        default:
            objects += 1
            try each(message)
        }
    }
}

/// The kernel's verdict on one message (`struct nlmsgerr` and the attributes behind it).
struct Reply: Sendable {
    /// Positive; 0 is an acknowledgement.
    var errno: Int32
    /// The header of the message that this is about.
    var request = nlmsghdr()
    var message: String?
    var offset: UInt32?
    var missingType: UInt32?
    var missingNest: UInt32?

    init(_ message: borrowing Message) throws(CodecError) {
        let header = try message.header(as: nlmsgerr.self)
        errno = Self.positive(header.error)
        request = header.msg
        guard message.flags.contains(.extendedAcknowledgement) else { return }
        var position = Wire.messageHeader + MemoryLayout<nlmsgerr>.size
        // Unless it was cut off, the body of the request lies in between.
        if !message.flags.contains(.capped) {
            position += Wire.aligned(max(Int(request.nlmsg_len) - Wire.messageHeader, 0))
        }
        let bytes = message.bytes
        try read(AttributeReader(bytes.extracting(droppingFirst: min(position, bytes.byteCount))))
    }

    /// The end of a dump carries an error number, 0 or a positive count if all went well.
    init(done message: borrowing Message) throws(CodecError) {
        let payload = message.payload
        guard payload.byteCount >= MemoryLayout<Int32>.size else {
            errno = 0
            return
        }
        let result = try message.header(as: Int32.self)
        errno = result < 0 ? Self.positive(result) : 0
        guard message.flags.contains(.extendedAcknowledgement) else { return }
        try read(message.attributes(after: Int32.self))
    }

    private static func positive(_ error: Int32) -> Int32 { error == .min ? .max : abs(error) }

    private mutating func read(_ attributes: consuming AttributeReader) throws(CodecError) {
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NLMSGERR_ATTR_MSG.rawValue: message = attribute.string()
            case NLMSGERR_ATTR_OFFS.rawValue: offset = try attribute.value(as: UInt32.self)
            case NLMSGERR_ATTR_MISS_TYPE.rawValue: missingType = try attribute.value(as: UInt32.self)
            case NLMSGERR_ATTR_MISS_NEST.rawValue: missingNest = try attribute.value(as: UInt32.self)
            default: break
            }
        }
    }

    /// The error in words; `request` is the whole message that was sent.
    func error(_ family: NetlinkProtocol, about request: RawSpan) -> NetlinkError {
        var messages = MessageReader(request)
        guard let sent = try? messages.next() else {
            return NetlinkError(errno: errno, operation: "netlink message", message: message)
        }
        var error = NetlinkError(errno: errno, operation: family.name(of: sent.type), message: message)
        error.attributeOffset = offset.map(Int.init)
        guard let names = family.names(sent.type) else { return error }
        let start = Wire.aligned(Wire.messageHeader + names.headerLength)
        let bytes = sent.bytes
        guard start <= bytes.byteCount else { return error }
        let attributes = bytes.extracting(droppingFirst: start)
        if let missingType {
            error.isMissing = true
            error.attribute = names.attributes.path(
                to: missingNest.map { Int($0) - start } ?? -1, missing: Int(missingType), in: attributes)?
                .joined(separator: ".")
        } else if let offset {
            error.attribute = names.attributes.path(to: Int(offset) - start, in: attributes)?.joined(separator: ".")
        }
        return error
    }
}

/// Finds which of the messages sent an answer is about. Answers come in the order of the messages.
struct RequestCursor {
    private var position = 0

    /// Where the message lies in `sent`, or nil when it is none of them.
    mutating func find(_ header: nlmsghdr, in sent: RawSpan) -> Range<Int>? {
        var start = position
        while start + Wire.messageHeader <= sent.byteCount {
            let candidate = sent.unsafeLoadUnaligned(fromByteOffset: start, as: nlmsghdr.self)
            let end = start + Wire.aligned(Int(candidate.nlmsg_len))
            guard end > start, end <= sent.byteCount else { return nil }
            if candidate.nlmsg_seq == header.nlmsg_seq, candidate.nlmsg_type == header.nlmsg_type,
                candidate.nlmsg_len == header.nlmsg_len
            {
                position = end
                return start..<end
            }
            start = end
        }
        return nil
    }
}
