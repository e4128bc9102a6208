/// The two IP versions.
public enum AddressFamily: UInt8, Hashable, Comparable, Sendable, CaseIterable {
    case ipv4 = 4
    case ipv6 = 6

    /// Bits in an address of this family.
    @inlinable public var bitWidth: Int { self == .ipv4 ? 32 : 128 }

    @inlinable public static func < (left: AddressFamily, right: AddressFamily) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// An IPv4 or IPv6 address: a 128-bit number tagged with its family. IPv4 occupies the low 32 bits.
///
/// 17 bytes, trivially copyable. Ordered by family, then numerically.
public struct IPAddress: Hashable, Sendable {
    public let high: UInt64
    public let low: UInt64
    public let family: AddressFamily

    @inlinable public init(family: AddressFamily, high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
        self.family = family
    }

    /// An IPv4 address from its number in host byte order: `0x0A00_0001` is 10.0.0.1.
    @inlinable public init(v4 value: UInt32) {
        self.init(family: .ipv4, high: 0, low: UInt64(value))
    }

    /// The IPv4 address as a number in host byte order; meaningless for IPv6.
    @inlinable public var v4: UInt32 { UInt32(truncatingIfNeeded: low) }

    @inlinable public static var anyIPv4: IPAddress { IPAddress(v4: 0) }

    /// The address `offset` further on, or nil where that leaves the family's range.
    public func advanced(by offset: UInt64) -> IPAddress? {
        let (sum, carry) = low.addingReportingOverflow(offset)
        if family == .ipv4 { return carry || sum > UInt64(UInt32.max) ? nil : IPAddress(v4: UInt32(sum)) }
        if !carry { return IPAddress(family: .ipv6, high: high, low: sum) }
        return high == .max ? nil : IPAddress(family: .ipv6, high: high + 1, low: sum)
    }
}

extension IPAddress: Comparable {
    @inlinable public static func < (left: IPAddress, right: IPAddress) -> Bool {
        if left.family != right.family { return left.family < right.family }
        if left.high != right.high { return left.high < right.high }
        return left.low < right.low
    }
}

// MARK: - Text

extension IPAddress: LosslessStringConvertible, CustomStringConvertible {
    /// Parses dotted-quad IPv4 (four decimal octets, no leading zeros) or RFC 4291 IPv6 text, without a zone.
    public init?(_ text: some StringProtocol) {
        guard let address = text.withUTF8Bytes({ IPAddress(utf8: $0) }) else { return nil }
        self = address
    }

    /// Parses the same from UTF-8 bytes.
    init?(utf8 text: UnsafeBufferPointer<UInt8>) {
        let parsed = text.contains(UInt8(ascii: ":")) ? Self.ipv6(text[...]) : Self.ipv4(text[...])
        guard let parsed else { return nil }
        self = parsed
    }

    public var description: String {
        family == .ipv4 ? Self.text(ofIPv4: v4) : Self.text(ofIPv6High: high, low: low)
    }

    private static func text(ofIPv4 value: UInt32) -> String {
        "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
    }

    /// RFC 5952: lower case, longest run of zero groups (two at least) shortened.
    private static func text(ofIPv6High high: UInt64, low: UInt64) -> String {
        let groups = (0..<8).map { index -> UInt16 in
            let half = index < 4 ? high : low
            return UInt16(truncatingIfNeeded: half >> UInt64(48 - 16 * (index % 4)))
        }
        var best = 0..<0
        var index = 0
        while index < 8 {
            var end = index
            while end < 8, groups[end] == 0 { end += 1 }
            if end - index > max(best.count, 1) { best = index..<end }
            index = max(end, index + 1)
        }
        let hex = groups.map { String($0, radix: 16) }
        if best.isEmpty { return hex.joined(separator: ":") }
        return hex[..<best.lowerBound].joined(separator: ":") + "::" + hex[best.upperBound...].joined(separator: ":")
    }

    private static func ipv4(_ text: Slice<UnsafeBufferPointer<UInt8>>) -> IPAddress? {
        var value: UInt32 = 0
        var octet: UInt32 = 0
        var digits = 0
        var dots = 0
        for byte in text {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                if digits > 0, octet == 0 { return nil }  // "01" is octal to some and decimal to others
                octet = octet * 10 + UInt32(byte - UInt8(ascii: "0"))
                digits += 1
                if octet > 255 { return nil }
            case UInt8(ascii: "."):
                if digits == 0 || dots == 3 { return nil }
                value = value << 8 | octet
                octet = 0
                digits = 0
                dots += 1
            default:
                return nil
            }
        }
        guard dots == 3, digits > 0 else { return nil }
        return IPAddress(v4: value << 8 | octet)
    }

    private static func ipv6(_ text: Slice<UnsafeBufferPointer<UInt8>>) -> IPAddress? {
        let colon = UInt8(ascii: ":")
        var value: UInt128 = 0
        var count = 0
        /// How many groups stand before "::".
        var gap: Int?
        var index = text.startIndex
        func isColon(_ index: Int) -> Bool { index < text.endIndex && text[index] == colon }
        if isColon(index) {
            // A colon may begin the text only as half of "::".
            guard isColon(index + 1) else { return nil }
            gap = 0
            index += 2
        }
        while index < text.endIndex {
            var end = index
            var group: UInt128 = 0
            while end < text.endIndex, let digit = hexadecimalDigit(text[end]) {
                group = group << 4 | UInt128(digit)
                end += 1
                guard end - index <= 4 else { return nil }
            }
            if end < text.endIndex, text[end] == UInt8(ascii: ".") {
                // The last 32 bits may be written as an IPv4 address.
                guard count <= 6, let tail = ipv4(text[index...]) else { return nil }
                value = value << 32 | UInt128(tail.v4)
                count += 2
                break
            }
            guard end > index, count < 8 else { return nil }
            value = value << 16 | group
            count += 1
            index = end
            guard index < text.endIndex else { break }
            guard isColon(index) else { return nil }
            index += 1
            if isColon(index) {
                guard gap == nil else { return nil }
                gap = count
                index += 1
            } else if index == text.endIndex {
                return nil
            }
        }
        if let gap {
            // "::" stands for one group at least; what is before it moves up, what is after it stays.
            guard count < 8 else { return nil }
            let tail = 16 * (count - gap)
            value = (value >> tail) << (128 - 16 * gap) | value & ((1 << tail) - 1)
        } else if count != 8 {
            return nil
        }
        return IPAddress(
            family: .ipv6, high: UInt64(truncatingIfNeeded: value >> 64), low: UInt64(truncatingIfNeeded: value))
    }
}

/// The value of a hexadecimal digit.
func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}

extension StringProtocol {
    /// Calls `body` with the UTF-8 bytes of the text, copying them only where they are not in one piece. Parsing from
    /// a buffer is not generic: one call is dispatched here instead of one for each byte.
    func withUTF8Bytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        utf8.withContiguousStorageIfAvailable(body) ?? Array(utf8).withUnsafeBufferPointer(body)
    }
}
