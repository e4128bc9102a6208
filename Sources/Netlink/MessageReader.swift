internal import CMNL

/// Walks the messages of one datagram. Cannot outlive the bytes; allocates nothing.
///
/// ```swift
/// var messages = MessageReader(bytes)
/// while let message = try messages.next() { … }
/// ```
public struct MessageReader: ~Escapable {
    @usableFromInline var rest: RawSpan

    @_lifetime(copy bytes)
    @inlinable public init(_ bytes: RawSpan) { rest = bytes }

    /// The next message, or nil at the end of the bytes.
    ///
    /// - Throws: ``CodecError`` when the bytes cannot be a message. Every call consumes at least a header's worth of
    ///   bytes or throws, so that a loop over any input ends.
    @_lifetime(copy self)
    public mutating func next() throws(CodecError) -> Message? {
        let available = rest.byteCount
        if available == 0 { return nil }
        let isWhole = rest.withUnsafeBytes { bytes in
            mnl_nlmsg_ok(bytes.baseAddress?.assumingMemoryBound(to: nlmsghdr.self), Int32(clamping: bytes.count))
        }
        guard available >= Wire.messageHeader else { throw .truncatedMessageHeader(available: available) }
        let length = rest.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt32.self)
        // libmnl compares lengths with a sign: one of 2 GiB and more is less than everything to it.
        guard isWhole, Int(length) <= available else { throw .messageLength(length, available: available) }
        let message = Message(rest.extracting(first: Int(length)))
        rest = rest.extracting(droppingFirst: min(Wire.aligned(Int(length)), available))
        return message
    }
}

/// One message: its header's fields and the bytes behind it. Cannot outlive the bytes it was read from.
public struct Message: ~Escapable {
    /// The message with its header.
    public let bytes: RawSpan

    /// - Precondition: `bytes` holds a whole header.
    @_lifetime(copy bytes)
    @inlinable init(_ bytes: RawSpan) { self.bytes = bytes }

    @inlinable public var type: MessageType {
        MessageType(rawValue: bytes.unsafeLoadUnaligned(fromByteOffset: 4, as: UInt16.self))
    }

    @inlinable public var flags: MessageFlags {
        MessageFlags(rawValue: bytes.unsafeLoadUnaligned(fromByteOffset: 6, as: UInt16.self))
    }

    @inlinable public var sequence: UInt32 { bytes.unsafeLoadUnaligned(fromByteOffset: 8, as: UInt32.self) }

    @inlinable public var portID: UInt32 { bytes.unsafeLoadUnaligned(fromByteOffset: 12, as: UInt32.self) }

    /// Whether this may be an answer to the request with that number, from the socket with that address.
    func isAnswer(to sequence: UInt32, of portID: UInt32) -> Bool {
        bytes.withUnsafeBytes { bytes in
            let header = bytes.baseAddress?.assumingMemoryBound(to: nlmsghdr.self)
            return mnl_nlmsg_seq_ok(header, sequence) && mnl_nlmsg_portid_ok(header, portID)
        }
    }

    /// Everything behind the message header.
    @inlinable public var payload: RawSpan {
        @_lifetime(copy self) get { bytes.extracting(droppingFirst: Wire.messageHeader) }
    }

    /// The fixed structure that messages of this type start with: `rtmsg`, `ifinfomsg`, `nhmsg`, ….
    @inlinable
    public func header<Header: BitwiseCopyable>(as type: Header.Type) throws(CodecError) -> Header {
        let available = bytes.byteCount - Wire.messageHeader
        guard available >= MemoryLayout<Header>.size else {
            throw .truncatedPayload(type: self.type.rawValue, length: available, expected: MemoryLayout<Header>.size)
        }
        return bytes.unsafeLoadUnaligned(fromByteOffset: Wire.messageHeader, as: Header.self)
    }

