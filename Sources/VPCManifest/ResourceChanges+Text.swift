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
    /// - Returns: false where the whole set has to be read: something of it is not valid, or may depend on what was
    ///   changed, or the budget does not suffice. What was added so far is then worth nothing.
    public mutating func add(
        from old: [UInt8], to new: [UInt8], budget: inout Int, limits: ManifestLimits = ManifestLimits()
    ) -> Bool {
        guard let part = ChangedPart(old, new) else { return false }
        budget -= part.old.count + part.new.count
        guard budget >= 0, let before = part.model(in: old, part.old, limits),
            let after = part.model(in: new, part.new, limits)
        else { return false }
        for resource in before.resources { if !remove(resource) { return false } }
        for resource in after.resources { if !add(resource) { return false } }
        return true
    }
}

/// Where two texts differ, and perhaps some around it: text before and after is the same.
private struct ChangedPart {
    var old: Range<Int>
    var new: Range<Int>
    private var unit: Unit

    private enum Unit {
        case documents
        /// Items of one list.
        case items
    }

    /// Nil where the texts do not fall into parts that can be read on their own.
    init?(_ old: [UInt8], _ new: [UInt8]) {
        if old.beginsWithMark || new.beginsWithMark { return nil }
        let shorter = min(old.count, new.count)
        let before = old.commonPrefix(new)
        let after = min(old.commonSuffix(new), shorter - before)
        if let items = Self.items(old, new, before: before, after: after) {
            self = items
        } else {
            let start = old.lastDocumentMarker(before: before) ?? 0
            // What follows a line end inside of what is the same at the end is the same as well.
            let end = after == 0 ? old.count : old.documentMarker(after: old.count - after) ?? old.count
            self.init(old: start..<end, new: start..<new.count - (old.count - end), unit: .documents)
        }
        // Fewer bytes may repeat less by aliases, those of other documents, too.
        let rest = [old[..<self.old.lowerBound], old[self.old.upperBound...]]
        if new.count < old.count, rest.contains(where: { $0.contains(UInt8(ascii: "*")) }) { return nil }
    }

    private init(old: Range<Int>, new: Range<Int>, unit: Unit) {
        (self.old, self.new, self.unit) = (old, new, unit)
    }

    /// The items of a list at the beginning of both texts in which these differ; nil where it is something else.
    private static func items(_ old: [UInt8], _ new: [UInt8], before: Int, after: Int) -> ChangedPart? {
        old.withUnsafeBufferPointer { old in
            new.withUnsafeBufferPointer { new in
                guard let start = JSONListScanner(old).lastItem(before: before) else { return nil }
                var (scanner, other) = (start, start.moved(to: new))
                guard let end = scanner.endOfItem(from: old.count - after),
                    let otherEnd = other.endOfItem(from: new.count - after), old.count - end == new.count - otherEnd
                else { return nil }
                return ChangedPart(old: start.position..<end, new: start.position..<otherEnd, unit: .items)
            }
        }
    }

    /// What a part says; nil where that is not known, or not valid.
    func model(in text: [UInt8], _ range: Range<Int>, _ limits: ManifestLimits) -> Model? {
        var apiVersion: String?
        var bytes = Array(text[range])
        switch unit {
        case .documents:
            // The first document states the version, and the others inherit it.
            if range.lowerBound > 0 {
                guard text.holdsDocument(before: range.lowerBound, limits) else { return nil }
                apiVersion = DocumentReader.apiVersion
            }
        case .items:
            // Being valid, the list that begins a file has stated the version itself.
            apiVersion = DocumentReader.apiVersion
            bytes = Array(#"{"kind": "List", "items": ["#.utf8) + bytes + Array("]}".utf8)
        }
        var loader = ManifestLoader(limits: limits)
        let isPlain = loader.loadPart(ManifestSource(name: "", bytes: bytes), apiVersion: &apiVersion)
        guard isPlain, loader.findings.isEmpty, loader.model.gaps.isEmpty else { return nil }
        if range.upperBound < text.count, apiVersion == nil { return nil }
        return loader.model
    }
}

extension JSONListScanner {
    /// The scanner where the last item begins that may begin in the first `end` bytes; nil where there is none.
    fileprivate func lastItem(before end: Int) -> JSONListScanner? {
        var (scanner, last) = (self, JSONListScanner?.none)
        while scanner.step() != nil, scanner.position <= end {
            if scanner.isBeforeItem { last = scanner }
        }
        return last
    }
}

extension [UInt8] {
    /// A byte order mark.
    fileprivate var beginsWithMark: Bool { first.map { $0 >= 0xEF } ?? false }

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
