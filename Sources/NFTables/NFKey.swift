public import IPAddressing
public import KernelNames

/// Values one behind the other, as the kernel's registers hold them: each begins at a multiple of 4 bytes.
///
/// 64 bytes in place (`NFT_DATA_VALUE_MAXLEN`), so that building one allocates nothing.
///
/// ```swift
/// NFKey(InterfaceName("eth0"), mac, address)    // iifname . ether saddr . ip saddr
/// ```
public struct NFKey: Sendable {
    @usableFromInline var storage: InlineArray<16, UInt32>
    /// 4-byte slots in use.
    @usableFromInline var slotCount = 0
    /// Bytes of a value of this shape: a single field is as long as it is, several are padded.
    @usableFromInline var byteCount = 0
    /// The numbers of the fields' types, see ``NFType``.
    @usableFromInline var code: UInt32 = 0

    @inlinable init() { storage = InlineArray(repeating: 0) }

    /// - Parameter fields: One value each: addresses, MAC addresses, interface names, ``NFProtocol``, ``NFPort``, …
    @inlinable public init<each Field: NFKeyField>(_ fields: repeat each Field) {
        self.init()
        for field in repeat each fields { field.append(to: &self, upper: false) }
    }

    /// The highest values of `fields`, where ``init(_:)`` takes the lowest.
    @inlinable init<each Field: NFKeyField>(upperOf fields: repeat each Field) {
        self.init()
        for field in repeat each fields { field.append(to: &self, upper: true) }
    }

    @inlinable public subscript(slot: Int) -> UInt32 { storage[slot] }

    /// The bytes as they lie in memory.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        for slot in 0..<slotCount {
            let value = UInt32(bigEndian: storage[slot])
            for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
        }
        return Array(bytes.prefix(byteCount))
    }

    @inlinable
    mutating func begin(_ type: NFType, _ slots: Int) {
        precondition(slotCount + slots <= 16, "a key has at most 64 bytes")
        byteCount = slotCount == 0 ? type.width : (slotCount + slots) * 4
        code = code << NFType.codeBits | type.code
    }

    /// Appends a value of up to 4 bytes: the low bits of `value`, in the type's byte order.
    @inlinable
    mutating func append(_ type: NFType, number value: UInt32) {
        begin(type, 1)
        // In memory the value's own bytes come first and zeros behind them; in a little-endian machine's own order that
        // is what the number already looks like.
        let isLittle = type.isHostOrder && UInt32(1).littleEndian == 1
        storage[slotCount] = isLittle ? value : (value << UInt32(32 - 8 * type.width)).bigEndian
        slotCount += 1
    }

    /// Appends a value of 16 bytes.
    @inlinable
    mutating func append(_ type: NFType, high: UInt64, low: UInt64) {
        begin(type, 4)
        storage[slotCount] = UInt32(truncatingIfNeeded: high >> 32).bigEndian
        storage[slotCount + 1] = UInt32(truncatingIfNeeded: high).bigEndian
        storage[slotCount + 2] = UInt32(truncatingIfNeeded: low >> 32).bigEndian
        storage[slotCount + 3] = UInt32(truncatingIfNeeded: low).bigEndian
        slotCount += 4
    }

    /// Appends a value of 6 bytes.
    @inlinable
    mutating func append(_ type: NFType, octets value: UInt64) {
        begin(type, 2)
        storage[slotCount] = UInt32(truncatingIfNeeded: value >> 16).bigEndian
        storage[slotCount + 1] = UInt32(truncatingIfNeeded: value << 16).bigEndian
        slotCount += 2
    }
}

/// A value that can be a field of a key, or a range of such values.
public protocol NFKeyField: Sendable {
    var type: NFType { get }
    /// - Parameter upper: The end of the range instead of its beginning; both the same unless it is a range.
    func append(to key: inout NFKey, upper: Bool)
}

extension AddressFamily {
    /// What an address of the family is in a key.
    @inlinable public var keyType: NFType { self == .ipv4 ? .ipv4Address : .ipv6Address }
}

extension IPAddress: NFKeyField {
    @inlinable public var type: NFType { family.keyType }
    @inlinable public func append(to key: inout NFKey, upper: Bool) {
        if family == .ipv4 {
            key.append(.ipv4Address, number: v4)
        } else {
            key.append(.ipv6Address, high: high, low: low)
        }
    }
}

