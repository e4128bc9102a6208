import IPAddressing
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
        var digest = FNV1a()
        digest.add(self)
        return digest.value
    }
}

extension [FileDigest] {
    /// Of all names and contents. What one file adds is known without the others' contents.
    var digest: UInt64 {
        var digest = FNV1a()
        for file in self {
            digest.add(file.name.utf8)
            digest.endPart()
            digest.add(number: file.content)
            digest.endPart()
        }
        return digest.value
    }
}

extension [ManifestSource] {
    var fileDigests: [FileDigest] { map(\.fileDigest) }

    var digest: UInt64 { fileDigests.digest }
}

extension FNV1a {
    /// No byte is like the end of a part.
    fileprivate mutating func endPart() { add(symbol: 0x1FF) }
}