    /// The attributes behind the fixed structure.
    @_lifetime(copy self)
    @inlinable
    public func attributes<Header: BitwiseCopyable>(after type: Header.Type) -> AttributeReader {
        let offset = min(Wire.aligned(Wire.messageHeader + MemoryLayout<Header>.size), bytes.byteCount)
        return AttributeReader(bytes.extracting(droppingFirst: offset))
    }
}

/// Walks attributes that lie one behind the other. Cannot outlive the bytes; allocates nothing.
public struct AttributeReader: ~Escapable {
    @usableFromInline var rest: RawSpan

    @_lifetime(copy bytes)
    @inlinable public init(_ bytes: RawSpan) { rest = bytes }

    /// The next attribute, or nil at the end.
    ///
    /// - Throws: ``CodecError`` when the bytes cannot be an attribute. Every call consumes at least a header's worth of
    ///   bytes or throws, so that a loop over any input ends.
    @_lifetime(copy self)
    @inlinable
    public mutating func next() throws(CodecError) -> Attribute? {
        let available = rest.byteCount
        if available == 0 { return nil }
        guard available >= Wire.attributeHeader else {
            throw .truncatedAttributeHeader(available: available)
        }
        let length = rest.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt16.self)
        let type = rest.unsafeLoadUnaligned(fromByteOffset: 2, as: UInt16.self)
        guard Int(length) >= Wire.attributeHeader, Int(length) <= available else {
            throw .attributeLength(length, type: type, available: available)
        }
        let attribute = Attribute(rawType: type, payload: rest.extracting(Wire.attributeHeader..<Int(length)))
        // The padding behind the last attribute may be missing.
        rest = rest.extracting(droppingFirst: min(Wire.aligned(Int(length)), available))
        return attribute
    }
}

/// One attribute: its number and the bytes of its value. Cannot outlive the bytes it was read from.
public struct Attribute: ~Escapable {
    /// With the flags in the two high bits.
    @usableFromInline let rawType: UInt16
    /// The value without padding.
    public let payload: RawSpan

    @_lifetime(copy payload)
    @inlinable init(rawType: UInt16, payload: RawSpan) {
        self.rawType = rawType
        self.payload = payload
    }

    /// The attribute's number without its flag bits, as wide as the kernel's headers import: compare with `IFLA_MTU`.
    @inlinable public var type: Int { Int(rawType & Wire.typeMask) }

    /// Whether the sender said that attributes are inside. The kernel does not always say so.
    @inlinable public var isNested: Bool { rawType & Wire.nested != 0 }

    /// The value as a number or C structure; bytes behind it are ignored, because newer kernels may append fields.
    @inlinable
    public func value<Value: BitwiseCopyable>(as type: Value.Type) throws(CodecError) -> Value {
        guard payload.byteCount >= MemoryLayout<Value>.size else {
            throw .attributeValue(
                type: UInt16(self.type), length: payload.byteCount, expected: MemoryLayout<Value>.size)
        }
        return payload.unsafeLoadUnaligned(fromByteOffset: 0, as: Value.self)
    }

    /// The value's element at `index`, of an array of numbers or C structures.
    ///
    /// - Precondition: `index` is less than ``count(of:)``.
    @inlinable
    public func element<Value: BitwiseCopyable>(_ index: Int, as type: Value.Type) -> Value {
        payload.unsafeLoadUnaligned(fromByteOffset: index * MemoryLayout<Value>.stride, as: Value.self)
    }

    /// How many whole elements the value holds.
    @inlinable
    public func count<Value: BitwiseCopyable>(of type: Value.Type) -> Int {
        payload.byteCount / MemoryLayout<Value>.stride
    }

    /// The value as text up to its first zero byte; bytes that are no UTF-8 are replaced.
    public func string() -> String {
        payload.withUnsafeBytes { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// The attributes inside.
    @inlinable public var nested: AttributeReader {
        @_lifetime(copy self) get { AttributeReader(payload) }
    }
}
