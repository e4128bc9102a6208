import VPCManifest

/// A file of a set as it was at some time.
struct FileDigest: Sendable, Hashable {
    var name: String
    /// FNV-1a of its bytes.
    var content: UInt64
}

extension ManifestSource {
    var fileDigest: FileDigest { FileDigest(name: name, content: bytes.contentDigest) }
}

extension [UInt8] {
    /// FNV-1a, 64 bits.
    var contentDigest: UInt64 {
        var digest = FNV()
        digest.add(self)
        return digest.value
    }
}

extension [FileDigest] {
    /// Of all names and contents. What one file adds is known without the others' contents.
    var digest: UInt64 {
        var digest = FNV()
        for file in self {
            digest.add(file.name.utf8)
            digest.end()
            digest.add(file.content)
            digest.end()
        }
        return digest.value
    }
}

extension [ManifestSource] {
    var fileDigests: [FileDigest] { map(\.fileDigest) }

    var digest: UInt64 { fileDigests.digest }
}

/// FNV-1a, 64 bits.
private struct FNV {
    private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    }

    mutating func add(_ number: UInt64) {
        withUnsafeBytes(of: number.littleEndian) { add($0) }
    }

    /// No byte is like the end of a part.
    mutating func end() { value = (value ^ 0x1FF) &* 0x0000_0100_0000_01B3 }
}
