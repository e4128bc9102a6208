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
        let value = text.withUTF8Bytes { bytes -> UInt64? in
            guard bytes.count == 17 else { return nil }
            var value: UInt64 = 0
            for (position, byte) in bytes.enumerated() {
                if position % 3 == 2 {
                    guard byte == UInt8(ascii: ":") else { return nil }
                } else {
                    guard let digit = hexadecimalDigit(byte) else { return nil }
                    value = value << 4 | UInt64(digit)
                }
            }
            return value
        }
        guard let value else { return nil }
        rawValue = value
    }

    /// Lower case, with leading zeros.
    public var description: String {
        String(unsafeUninitializedCapacity: 17) { text in
            for position in 0..<6 {
                let octet = Int(rawValue >> UInt64(40 - 8 * position) & 255)
                text[3 * position] = Self.digits[octet >> 4]
                text[3 * position + 1] = Self.digits[octet & 15]
                if position < 5 { text[3 * position + 2] = UInt8(ascii: ":") }
            }
            return 17
        }
    }

    private static let digits = Array("0123456789abcdef".utf8)
}
