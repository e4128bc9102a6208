/// FNV-1a, 64 bits (draft-eastlake-fnv): a number that depends on what is put into it and on nothing else, unlike
/// `Hashable`'s, so that it may be part of names and files.
package struct FNV1a: Sendable {
    package private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    package init() {}

    package mutating func add(_ bytes: some Sequence<UInt8>) {
        // Once per sequence, not once per byte, something is called that is not known here.
        if bytes.withContiguousStorageIfAvailable({ add($0) }) != nil { return }
        for byte in bytes { add(symbol: UInt64(byte)) }
    }

    private mutating func add(_ bytes: UnsafeBufferPointer<UInt8>) {
        for byte in bytes { add(symbol: UInt64(byte)) }
    }

    /// The bytes of a number, the least significant first.
    package mutating func add(number: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) { add(symbol: number >> shift & 0xFF) }
    }

    /// A byte, or with more than eight bits what no byte is, such as an end.
    package mutating func add(symbol: UInt64) { value = (value ^ symbol) &* 0x0000_0100_0000_01B3 }
}
