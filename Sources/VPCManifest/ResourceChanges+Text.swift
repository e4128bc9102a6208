internal import Glibc
public import VPCModel

extension ResourceChanges {
    /// Adds that a file has another text. Only the documents between the first byte that differs and the last one are
    /// read, of a list in JSON only the items.
    ///
    /// What these documents say is known only where they do not depend on others: where all of the file is valid, states
    /// its version and repeats nothing by aliases.
    ///
    /// - Parameters:
    ///   - old: The text before, of a set that was valid; none where the file is new.
    ///   - new: The text now; none where the file is gone.
    ///   - budget: The most bytes to read documents from; what is read is taken off.
    ///   - marks: Of the text before; becomes those of the text now.
    /// - Returns: false where the whole set has to be read: something of it is not valid, or may depend on what was
    ///   changed, or the budget does not suffice. What was added so far is then worth nothing.
    public mutating func add(
        from old: [UInt8], to new: [UInt8], budget: inout Int, marks: inout ListMarks,
        limits: ManifestLimits = ManifestLimits()
    ) -> Bool {
        guard let part = ChangedPart(old, new, &marks) else { return false }
        budget -= part.byteCount
        guard budget >= 0, let before = part.model(in: old, part.old, part.items.old, limits),
            let after = part.model(in: new, part.new, part.items.new, limits)
        else { return false }
        for resource in before.resources { if !remove(resource) { return false } }
        for resource in after.resources { if !add(resource) { return false } }
        return true
    }
}

extension ResourceChanges {
    public mutating func add(
        from old: [UInt8], to new: [UInt8], budget: inout Int, limits: ManifestLimits = ManifestLimits()
    ) -> Bool {
        var marks = ListMarks()
        return add(from: old, to: new, budget: &budget, marks: &marks, limits: limits)
    }
}

/// Where two texts differ, and perhaps some around it: text before and after is the same.
private struct ChangedPart {
    var old: Range<Int>
    var new: Range<Int>
    private var unit: Unit
    /// Of items those that are not in both texts, by where they stand.
    private(set) var items: (old: [Range<Int>], new: [Range<Int>]) = ([], [])

    private enum Unit {
        case documents
        /// Items of one list.
        case items
    }

    /// Nil where the texts do not fall into parts that can be read on their own.
    init?(_ old: [UInt8], _ new: [UInt8], _ marks: inout ListMarks) {
        if old.beginsWithMark || new.beginsWithMark { return nil }
        let shorter = min(old.count, new.count)
        let before = old.commonPrefix(new)
        let after = min(old.commonSuffix(new), shorter - before)
        if let items = Self.items(old, new, before: before, after: after, &marks) {
            self = items
            marks.replace(items.old, by: items.new)
        } else {
            marks = ListMarks()
            let start = old.lastDocumentMarker(before: before) ?? 0
            // What follows a line end inside of what is the same at the end is the same as well.
            let end = after == 0 ? old.count : old.documentMarker(after: old.count - after) ?? old.count
            self.init(old: start..<end, new: start..<new.count - (old.count - end), unit: .documents)
        }
        // Fewer bytes may repeat less by aliases, those of other documents, too.
        let rest = [0..<self.old.lowerBound, self.old.upperBound..<old.count]
        if new.count < old.count, rest.contains(where: { old.hasByte(UInt8(ascii: "*"), in: $0) }) { return nil }
    }

    private init(old: Range<Int>, new: Range<Int>, unit: Unit) {
        (self.old, self.new, self.unit) = (old, new, unit)
    }

    /// The items of a list at the beginning of both texts in which these differ; nil where it is something else.
    private static func items(
        _ old: [UInt8], _ new: [UInt8], before: Int, after: Int, _ marks: inout ListMarks
    ) -> ChangedPart? {
        old.withUnsafeBufferPointer { old in
            new.withUnsafeBufferPointer { new in
                guard let start = JSONListScanner(old).lastItem(before: before, &marks) else { return nil }
                var (scanner, other) = (start, start.moved(to: new))
                guard let end = scanner.endOfItem(from: old.count - after),
                    let otherEnd = other.endOfItem(from: new.count - after), old.count - end == new.count - otherEnd
                else { return nil }
                var part = ChangedPart(old: start.position..<end, new: start.position..<otherEnd, unit: .items)
                (scanner, other) = (start, start.moved(to: new))
                part.items = Self.differing(
                    (old, scanner.items(to: end)), (new, other.items(to: otherEnd)))
                return part
            }
        }
    }

    private typealias Items = (bytes: UnsafeBufferPointer<UInt8>, places: [Range<Int>])

