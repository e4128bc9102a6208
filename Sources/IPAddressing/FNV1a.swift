/// FNV-1a, 64 bits (draft-eastlake-fnv): a number that depends on what is put into it and on nothing else, unlike
/// `Hashable`'s, so that it may be part of names and files.
package struct FNV1a: Sendable {
    @usableFromInline var state: UInt64 = 0xCBF2_9CE4_8422_2325
    @inlinable package var value: UInt64 { state }

    @inlinable package init() {}

    @inlinable package mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { add(symbol: UInt64(byte)) }
    }

    /// The bytes of a number, the least significant first.
    @inlinable package mutating func add(number: UInt64) { withUnsafeBytes(of: number.littleEndian) { add($0) } }

    /// A byte, or with more than eight bits what no byte is, such as an end.
    @inlinable package mutating func add(symbol: UInt64) { state = (state ^ symbol) &* 0x0000_0100_0000_01B3 }
}
