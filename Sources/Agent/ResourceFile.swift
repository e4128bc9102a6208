import IPAddressing
import VPCManifest
import VPCModel

/// One of the files in which a revision has the resources that were made by API: a list in strict JSON, a resource a line,
/// ordered by kind and name.
///
/// There are few of them, so that naming them in a new revision is little work, and each has a part of the resources, so
/// that writing it anew is.
struct ResourceFile {
    private var items: [Item]

    private struct Item {
        /// `Subnet/blue-web`.
        var key: String
        var line: ArraySlice<UInt8>
    }

    /// Bytes of one file.
    static let largest = 8 << 20
    /// Into how many files resources are distributed.
    private static let fileCount: UInt64 = 64
    private static let head = Array(#"{"apiVersion":"vpcctl.dev/v1","kind":"List","items":["#.utf8)
    private static let tail = Array("\n]}\n".utf8)
    private static let comma = UInt8(ascii: ",")
    private static let lineEnd = UInt8(ascii: "\n")

    /// The name of the file that has a resource, if any has.
    static func name(for resource: ResourceReference) -> String {
        var digest = FNV1a()
        digest.add(resource.description.utf8)
        let number = digest.value % fileCount
        return ManifestSource.madeByAPI + (number < 16 ? "0" : "") + String(number, radix: 16) + ".json"
    }

    init() { items = [] }

    /// - Returns: nil where the bytes are not as this type writes them.
    init?(_ bytes: [UInt8]) {
        guard bytes.starts(with: Self.head), bytes.count > Self.head.count + Self.tail.count,
            bytes[(bytes.count - Self.tail.count)...].elementsEqual(Self.tail)
        else { return nil }
        items = []
        var rest = bytes[Self.head.count..<bytes.count - Self.tail.count]
        while !rest.isEmpty {
            guard rest.removeFirst() == Self.lineEnd else { return nil }
            let line = rest.withUnsafeBytes { bytes in
                bytes.firstIndex(of: Self.lineEnd).map { rest[..<(rest.startIndex + $0)] } ?? rest
            }
            rest = rest[line.endIndex...]
            let item = rest.isEmpty ? line : line.dropLast()
            guard rest.isEmpty || line.last == Self.comma, let key = Self.key(of: item) else { return nil }
            items.append(Item(key: key, line: item))
        }
    }

    /// Nil where nothing is left to be kept.
    var bytes: [UInt8]? {
        if items.isEmpty { return nil }
        var bytes = Self.head
        bytes.reserveCapacity(items.reduce(Self.head.count + Self.tail.count) { $0 + $1.line.count + 2 })
        for (index, item) in items.enumerated() {
            if index > 0 { bytes.append(Self.comma) }
            bytes.append(Self.lineEnd)
            bytes += item.line
        }
        return bytes + Self.tail
    }

    /// The text of a resource; nil where it is not in this file. Setting it keeps the order.
    subscript(resource: ResourceReference) -> ResourceText? {
        get {
            let (index, isThere) = place(of: resource.description)
            return isThere ? ResourceText(line: Array(items[index].line)) : nil
        }
        set {
            let key = resource.description
            let (index, isThere) = place(of: key)
            let item = newValue.map { [Item(key: key, line: $0.line[...])] } ?? []
            items.replaceSubrange(index..<index + (isThere ? 1 : 0), with: item)
        }
    }

    private func place(of key: String) -> (index: Int, isThere: Bool) {
        let index = items.firstIndex { $0.key >= key } ?? items.count
        return (index, index < items.count && items[index].key == key)
    }

    /// The reference that a line is about. Members are sorted, so that it begins with the kind, and the name is the last of
    /// the metadata; what else could look like that is inside of a string, where quotes are escaped.
    private static func key(of line: ArraySlice<UInt8>) -> String? {
        guard line.starts(with: kindMark) else { return nil }
        let kind = line.dropFirst(kindMark.count).prefix { $0 != quote }
        guard let end = line.firstRange(of: specMark)?.lowerBound else { return nil }
        let name = line[..<end].suffix(while: { $0 != quote })
        guard line[..<name.startIndex].suffix(nameMark.count).elementsEqual(nameMark) else { return nil }
        return String(decoding: kind, as: UTF8.self) + "/" + String(decoding: name, as: UTF8.self)
    }

    private static let quote = UInt8(ascii: "\"")
    private static let kindMark = Array(#"{"apiVersion":"vpcctl.dev/v1","kind":""#.utf8)
    private static let nameMark = Array(#""name":""#.utf8)
    private static let specMark = Array(#""},"spec":{"#.utf8)
}

extension ArraySlice<UInt8> {
    /// Where other bytes stand first.
    fileprivate func firstRange(of mark: [UInt8]) -> Range<Int>? {
        withUnsafeBufferPointer { bytes in
            guard let first = mark.first, bytes.count >= mark.count else { return nil }
            for index in 0...bytes.count - mark.count where bytes[index] == first {
                if bytes[index..<index + mark.count].elementsEqual(mark) {
                    return startIndex + index..<startIndex + index + mark.count
                }
            }
            return nil
        }
    }
}

/// A resource as it is written in one line: the same bytes for the same resource.
struct ResourceText: Equatable {
    var line: [UInt8]

    init(line: [UInt8]) { self.line = line }

    init(_ resource: Resource) { line = Array(StructuredValue(resource).compactJSON.utf8) }

    /// What tells this text from others, for clients to compare: it says what the resource is, not when it was written.
    var version: String {
        [line.fnv1a, line.contentDigest].map { number in
            let digits = String(number, radix: 16)
            return String(repeating: "0", count: 16 - digits.utf8.count) + digits
        }.joined()
    }

    /// What it says; nil where that is no resource.
    var resource: Resource? {
        let set = ManifestSet([ManifestSource(name: "", bytes: line)])
        return set.isValid ? set.model.resources.first : nil
    }
}

extension String {
    /// As the name of a revision's file.
    var isMadeByAPI: Bool { utf8.starts(with: ManifestSource.madeByAPI.utf8) }
}
