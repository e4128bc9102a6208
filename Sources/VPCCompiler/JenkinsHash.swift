/// The kernel's jhash() (linux/jhash.h) of a few bytes, and what nft_hash makes of it.
enum JenkinsHash {
    /// Of four bytes.
    /// - Parameter word: As it lies in memory on a little-endian machine.
    static func of(_ word: UInt32, seed: UInt32) -> UInt32 {
        let start = 0xDEAD_BEEF &+ 4 &+ seed
        return mixed(start &+ word, start, start)
    }

    /// Of eight bytes.
    static func of(_ first: UInt32, _ second: UInt32, seed: UInt32) -> UInt32 {
        let start = 0xDEAD_BEEF &+ 8 &+ seed
        return mixed(start &+ first, start &+ second, start)
    }

    /// reciprocal_scale() of linux/kernel.h, by which nft_hash takes its modulus.
    static func scaled(_ hash: UInt32, to modulus: UInt32) -> UInt32 {
        UInt32(truncatingIfNeeded: (UInt64(hash) * UInt64(modulus)) >> 32)
    }

    /// `__jhash_final`.
    private static func mixed(_ a: UInt32, _ b: UInt32, _ c: UInt32) -> UInt32 {
        var (a, b, c) = (a, b, c)
        func rotated(_ value: UInt32, _ bits: UInt32) -> UInt32 { value << bits | value >> (32 - bits) }
        c = (c ^ b) &- rotated(b, 14)
        a = (a ^ c) &- rotated(c, 11)
        b = (b ^ a) &- rotated(a, 25)
        c = (c ^ b) &- rotated(b, 16)
        a = (a ^ c) &- rotated(c, 4)
        b = (b ^ a) &- rotated(a, 14)
        c = (c ^ b) &- rotated(b, 24)
        return c
    }
}
