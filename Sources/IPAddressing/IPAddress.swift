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

    public static let anyIPv4 = IPAddress(v4: 0)

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
    /// Parses dotted-quad IPv4 (four decimal octets, no leading zeros) or RFC 4291 IPv6 text.
    public init?(_ text: some StringProtocol) {
        let parsed = text.utf8.contains(UInt8(ascii: ":")) ? Self.ipv6(text.utf8) : Self.ipv4(text.utf8)
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

    private static func ipv4(_ text: some Collection<UInt8>) -> IPAddress? {
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

    private static func ipv6(_ text: some Collection<UInt8>) -> IPAddress? {
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count >= 3, parts.count <= 9 else { return nil }
        var groups: [UInt16] = []
        var gap: Int?
        for (index, part) in parts.enumerated() {
            if part.isEmpty {
                // A leading or trailing "::" yields two empty parts; only the inner one is the gap.
                if index == 0 {
                    guard parts[1].isEmpty else { return nil }
                    continue
                }
                if index == parts.count - 1 {
                    guard parts[index - 1].isEmpty else { return nil }
                    if gap == groups.count { continue }
                }
                guard gap == nil else { return nil }
                gap = groups.count
            } else if index == parts.count - 1, part.contains(UInt8(ascii: ".")) {
                guard let tail = ipv4(part) else { return nil }
                groups += [UInt16(truncatingIfNeeded: tail.v4 >> 16), UInt16(truncatingIfNeeded: tail.v4)]
            } else {
                guard part.count <= 4, let group = UInt16(String(decoding: part, as: UTF8.self), radix: 16),
                    part.first != UInt8(ascii: "+"), part.first != UInt8(ascii: "-")
                else { return nil }
                groups.append(group)
            }
        }
        if let gap {
            guard groups.count < 8 else { return nil }
            groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
        }
        guard groups.count == 8 else { return nil }
        let high = groups[..<4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        let low = groups[4...].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        return IPAddress(family: .ipv6, high: high, low: low)
    }
}
