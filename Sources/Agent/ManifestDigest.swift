import IPAddressing
import VPCManifest

/// A file of a set as it was at some time.
struct FileDigest: Sendable, Hashable {
    var name: String
    /// The ``ContentDigest`` of its bytes.
    var content: UInt64
}

extension ManifestSource {
    var fileDigest: FileDigest { FileDigest(name: name, content: bytes.contentDigest) }
}

extension [UInt8] {
    var contentDigest: UInt64 { ContentDigest.of(self) }

    /// FNV-1a, 64 bits: of what is small. Revisions of before have it of their manifests, too.
    var fnv1a: UInt64 {
        var digest = FNV1a()
        digest.add(self)
        return digest.value
    }
}

extension Sequence<FileDigest> {
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

    /// Whether these are the files that a revision with this digest was made of.
    func isWhole(_ digest: UInt64) -> Bool {
        self.digest == digest || map { FileDigest(name: $0.name, content: $0.bytes.fnv1a) }.digest == digest
    }
}

extension FNV1a {
    /// No byte is like the end of a part.
    fileprivate mutating func endPart() { add(symbol: 0x1FF) }
}
