public import CLinux

/// Encodes netlink messages one behind the other into one buffer that is used again and again.
///
/// No allocation happens per message or attribute; the buffer grows when it is too small, which after the first
/// batches it never is. Every `put` does one bounds check. Layout: linux/netlink.h (`struct nlmsghdr`,
/// `struct nlattr`); all attributes are padded to 4 bytes with zeros.
///
/// ```swift
/// // ip route add 10.0.0.1/32 nhid 7 table 100
/// writer.message(MessageType(RTM_NEWROUTE), [.create, .exclusive], header) { message in
///     message.put(RTA_TABLE.rawValue, UInt32(100))
///     message.put(RTA_DST.rawValue, BigEndian(UInt32(0x0A00_0001)))
///     message.put(RTA_NH_ID.rawValue, UInt32(7))
/// }
/// ```
public struct MessageWriter: ~Copyable, @unchecked Sendable {
    // Sendable although it holds a pointer: it is the only owner of that memory, and it cannot be copied.
    @usableFromInline var base: UnsafeMutableRawPointer
    @usableFromInline var capacity: Int
    @usableFromInline var position = 0
    @usableFromInline var messages = 0
    /// The `nlmsg_seq` that the next messages get. Replies name it.
    public var sequence: UInt32 = 0
    /// Where the last complete message starts.
    @usableFromInline var lastMessage = 0
    /// Why the last message could not be encoded; such a message is taken back out of the buffer.
    @usableFromInline var failed: CodecError?

    /// - Parameter capacity: Bytes to reserve at once.
    public init(capacity: Int = 16 << 10) {
        precondition(capacity > 0)
        base = .allocate(byteCount: capacity, alignment: 16)
        self.capacity = capacity
    }

    deinit { base.deallocate() }

    /// Bytes written.
    @inlinable public var byteCount: Int { position }

    /// Complete messages written.
    @inlinable public var messageCount: Int { messages }

    /// Forgets everything written; the memory and the sequence number stay.
    public mutating func removeAll() {
        position = 0
        messages = 0
        lastMessage = 0
        failed = nil
    }

    /// Why a message since the last call could not be encoded, or nil. Until this is called no message is written.
    public mutating func takeFailure() -> CodecError? {
        defer { failed = nil }
        return failed
    }

    /// What was written so far.
    public var bytes: RawSpan {
        @_lifetime(borrow self) borrowing get {
            let span = RawSpan(_unsafeStart: UnsafeRawPointer(base), byteCount: position)
            return _overrideLifetime(span, borrowing: self)
        }
    }

    // MARK: Messages

    /// Writes one message: `header` is the fixed structure its type starts with (`rtmsg`, `ifinfomsg`, …), `body` puts
    /// the attributes. `NLM_F_REQUEST` and the sequence number are set here.
    ///
    /// When an attribute is too long for its 16-bit length, the message is taken back and ``takeFailure()`` says why; when
    /// `body` throws, it is taken back too.
    @inlinable @inline(__always)
    public mutating func message<Header: BitwiseCopyable, Failure: Error>(
        _ type: MessageType, _ flags: MessageFlags, _ header: Header,
        _ body: (inout MessageWriter) throws(Failure) -> Void
    ) throws(Failure) {
        let start = position
        begin(type, flags, header)
        do {
            try body(&self)
        } catch {
            position = start
            throw error
        }
        end(start)
    }

    /// Writes one message without attributes.
    @inlinable @inline(__always)
    public mutating func message<Header: BitwiseCopyable>(_ type: MessageType, _ flags: MessageFlags, _ header: Header)
    {
        let start = position
        begin(type, flags, header)
        end(start)
    }

