/// A chunk of SCTP by its type (RFC 9260, section 3.2).
package struct SCTPChunk: Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let data = SCTPChunk(rawValue: 0)
    /// INIT.
    package static let initiation = SCTPChunk(rawValue: 1)
    /// INIT ACK.
    package static let initiationAnswer = SCTPChunk(rawValue: 2)
    package static let heartbeat = SCTPChunk(rawValue: 4)
    package static let abort = SCTPChunk(rawValue: 6)
    package static let shutdown = SCTPChunk(rawValue: 7)
    package static let error = SCTPChunk(rawValue: 9)
    package static let cookieEcho = SCTPChunk(rawValue: 10)

    /// The chunk with what it must have, and nothing more.
    var bytes: [UInt8] {
        switch self {
        case .initiation, .initiationAnswer:
            // Initiate tag, receiver window, ten streams each way, first TSN.
            header(bodyLength: 16) + [0, 0, 0x43, 0x21, 0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1]
        // A parameter of 8 bytes, which comes back.
        case .heartbeat: header(bodyLength: 8) + [0, 1, 0, 8, 1, 2, 3, 4]
        // TSN, stream, number in it, payload protocol, and one byte with its padding.
        case .data: header(bodyLength: 13) + [UInt8](repeating: 0, count: 12) + [1, 0, 0, 0]
        // The TSN that is acknowledged.
        case .shutdown: header(bodyLength: 4) + [0, 0, 0, 1]
        default: header(bodyLength: 0)
        }
    }

    /// Type, flags (those of data: it begins and ends here), and the length of all.
    private func header(bodyLength: Int) -> [UInt8] {
        [rawValue, self == .data ? 3 : 0, 0, UInt8(4 + bodyLength)]
    }
}

/// The checksum of SCTP (RFC 9260, appendix A).
package func crc32c(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var remainder = UInt32.max
    for byte in bytes {
        remainder ^= UInt32(byte)
        // Bit by bit: these packets are few and short.
        for _ in 0..<8 { remainder = remainder >> 1 ^ (remainder & 1 == 0 ? 0 : 0x82F6_3B78) }
    }
    return ~remainder
}

extension [UInt8] {
    /// Writes the CRC32c of all bytes, its last byte first, to an offset that holds zeros.
    mutating func setCRC32C(at offset: Int) {
        let sum = crc32c(self)
        for position in 0..<4 { self[offset + position] = UInt8(truncatingIfNeeded: sum >> (8 * position)) }
    }
}