/// All addresses of the block.
extension IPPrefix: NFKeyField {
    @inlinable public var type: NFType { address.type }
    @inlinable public func append(to key: inout NFKey, upper: Bool) {
        (upper ? last : address).append(to: &key, upper: upper)
    }
}

extension MACAddress: NFKeyField {
    @inlinable public var type: NFType { .etherAddress }
    @inlinable public func append(to key: inout NFKey, upper: Bool) { key.append(.etherAddress, octets: rawValue) }
}

extension InterfaceName: NFKeyField {
    @inlinable public var type: NFType { .interfaceName }
    @inlinable public func append(to key: inout NFKey, upper: Bool) {
        key.append(.interfaceName, high: words.high, low: words.low)
    }
}

/// Everything from one value to another, both included.
extension ClosedRange: NFKeyField where Bound: NFKeyField {
    @inlinable public var type: NFType { lowerBound.type }
    @inlinable public func append(to key: inout NFKey, upper: Bool) {
        (upper ? upperBound : lowerBound).append(to: &key, upper: upper)
    }
}

/// A field that is a plain number.
public protocol NFNumber: NFKeyField, Comparable, Hashable, ExpressibleByIntegerLiteral {
    associatedtype RawValue: FixedWidthInteger
    static var type: NFType { get }
    var rawValue: RawValue { get }
    init(_ rawValue: RawValue)
}

extension NFNumber {
    @inlinable public var type: NFType { Self.type }
    @inlinable public func append(to key: inout NFKey, upper: Bool) {
        key.append(Self.type, number: UInt32(truncatingIfNeeded: rawValue))
    }
    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    @inlinable public init(integerLiteral value: RawValue) { self.init(value) }
    /// Every value there is.
    @inlinable public static var any: ClosedRange<Self> { Self(RawValue.min)...Self(RawValue.max) }
}

/// The protocol number of an IP header (`IPPROTO_*` of linux/in.h; iana.org/assignments/protocol-numbers).
public struct NFProtocol: NFNumber {
    public let rawValue: UInt8
    @inlinable public init(_ rawValue: UInt8) { self.rawValue = rawValue }
    @inlinable public static var type: NFType { .internetProtocol }

    public static let icmp = NFProtocol(1)
    public static let tcp = NFProtocol(6)
    public static let udp = NFProtocol(17)
    public static let gre = NFProtocol(47)
    public static let icmpv6 = NFProtocol(58)
    public static let sctp = NFProtocol(132)
}

/// A port of TCP, UDP or SCTP.
public struct NFPort: NFNumber {
    public let rawValue: UInt16
    @inlinable public init(_ rawValue: UInt16) { self.rawValue = rawValue }
    @inlinable public static var type: NFType { .internetService }
}

/// The type field of ICMP.
public struct NFICMPType: NFNumber {
    public let rawValue: UInt8
    @inlinable public init(_ rawValue: UInt8) { self.rawValue = rawValue }
    @inlinable public static var type: NFType { .icmpType }
}

/// A packet's or a connection's mark.
public struct NFMark: NFNumber {
    public let rawValue: UInt32
    @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public static var type: NFType { .mark }
}

/// A conntrack zone.
public struct NFZone: NFNumber {
    public let rawValue: UInt16
    @inlinable public init(_ rawValue: UInt16) { self.rawValue = rawValue }
    @inlinable public static var type: NFType { .zone }
}

/// A device group (IFLA_GROUP).
public struct NFInterfaceGroup: NFNumber {
    public let rawValue: UInt32
    @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public static var type: NFType { .interfaceGroup }
}

/// The payload's protocol in an Ethernet header (`ETH_P_*` of linux/if_ether.h).
public struct NFEtherType: NFNumber {
    public let rawValue: UInt16
    @inlinable public init(_ rawValue: UInt16) { self.rawValue = rawValue }
    @inlinable public static var type: NFType { .etherType }

    public static let ipv4 = NFEtherType(0x0800)
    public static let arp = NFEtherType(0x0806)
    public static let ipv6 = NFEtherType(0x86DD)
}

/// Which way a packet of a connection goes (`enum ip_conntrack_dir`).
public enum NFDirection: UInt8, Hashable, Sendable, CaseIterable, NFKeyField {
    case original = 0
    case reply = 1
    @inlinable public var type: NFType { .connectionDirection }
    @inlinable public func append(to key: inout NFKey, upper: Bool) {
        key.append(.connectionDirection, number: UInt32(rawValue))
    }
}