    @inlinable @inline(__always)
    mutating func begin<Header: BitwiseCopyable>(_ type: MessageType, _ flags: MessageFlags, _ header: Header) {
        let size = MemoryLayout<Header>.size
        let length = Wire.aligned(Wire.messageHeader + size)
        let start = claim(length)
        // nlmsg_len is written by end().
        start.storeBytes(of: type.rawValue, toByteOffset: 4, as: UInt16.self)
        start.storeBytes(of: flags.rawValue | Self.requestFlag, toByteOffset: 6, as: UInt16.self)
        start.storeBytes(of: sequence, toByteOffset: 8, as: UInt32.self)
        start.storeBytes(of: 0, toByteOffset: 12, as: UInt32.self)  // nlmsg_pid: 0 lets the kernel fill it in
        if size & 3 != 0 { start.storeBytes(of: 0, toByteOffset: length &- 4, as: UInt32.self) }
        start.storeBytes(of: header, toByteOffset: Wire.messageHeader, as: Header.self)
    }

    @inlinable @inline(__always)
    mutating func end(_ start: Int) {
        if failed != nil {
            position = start
            return
        }
        base.storeBytes(of: UInt32(truncatingIfNeeded: position &- start), toByteOffset: start, as: UInt32.self)
        lastMessage = start
        messages &+= 1
    }

    @inlinable static var requestFlag: UInt16 { UInt16(truncatingIfNeeded: NLM_F_REQUEST) }

    /// The sequence number of the last complete message, 0 when there is none.
    var lastSequence: UInt32 {
        messages == 0 ? 0 : base.loadUnaligned(fromByteOffset: lastMessage + 8, as: UInt32.self)
    }

    /// Asks for an answer to the last message even when all goes well.
    mutating func acknowledgeLast() {
        guard messages > 0 else { return }
        let flags = base.loadUnaligned(fromByteOffset: lastMessage + 6, as: UInt16.self)
        let acknowledged = flags | MessageFlags.acknowledge.rawValue
        base.storeBytes(of: acknowledged, toByteOffset: lastMessage + 6, as: UInt16.self)
    }

    // MARK: Attributes

    /// Puts a number or a C structure, byte for byte.
    ///
    /// - Parameters:
    ///   - type: The attribute's number, as the kernel's headers name it: `IFLA_MTU`, `RTA_OIF.rawValue`.
    ///   - value: Its width is part of the format: `UInt32(1500)`, not `1500`. See ``BigEndian`` for network order.
    @inlinable @inline(__always)
    public mutating func put<Value: BitwiseCopyable>(_ type: some BinaryInteger, _ value: Value) {
        let size = MemoryLayout<Value>.size
        let length = Wire.aligned(Wire.attributeHeader + size)
        let start = claim(length)
        start.storeBytes(of: UInt16(truncatingIfNeeded: Wire.attributeHeader + size), as: UInt16.self)
        start.storeBytes(of: UInt16(truncatingIfNeeded: type), toByteOffset: 2, as: UInt16.self)
        if size & 3 != 0 { start.storeBytes(of: 0, toByteOffset: length &- 4, as: UInt32.self) }
        start.storeBytes(of: value, toByteOffset: Wire.attributeHeader, as: Value.self)
    }

    @available(*, unavailable, message: "say how wide the attribute is: UInt8, UInt16, UInt32, UInt64")
    public mutating func put(_ type: some BinaryInteger, _ value: Int) {}

    /// Puts a flag: an attribute without a value, whose presence is the value.
    @inlinable @inline(__always)
    public mutating func put(flag type: some BinaryInteger) {
        let start = claim(Wire.attributeHeader)
        start.storeBytes(of: UInt16(Wire.attributeHeader), as: UInt16.self)
        start.storeBytes(of: UInt16(truncatingIfNeeded: type), toByteOffset: 2, as: UInt16.self)
    }

    /// Puts text with the zero byte that the kernel's `NLA_STRING` and `NLA_NUL_STRING` attributes end with.
    public mutating func put(_ type: some BinaryInteger, _ text: String) {
        var text = text
        let type = UInt16(truncatingIfNeeded: type)
        text.withUTF8 { put(type, UnsafeRawBufferPointer($0), zeros: 1) }
    }

    /// Puts bytes as they are.
    public mutating func put(_ type: some BinaryInteger, bytes: RawSpan) {
        let type = UInt16(truncatingIfNeeded: type)
        bytes.withUnsafeBytes { put(type, $0, zeros: 0) }
    }

