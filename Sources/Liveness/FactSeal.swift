internal import COpenSSL
public import IPAddressing

/// Tells the hosts' messages from others' by a key that the hosts share (HMAC-SHA-256, RFC 2104, by OpenSSL).
///
/// The addresses are part of what is sealed, so that nothing is good on another way than its own.
public struct FactSeal: Sendable {
    private let key: [UInt8]

    /// Bytes that a seal takes.
    public static let size = 32
    /// A shorter key could be guessed.
    public static let shortestKey = 16

    /// - Returns: nil where the key is too short to be one.
    public init?(key: [UInt8]) {
        guard key.count >= Self.shortestKey else { return nil }
        self.key = key
    }

    /// A message and its seal.
    public func sealed(_ message: [UInt8], from source: IPAddress, to destination: IPAddress) -> [UInt8] {
        message + seal(of: message, source, destination)
    }

    /// The message; nil where the seal is not of this key, this message and this way.
    public func opened(_ datagram: [UInt8], from source: IPAddress, to destination: IPAddress) -> [UInt8]? {
        guard datagram.count >= Self.size else { return nil }
        let message = Array(datagram.dropLast(Self.size))
        let wanted = seal(of: message, source, destination)
        return CRYPTO_memcmp(Array(datagram.suffix(Self.size)), wanted, Self.size) == 0 ? message : nil
    }

    private func seal(of message: [UInt8], _ source: IPAddress, _ destination: IPAddress) -> [UInt8] {
        var content: [UInt8] = []
        for address in [source, destination] {
            for shift in [24, 16, 8, 0] as [UInt32] { content.append(UInt8(truncatingIfNeeded: address.v4 >> shift)) }
        }
        content += message
        var seal = [UInt8](repeating: 0, count: Self.size)
        var count: UInt32 = 0
        HMAC(EVP_sha256(), key, Int32(key.count), content, content.count, &seal, &count)
        return seal
    }
}
