/// The name of a network device: 1…15 bytes (IFNAMSIZ of linux/if.h less the terminating zero).
///
/// Two words, trivially copyable, ordered as the text is: a million routes can carry one each without an allocation.
public struct InterfaceName: Hashable, Sendable {
    @usableFromInline let high: UInt64
    @usableFromInline let low: UInt64

    /// Longest name in bytes.
    @inlinable public static var maximumLength: Int { 15 }

    /// Nil for a text that the kernel would refuse: empty, longer than 15 bytes, `.`, `..`, or holding a slash, a colon
    /// or white space (dev_valid_name of net/core/dev.c), to which the byte A0 counts (lib/ctype.c).
    public init?(_ text: some StringProtocol) {
        let name = text.utf8.withContiguousStorageIfAvailable { Self(validating: $0) } ?? Self(validating: text.utf8)
        guard let name else { return nil }
        self = name
    }

    private init?(validating bytes: some Sequence<UInt8>) {
        var high: UInt64 = 0
        var low: UInt64 = 0
        var count = 0
        for byte in bytes {
            guard count < Self.maximumLength, byte > 0x20, byte != 0x7F, byte != 0xA0, byte != UInt8(ascii: "/"),
                byte != UInt8(ascii: ":")
            else { return nil }
            if count < 8 {
                high |= UInt64(byte) << UInt64(56 - 8 * count)
            } else {
                low |= UInt64(byte) << UInt64(120 - 8 * count)
            }
            count += 1
        }
        let dot = UInt64(UInt8(ascii: "."))
        guard count > 0, low != 0 || high != dot << 56 && high != dot << 56 | dot << 48 else { return nil }
        self.high = high
        self.low = low
    }

    /// From the bytes of a kernel message, up to a zero byte; truncated at 15 bytes.
    @inlinable
    public init(bytes: some Sequence<UInt8>) {
        var high: UInt64 = 0
        var low: UInt64 = 0
        var count = 0
        for byte in bytes {
            if byte == 0 || count == Self.maximumLength { break }
            if count < 8 {
                high |= UInt64(byte) << UInt64(56 - 8 * count)
            } else {
                low |= UInt64(byte) << UInt64(120 - 8 * count)
            }
            count += 1
        }
        self.high = high
        self.low = low
    }

    @inlinable init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// No device: all bytes zero. Sorts first.
    @inlinable public static var none: InterfaceName { InterfaceName(high: 0, low: 0) }

    @inlinable public var isNone: Bool { high == 0 && low == 0 }

    /// The name's bytes, first first, zero-padded to 16: what a kernel message holds.
    @inlinable public var words: (high: UInt64, low: UInt64) { (high, low) }

    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        for shift in 0..<16 {
            let word = shift < 8 ? high : low
            let byte = UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * (shift % 8)))
            if byte == 0 { break }
            bytes.append(byte)
        }
        return bytes
    }
}

extension InterfaceName: Comparable {
    @inlinable public static func < (left: InterfaceName, right: InterfaceName) -> Bool {
        left.high != right.high ? left.high < right.high : left.low < right.low
    }
}

extension InterfaceName: CustomStringConvertible {
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}
