/// The number that an address is, in the width of its family: what algorithms over the bits of addresses are generic over.
///
/// Addresses and prefixes themselves are values that bear their family, see ``IPAddress``: one type through model,
/// topology and kernel.
@usableFromInline
package protocol AddressBits: FixedWidthInteger, UnsignedInteger, Sendable where Magnitude == Self {
    static var family: AddressFamily { get }

    /// - Parameter address: Of the family; of another one the number means nothing.
    init(bitsOf address: IPAddress)
}

package typealias IPv4Bits = UInt32
package typealias IPv6Bits = UInt128

extension UInt32: AddressBits {
    @inlinable package static var family: AddressFamily { .ipv4 }
    @inlinable package init(bitsOf address: IPAddress) { self = address.v4 }
}

extension UInt128: AddressBits {
    @inlinable package static var family: AddressFamily { .ipv6 }
    @inlinable package init(bitsOf address: IPAddress) { self = UInt128(address.high) << 64 | UInt128(address.low) }
}

extension AddressBits {
    /// The number with all but the first `length` bits cleared.
    @inlinable package func masked(to length: Int) -> Self { self & (Self.max << (Self.bitWidth - length)) }
}

extension IPAddress {
    @inlinable package init<Bits: AddressBits>(bits: Bits) {
        self.init(
            family: Bits.family, high: UInt64(truncatingIfNeeded: bits >> 64), low: UInt64(truncatingIfNeeded: bits))
    }
}

extension IPPrefix {
    /// The lowest and the highest address; meaningless for a block of another family.
    @inlinable package func range<Bits: AddressBits>(of _: Bits.Type = Bits.self) -> ClosedRange<Bits> {
        Bits(bitsOf: address)...Bits(bitsOf: last)
    }
}

extension ClosedRange<IPAddress> {
    @inlinable package init<Bits: AddressBits>(bits: ClosedRange<Bits>) {
        self = IPAddress(bits: bits.lowerBound)...IPAddress(bits: bits.upperBound)
    }
}
