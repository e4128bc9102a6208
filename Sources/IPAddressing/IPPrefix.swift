/// An IP prefix (CIDR block): an address whose bits beyond `length` are zero.
///
/// 18 bytes, trivially copyable. Ordered by address, then by length, so that a covering prefix sorts directly
/// before the prefixes inside it.
public struct IPPrefix: Hashable, Sendable {
    /// The lowest address of the block.
    public let address: IPAddress
    /// 0…32 for IPv4, 0…128 for IPv6.
    public let length: UInt8

    /// The block of `length` bits around `address`; host bits are cleared.
    @inlinable public init(containing address: IPAddress, length: Int) {
        precondition(length >= 0 && length <= address.family.bitWidth)
        self.address = address.masked(to: length)
        self.length = UInt8(length)
    }

    /// The block of just this address: /32 or /128.
    @inlinable public init(_ address: IPAddress) {
        self.address = address
        self.length = UInt8(address.family.bitWidth)
    }

    public static let defaultIPv4 = IPPrefix(containing: .anyIPv4, length: 0)

    @inlinable public var family: AddressFamily { address.family }

    /// The highest address of the block.
    @inlinable public var last: IPAddress {
        let free = family.bitWidth - Int(length)
        let lowMask = free >= 64 ? UInt64.max : (1 << UInt64(free)) - 1
        let highMask = free <= 64 ? 0 : (free == 128 ? UInt64.max : (1 << UInt64(free - 64)) - 1)
        return IPAddress(family: family, high: address.high | highMask, low: address.low | lowMask)
    }

    @inlinable public func contains(_ other: IPAddress) -> Bool {
        other.family == family && other.masked(to: Int(length)) == address
    }

    @inlinable public func contains(_ other: IPPrefix) -> Bool {
        other.length >= length && contains(other.address)
    }

    @inlinable public func overlaps(_ other: IPPrefix) -> Bool {
        contains(other) || other.contains(self)
    }
}

extension IPPrefix {
    /// The two blocks that it consists of; nil of a single address.
    public var halves: (IPPrefix, IPPrefix)? {
        let half = Int(length) + 1
        if half > family.bitWidth { return nil }
        return (IPPrefix(containing: address, length: half), IPPrefix(containing: last, length: half))
    }

    /// The fewest blocks that together hold what none of the others holds; ascending.
    public func parts(without others: some Collection<IPPrefix>) -> [IPPrefix] {
        let others = others.filter { $0.overlaps(self) }
        if others.isEmpty { return [self] }
        guard !others.contains(where: { $0.contains(self) }), let halves else { return [] }
        return halves.0.parts(without: others) + halves.1.parts(without: others)
    }
}

extension IPAddress {
    /// This address with all but the first `length` bits cleared.
    @inlinable public func masked(to length: Int) -> IPAddress {
        let free = family.bitWidth - length
        if free <= 0 { return self }
        if free >= 128 { return IPAddress(family: family, high: 0, low: 0) }
        if free >= 64 {
            return IPAddress(family: family, high: high & (UInt64.max << UInt64(free - 64)), low: 0)
        }
        return IPAddress(family: family, high: high, low: low & (UInt64.max << UInt64(free)))
    }
}

extension IPPrefix: Comparable {
    @inlinable public static func < (left: IPPrefix, right: IPPrefix) -> Bool {
        if left.address != right.address { return left.address < right.address }
        return left.length < right.length
    }
}

extension IPPrefix: CustomStringConvertible {
    public var description: String { "\(address)/\(length)" }
}

/// Why a text is no prefix.
public enum IPPrefixError: Error, Hashable, Sendable {
    case malformed
    case lengthOutOfRange(maximum: Int)
    /// Bits are set beyond the length; the prefix that was probably meant.
    case hostBitsSet(meant: IPPrefix)
}

extension IPPrefix {
    /// Parses `ADDRESS/LENGTH` strictly: a length is required and host bits must be zero.
    public static func parse(_ text: some StringProtocol) throws(IPPrefixError) -> IPPrefix {
        try text.withUTF8Bytes { bytes in Result { () throws(IPPrefixError) in try parse(utf8: bytes) } }.get()
    }

    private static func parse(utf8 text: UnsafeBufferPointer<UInt8>) throws(IPPrefixError) -> IPPrefix {
        guard let slash = text.firstIndex(of: UInt8(ascii: "/")),
            let address = IPAddress(utf8: UnsafeBufferPointer(rebasing: text[..<slash]))
        else { throw .malformed }
        let digits = text[(slash + 1)...]
        guard !digits.isEmpty, digits.count == 1 || digits.first != UInt8(ascii: "0"),
            digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { throw .malformed }
        // Three digits are more than any length has; more need not be read.
        let length = digits.prefix(4).reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
        guard length <= address.family.bitWidth else { throw .lengthOutOfRange(maximum: address.family.bitWidth) }
        let prefix = IPPrefix(containing: address, length: length)
        guard prefix.address == address else { throw .hostBitsSet(meant: prefix) }
        return prefix
    }

    public init?(_ text: some StringProtocol) {
        guard let prefix = try? Self.parse(text) else { return nil }
        self = prefix
    }
}