    /// Puts the first `count` bytes of `value`'s memory: for addresses of which only a part is sent.
    @inlinable
    public mutating func put<Value: BitwiseCopyable>(_ type: some BinaryInteger, _ value: Value, count: Int) {
        let type = UInt16(truncatingIfNeeded: type)
        withUnsafeBytes(of: value) { put(type, UnsafeRawBufferPointer(rebasing: $0.prefix(count)), zeros: 0) }
    }

    /// Puts an array of numbers or C structures, one behind the other, as `NHA_GROUP` wants them.
    public mutating func put<Element: BitwiseCopyable>(_ type: some BinaryInteger, array: [Element]) {
        let type = UInt16(truncatingIfNeeded: type)
        array.withUnsafeBytes { put(type, $0, zeros: 0) }
    }

    @usableFromInline
    mutating func put(_ type: UInt16, _ bytes: UnsafeRawBufferPointer, zeros: Int) {
        let size = Wire.attributeHeader + bytes.count + zeros
        guard size <= Wire.attributeLimit else {
            failed = failed ?? .attributeTooLong(type: type, length: bytes.count + zeros)
            return
        }
        let length = Wire.aligned(size)
        let start = claim(length)
        start.storeBytes(of: 0, toByteOffset: length - 4, as: UInt32.self)
        start.storeBytes(of: UInt16(size), as: UInt16.self)
        start.storeBytes(of: type, toByteOffset: 2, as: UInt16.self)
        if let source = bytes.baseAddress {
            (start + Wire.attributeHeader).copyMemory(from: source, byteCount: bytes.count)
        }
        if zeros > 0 { start.storeBytes(of: 0, toByteOffset: Wire.attributeHeader + bytes.count, as: UInt8.self) }
    }

    /// Puts an attribute that contains attributes, marked with `NLA_F_NESTED` as strict kernels demand.
    @inlinable @inline(__always)
    public mutating func nested<Failure: Error>(
        _ type: some BinaryInteger, _ body: (inout MessageWriter) throws(Failure) -> Void
    ) throws(Failure) {
        let start = position
        _ = claim(Wire.attributeHeader)
        try body(&self)
        let type = UInt16(truncatingIfNeeded: type)
        let length = position &- start
        if length > Wire.attributeLimit {
            tooLong(type, length &- Wire.attributeHeader)
            return
        }
        base.storeBytes(of: UInt16(truncatingIfNeeded: length), toByteOffset: start, as: UInt16.self)
        base.storeBytes(of: type | Wire.nested, toByteOffset: start &+ 2, as: UInt16.self)
    }

    /// Writes a structure in the middle of attributes, where a nested message header is expected (`VETH_INFO_PEER`
    /// starts with an `ifinfomsg`).
    @inlinable @inline(__always)
    public mutating func put<Header: BitwiseCopyable>(structure: Header) {
        let size = MemoryLayout<Header>.size
        let length = Wire.aligned(size)
        let start = claim(length)
        if size & 3 != 0 { start.storeBytes(of: 0, toByteOffset: length &- 4, as: UInt32.self) }
        start.storeBytes(of: structure, as: Header.self)
    }

    // MARK: Room

    /// Takes `length` bytes, whose content is undefined, and says where they are.
    @inlinable @inline(__always)
    mutating func claim(_ length: Int) -> UnsafeMutableRawPointer {
        let end = position &+ length
        if end > capacity { grow(to: end) }
        let start = base + position
        position = end
        return start
    }

    @usableFromInline @inline(never)
    mutating func grow(to needed: Int) {
        let larger = max(needed, capacity * 2)
        let replacement = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        replacement.copyMemory(from: base, byteCount: position)
        base.deallocate()
        base = replacement
        capacity = larger
    }

    @usableFromInline @inline(never)
    mutating func tooLong(_ type: UInt16, _ length: Int) {
        failed = failed ?? .attributeTooLong(type: type, length: length)
    }
}