    /// Without those that are in both, wherever they stand: who writes a list anew may order it otherwise.
    private static func differing(_ old: Items, _ new: Items) -> (old: [Range<Int>], new: [Range<Int>]) {
        if old.places.count < 2, new.places.count < 2 { return (old.places, new.places) }
        var known: [UInt64: [Int]] = [:]
        known.reserveCapacity(old.places.count)
        for (index, place) in old.places.enumerated() { known[digest(old.bytes[place]), default: []].append(index) }
        var isGone = [Bool](repeating: true, count: old.places.count)
        var added: [Range<Int>] = []
        for place in new.places {
            let key = digest(new.bytes[place])
            let index = known[key]?.firstIndex { old.bytes[old.places[$0]].elementsEqual(new.bytes[place]) }
            if let index, let former = known[key]?.remove(at: index) {
                isGone[former] = false
            } else {
                added.append(place)
            }
        }
        return (old.places.indices.filter { isGone[$0] }.map { old.places[$0] }, added)
    }

    /// Where it is the same, bytes are compared.
    private static func digest(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> UInt64 {
        let words = UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: bytes))
        var digest = UInt64(truncatingIfNeeded: words.count)
        var offset = 0
        while offset + 8 <= words.count {
            digest = (digest ^ words.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0x9E37_79B9_7F4A_7C15
            digest ^= digest >> 32
            offset += 8
        }
        return digest
    }

    /// Of what is read.
    var byteCount: Int {
        switch unit {
        case .documents: old.count + new.count
        case .items: (items.old + items.new).reduce(0) { $0 + $1.count }
        }
    }

    /// What a part says; nil where that is not known, or not valid.
    func model(in text: [UInt8], _ range: Range<Int>, _ items: [Range<Int>], _ limits: ManifestLimits) -> Model? {
        var apiVersion: String?
        var bytes: [UInt8]
        switch unit {
        case .documents:
            bytes = Array(text[range])
            // The first document states the version, and the others inherit it.
            if range.lowerBound > 0 {
                guard text.holdsDocument(before: range.lowerBound, limits) else { return nil }
                apiVersion = DocumentReader.apiVersion
            }
        case .items:
            // Being valid, the list that begins a file has stated the version itself.
            apiVersion = DocumentReader.apiVersion
            bytes = Array(#"{"kind": "List", "items": ["#.utf8)
            for (index, item) in items.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                bytes += text[item]
            }
            bytes += Array("]}".utf8)
        }
        var loader = ManifestLoader(limits: limits)
        let isPlain = loader.loadPart(ManifestSource(name: "", bytes: bytes), apiVersion: &apiVersion)
        guard isPlain, loader.findings.isEmpty, loader.model.gaps.isEmpty else { return nil }
        if range.upperBound < text.count, apiVersion == nil { return nil }
        return loader.model
    }
}

extension [UInt8] {
    /// A byte order mark.
    fileprivate var beginsWithMark: Bool { first.map { $0 >= 0xEF } ?? false }

    fileprivate func hasByte(_ byte: UInt8, in range: Range<Int>) -> Bool {
        withUnsafeBytes { bytes in
            bytes.baseAddress.map { memchr($0 + range.lowerBound, Int32(byte), range.count) != nil } ?? false
        }
    }

    fileprivate func commonPrefix(_ other: [UInt8]) -> Int {
        let count = Swift.min(self.count, other.count)
        return withUnsafeBytes { left in
            other.withUnsafeBytes { right in
                var index = 0
                while index + 8 <= count,
                    left.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                        == right.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                {
                    index += 8
                }
                while index < count, left[index] == right[index] { index += 1 }
                return index
            }
        }
    }

    fileprivate func commonSuffix(_ other: [UInt8]) -> Int {
        let count = Swift.min(self.count, other.count)
        return withUnsafeBytes { left in
            other.withUnsafeBytes { right in
                var length = 0
                while length + 8 <= count,
                    left.loadUnaligned(fromByteOffset: left.count - length - 8, as: UInt64.self)
                        == right.loadUnaligned(fromByteOffset: right.count - length - 8, as: UInt64.self)
                {
                    length += 8
                }
                while length < count, left[left.count - length - 1] == right[right.count - length - 1] { length += 1 }
                return length
            }
        }
    }

    /// Whether there is anything before a place that begins a document.
    fileprivate func holdsDocument(before end: Int, _ limits: ManifestLimits) -> Bool {
        var tree = NodeTree()
        var start = 0
        // One by one: libyaml reads far ahead.
        while start < end {
            let next = documentMarker(after: start).map { Swift.min($0, end) } ?? end
            let isThere = withUnsafeBufferPointer { bytes in
                let document = UnsafeBufferPointer(rebasing: bytes[start..<next])
                var reader = YAMLReader(document, limits: limits, aliasBudget: .max)
                return (try? reader.readDocument(into: &tree)) == true && !tree.isEmpty && !tree.isNull(0)
            }
            if isThere { return true }
            start = next
        }
        return false
    }
}
