/// A 48-bit Ethernet (EUI-48) address.
public struct MACAddress: Hashable, Comparable, Sendable {
    /// The address as a number: `02:00:5e:00:00:01` is `0x0200_5E00_0001`.
    public let rawValue: UInt64

    /// - Precondition: `rawValue` fits 48 bits.
    public init(rawValue: UInt64) {
        precondition(rawValue < 1 << 48)
        self.rawValue = rawValue
    }

    /// The six octets, first on the wire first.
    public var octets: [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: rawValue >> UInt64(40 - 8 * $0)) } }

    /// The group bit of the first octet: a multicast or broadcast address, never a station's own.
    public var isMulticast: Bool { rawValue >> 40 & 1 == 1 }

    public static func < (left: MACAddress, right: MACAddress) -> Bool { left.rawValue < right.rawValue }
}

extension MACAddress: LosslessStringConvertible, CustomStringConvertible {
    /// Parses six two-digit hexadecimal octets separated by colons.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6 else { return nil }
        var value: UInt64 = 0
        for part in parts {
            guard part.utf8.count == 2, part.allSatisfy(\.isHexDigit), let octet = UInt8(part, radix: 16) else {
                return nil
            }
            value = value << 8 | UInt64(octet)
        }
        rawValue = value
    }

    public var description: String {
        octets.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined(separator: ":")
    }
}
