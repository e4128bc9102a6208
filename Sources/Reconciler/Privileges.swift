import Glibc

/// A capability of capabilities(7) that programming the kernel takes.
public enum Capability: Int, Sendable, CaseIterable, CustomStringConvertible {
    /// Everything of rtnetlink and nfnetlink that modifies.
    case netAdmin = 12
    /// Entering another network namespace.
    case sysAdmin = 21

    public var description: String {
        switch self {
        case .netAdmin: "CAP_NET_ADMIN"
        case .sysAdmin: "CAP_SYS_ADMIN"
        }
    }

    /// Those that this process lacks.
    public static func missing() -> [Capability] {
        let effective = effectiveMask()
        return allCases.filter { effective >> UInt64($0.rawValue) & 1 == 0 }
    }

    /// `CapEff` of /proc/self/status; 0 where it cannot be read.
    private static func effectiveMask() -> UInt64 {
        guard let file = fopen("/proc/self/status", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = line.withUnsafeBufferPointer { buffer in
                String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            }
            guard text.hasPrefix("CapEff:") else { continue }
            let digits = text.dropFirst("CapEff:".count).filter(\.isHexDigit)
            return UInt64(digits, radix: 16) ?? 0
        }
        return 0
    }
}
