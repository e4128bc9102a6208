import IPAddressing
import VPCManifest

/// A file of a revision.
public struct RevisionFile: Sendable, Hashable {
    public var name: String
    /// The ``ContentDigest`` of its bytes; 0 in a revision that was written before this was noted.
    var content: UInt64
    /// Where they are; nil: the revision has a file of its own.
    var place: Place?

    /// What a file says is written once, however many revisions have it: by the first one, which may be gone since.
    struct Place: Sendable, Hashable {
        var revision: Int
        /// Among the files of that revision.
        var index: Int
    }

    init(name: String, content: UInt64 = 0, place: Place? = nil) {
        (self.name, self.content, self.place) = (name, content, place)
    }

    var isMadeByAPI: Bool { name.isMadeByAPI }
    var digest: FileDigest { FileDigest(name: name, content: content) }
}

/// The files of a revision that is to be kept: those of another one, but for those that are written.
struct RevisionDraft {
    var files: [RevisionFile]
    /// What is to be written, by index.
    var bytes: [Int: [UInt8]] = [:]

    /// As another revision has them, which has them on the disk.
    init(_ revision: Revision) { files = revision.files }

    init(_ sources: [ManifestSource]) {
        files = sources.map { RevisionFile(name: $0.name, content: $0.bytes.contentDigest) }
        for (index, source) in sources.enumerated() { bytes[index] = source.bytes }
    }

    mutating func replace(_ index: Int, with bytes: [UInt8]) {
        files[index].content = bytes.contentDigest
        self.bytes[index] = bytes
    }

    /// Nil: takes it away.
    mutating func replaceMadeByAPI(_ name: String, with bytes: [UInt8]?) {
        let rest = files.lastIndex { !$0.isMadeByAPI }.map { $0 + 1 } ?? 0
        let index = files[rest...].firstIndex { $0.name >= name } ?? files.count
        let isThere = index < files.count && files[index].name == name
        guard let bytes else {
            if isThere { remove(index) }
            return
        }
        if !isThere { insert(RevisionFile(name: name), at: index) }
        replace(index, with: bytes)
    }

    private mutating func remove(_ index: Int) {
        files.remove(at: index)
        bytes = Dictionary(
            uniqueKeysWithValues: bytes.filter { $0.key != index }.map { key, value in
                (key > index ? key - 1 : key, value)
            })
    }

    private mutating func insert(_ file: RevisionFile, at index: Int) {
        files.insert(file, at: index)
        bytes = Dictionary(uniqueKeysWithValues: bytes.map { key, value in (key >= index ? key + 1 : key, value) })
    }
}

// The list of a revision's files, as text: a line each, `12 3 0123456789abcdef /etc/vpcctl/web.yaml`, where its bytes are,
// their digest, its name. There may be thousands, and each revision has a list.
extension [RevisionFile] {
    var list: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(reduce(0) { $0 + $1.name.utf8.count + 48 })
        for file in self {
            bytes.append(decimal: file.place?.revision ?? 0)
            bytes.append(Self.space)
            bytes.append(decimal: file.place?.index ?? 0)
            bytes.append(Self.space)
            bytes.append(hexadecimal: file.content)
            bytes.append(Self.space)
            bytes.append(name: file.name)
            bytes.append(Self.lineEnd)
        }
        return bytes
    }

    /// Nil where the bytes are not as this type writes them.
    init?(list bytes: [UInt8]) {
        self = []
        for line in bytes.split(separator: Self.lineEnd, omittingEmptySubsequences: false).dropLast() {
            let words = line.split(separator: Self.space, maxSplits: 3, omittingEmptySubsequences: false)
            guard words.count == 4, let revision = Self.number(words[0]), let index = Self.number(words[1]),
                let content = Self.number(words[2], radix: 16), let name = Self.name(words[3])
            else { return nil }
            guard let revision = Int(exactly: revision), let index = Int(exactly: index), revision > 0 else {
                return nil
            }
            append(RevisionFile(name: name, content: content, place: .init(revision: revision, index: index)))
        }
        if list != bytes { return nil }
    }

    private static let space = UInt8(ascii: " ")
    private static let lineEnd = UInt8(ascii: "\n")

    private static func number(_ word: ArraySlice<UInt8>, radix: Int = 10) -> UInt64? {
        UInt64(String(decoding: word, as: UTF8.self), radix: radix)
    }

    private static func name(_ word: ArraySlice<UInt8>) -> String? {
        let escape = UInt8(ascii: "\\")
        guard word.contains(escape) else { return String(validating: word, as: UTF8.self) }
        var bytes: [UInt8] = []
        var rest = word
        while let byte = rest.popFirst() {
            guard byte == escape else {
                bytes.append(byte)
                continue
            }
            guard let second = rest.popFirst() else { return nil }
            bytes.append(second == UInt8(ascii: "n") ? lineEnd : second)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension [UInt8] {
    fileprivate mutating func append(decimal number: Int) {
        if number >= 10 { append(decimal: number / 10) }
        append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number % 10))
    }

    fileprivate mutating func append(hexadecimal number: UInt64) {
        for shift in stride(from: 60, through: 0, by: -4) {
            let digit = UInt8(truncatingIfNeeded: number >> UInt64(shift) & 15)
            append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }

    /// A line has one end.
    fileprivate mutating func append(name: String) {
        let (escape, lineEnd) = (UInt8(ascii: "\\"), UInt8(ascii: "\n"))
        let start = count
        append(contentsOf: name.utf8)
        guard self[start...].contains(where: { $0 == escape || $0 == lineEnd }) else { return }
        removeSubrange(start...)
        for byte in name.utf8 {
            if byte == escape || byte == lineEnd { append(escape) }
            append(byte == lineEnd ? UInt8(ascii: "n") : byte)
        }
    }
}
