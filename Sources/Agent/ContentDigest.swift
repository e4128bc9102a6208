/// A number made of all bytes of a file: whether it has changed, or is damaged. Nothing keeps those who want to from making
/// two files with one number.
///
/// Eight bytes a step, in four lanes that do not wait for each other: less than an instruction a byte, where a file of
/// manifests may have some megabytes.
struct ContentDigest {
    private var lanes: (UInt64, UInt64, UInt64, UInt64) = (1, 2, 3, 4)

    /// The number of a file with these bytes.
    static func of(_ bytes: [UInt8]) -> UInt64 {
        var digest = ContentDigest()
        bytes.withUnsafeBytes { digest.add($0) }
        return digest.value(count: bytes.count)
    }

    private mutating func add(_ bytes: UnsafeRawBufferPointer) {
        let word = { (offset: Int) in
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        var offset = 0
        while offset + 32 <= bytes.count {
            lanes.0 = Self.mixed(lanes.0, word(offset))
            lanes.1 = Self.mixed(lanes.1, word(offset + 8))
            lanes.2 = Self.mixed(lanes.2, word(offset + 16))
            lanes.3 = Self.mixed(lanes.3, word(offset + 24))
            offset += 32
        }
        for byte in bytes[offset...] { lanes.0 = Self.mixed(lanes.0, UInt64(byte)) }
    }

    /// Where the bytes end is part of what they are.
    private func value(count: Int) -> UInt64 {
        [lanes.1, lanes.2, lanes.3, UInt64(count), 0].reduce(lanes.0, Self.mixed)
    }

    /// Different for different states, and for different words.
    private static func mixed(_ state: UInt64, _ word: UInt64) -> UInt64 {
        let product = (state ^ word) &* 0x9E37_79B9_7F4A_7C15
        return product ^ product >> 32
    }
}
