/// The name of a network interface's port on its host.
public enum PortName {
    /// `e-` and the interface's name where that fits 15 bytes; else its first six bytes, `_` and a hash of all of it.
    /// No DNS label holds `_`, so the two forms never meet.
    public static func ofInterface(_ name: String) -> String {
        if name.utf8.count <= 13 { return "e-" + name }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325  // FNV-1a, 64 bits
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        hash ^= hash >> 32
        let digits = Array("abcdefghijklmnopqrstuvwxyz234567")
        let suffix = (0..<6).map { digits[Int(hash >> UInt64(5 * $0) & 31)] }
        return "e-" + name.prefix(6) + "_" + String(suffix)
    }
}
