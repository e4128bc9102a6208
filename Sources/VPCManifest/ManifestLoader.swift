internal import VPCModel

/// Decodes sources document by document. Only one document's nodes are in memory at a time.
struct ManifestLoader {
    let limits: ManifestLimits
    var model = Model()
    private(set) var places = DocumentPlaces()
    private(set) var findings: [Finding] = []
    private(set) var documentCount = 0
    private var reader: DocumentReader

    /// A diagnostic whose second place is still to be looked up.
    struct Finding {
        var diagnostic: LocatedDiagnostic
        var related: Diagnostic.Related?
    }

    init(limits: ManifestLimits) {
        self.limits = limits
        reader = DocumentReader(capacity: limits.errors)
        reader.allowsAnswers = limits.allowsAnswers
    }

    /// What an agent called resources when it told of them.
    var versions: [ResourceReference: String] { reader.versions }

    private var isFull: Bool { findings.count >= limits.errors }

    /// What cannot be named may be any resource at all.
    private mutating func markUnknown() { model.gaps.kinds = Set(ResourceKind.allCases) }

    mutating func load(_ source: ManifestSource, index: Int) {
        guard !isFull else { return }
        reader.tree.reserveCapacity(forBytes: source.bytes.count)
        guard let begin = textStart(of: source) else { return }
        var apiVersion: String?
        _ = load(source, index: index, from: begin, apiVersion: &apiVersion)
    }

    /// Where the text of a source begins; nil, with a diagnostic, where it is no UTF-8 as its first bytes tell.
    private mutating func textStart(of source: ManifestSource) -> SourceCursor? {
        switch TextEncoding(source.bytes) {
        case .utf8(let mark): return SourceCursor(byte: mark, line: 1)
        case .other(let name):
            markUnknown()
            append(
                Finding(
                    diagnostic: LocatedDiagnostic(
                        rule: "not-utf8", message: "\(source.name): the file is \(name), not UTF-8",
                        hint: "save the file as UTF-8")))
            return nil
        }
    }

    /// Reads documents that stand in the middle of a source.
    /// - Parameter apiVersion: What a document before them has stated; returns what is stated after them.
    /// - Returns: false where aliases repeat something: how much all documents of a source may repeat is limited.
    mutating func loadPart(_ part: ManifestSource, apiVersion: inout String?) -> Bool {
        reader.tree.reserveCapacity(forBytes: part.bytes.count)
        return load(part, index: 0, from: SourceCursor(byte: 0, line: 1), apiVersion: &apiVersion) == 0
    }

    /// - Returns: How many nodes aliases repeat.
    private mutating func load(
        _ source: ManifestSource, index: Int, from start: SourceCursor, apiVersion: inout String?
    ) -> Int {
        // Work stays linear in the size of the file, whatever the number of its documents.
        let limit = limits.aliasedNodes + source.bytes.count
        var (begin, aliasBudget) = (start, limit)
        var mark = source.bytes.innerMark(after: begin.byte)
        while true {
            if let found = mark, begin.byte >= found.byte {
                begin = SourceCursor(byte: max(begin.byte, found.end), line: begin.line)
                mark = source.bytes.innerMark(after: begin.byte)
            }
            let end = mark.map { readableEnd(from: begin.byte, before: $0, in: source.bytes) } ?? source.bytes.count
            let next = readDocuments(
                source, index: index, from: begin, to: end, apiVersion: &apiVersion, aliasBudget: &aliasBudget)
            guard let next else { break }
            begin = next
            if let found = mark, !found.isBetweenDocuments, begin.byte >= end {
                guard let rest = skipDocument(around: found, from: begin, source) else { break }
                begin = rest
                mark = source.bytes.innerMark(after: begin.byte)
            }
        }
        return limit - aliasBudget
    }

    /// How far documents can be read before a byte order mark: up to it, or to the document that it stands in.
    private func readableEnd(from start: Int, before mark: InnerByteOrderMark, in bytes: [UInt8]) -> Int {
        if mark.isBetweenDocuments { return mark.byte }
        return bytes.lastDocumentMarker(before: mark.byte).map { max(start, $0) } ?? start
    }

    /// Complains about a byte order mark inside of a document; returns where the next document begins.
    private mutating func skipDocument(
        around mark: InnerByteOrderMark, from begin: SourceCursor, _ source: ManifestSource
    ) -> SourceCursor? {
        markUnknown()
        var cursor = begin
        cursor.advance(toByte: mark.byte, in: source.bytes)
        append(
            Finding(
                diagnostic: LocatedDiagnostic(
                    rule: "byte-order-mark", message: "a byte order mark (U+FEFF) stands inside of a document",
                    hint: "remove it; between files that are put together goes a line of three dashes: ---",
                    location: cursor.location(in: source, isText: false))))
        guard !isFull, let next = source.bytes.documentMarker(after: mark.byte) else { return nil }
        return cursor.lineStart(at: next, in: source.bytes)
    }

    /// Reads documents up to `end` or the first that cannot be read; returns where to go on after that one, nil where
    /// there is nothing more.
    private mutating func readDocuments(
        _ source: ManifestSource, index: Int, from begin: SourceCursor, to end: Int, apiVersion: inout String?,
        aliasBudget: inout Int
    ) -> SourceCursor? {
        // Moves from document to document; characters count from `begin`.
        var cursor = begin
        return source.bytes.withUnsafeBufferPointer { bytes -> SourceCursor? in
            var yaml = YAMLReader(
                UnsafeBufferPointer(rebasing: bytes[begin.byte..<end]), limits: limits, aliasBudget: aliasBudget)
            defer { aliasBudget = yaml.aliasBudget }
            do throws(YAMLReader.Failure) {
                while try yaml.readDocument(into: &reader.tree) {
                    cursor.advance(toCharacter: yaml.documentStart, in: source.bytes)
                    decode(source, index: index, at: cursor, characters: yaml.documentStart, apiVersion: &apiVersion)
                    if isFull { return nil }
                }
                return end < bytes.count ? cursor.lineStart(at: end, in: source.bytes) : nil
            } catch {
                markUnknown()
                // It may have stated the version that the next ones rely on.
                apiVersion = apiVersion ?? DocumentReader.apiVersion
                cursor.advance(toCharacter: yaml.documentStart, in: source.bytes)
                let failed = cursor
                report(error, source, from: begin)
                guard error.isRecoverable, !isFull else { return nil }
                let next = nextDocument(after: failed, error, in: source.bytes, from: begin)
                if let next, next.byte < end { return next }
                return end < bytes.count ? failed.lineStart(at: end, in: source.bytes) : nil
            }
        }
    }

    /// Reads a source of exactly one document, which is no manifest.
    /// - Parameter read: Takes what it knows out of the reader's tree.
    mutating func loadSingle(_ source: ManifestSource, _ read: (inout DocumentReader) -> Void) {
        guard let begin = textStart(of: source) else { return }
        var cursor = begin
        source.bytes.withUnsafeBufferPointer { bytes in
            var yaml = YAMLReader(
                UnsafeBufferPointer(rebasing: bytes[begin.byte...]), limits: limits,
                aliasBudget: limits.aliasedNodes + bytes.count)
            do throws(YAMLReader.Failure) {
                guard try yaml.readDocument(into: &reader.tree), !reader.tree.isEmpty else { return }
                cursor.advance(toCharacter: yaml.documentStart, in: source.bytes)
                reader.begin()
                read(&reader)
                if !reader.problems.isEmpty { locateProblems(source, at: cursor, characters: yaml.documentStart) }
                guard try yaml.readDocument(into: &reader.tree), !reader.tree.isEmpty else { return }
                cursor.advance(toCharacter: yaml.documentStart, in: source.bytes)
                reader.begin()
                reader.report(
                    "several-documents", "a second document begins here", hint: "one file is one document here", at: 0)
                locateProblems(source, at: cursor, characters: yaml.documentStart)
            } catch {
                report(error, source, from: begin)
            }
        }
    }

    // MARK: Documents

    private mutating func decode(
        _ source: ManifestSource, index: Int, at cursor: SourceCursor, characters: Int, apiVersion: inout String?
    ) {
        // Nothing, a comment, or an explicit null between two `---`.
        if reader.tree.isEmpty || (reader.tree.isNull(0) && reader.tree.next(0) == reader.tree.nodes.count) { return }
        reader.begin()
        var place = DocumentPlace(
            source: UInt32(index), byte: UInt32(cursor.byte), line: UInt32(cursor.line), item: -1)
        if let items = reader.listItems(apiVersion: &apiVersion) {
            documentCount += 1
            if !reader.problems.isEmpty { markUnknown() }
            var inherited = apiVersion
            for (position, item) in items.enumerated() {
                reader.root = item
                place.item = Int32(position)
                decodeResource(place, apiVersion: &inherited)
                if findings.count + reader.problems.count >= limits.errors { break }
            }
        } else {
            documentCount += 1
            decodeResource(place, apiVersion: &apiVersion)
        }
        if !reader.problems.isEmpty { locateProblems(source, at: cursor, characters: characters) }
    }

    private mutating func decodeResource(_ place: DocumentPlace, apiVersion: inout String?) {
        let document = reader.document(apiVersion: &apiVersion)
        guard let kind = document.kind else {
            if let name = document.name {
                // A misspelt kind: whichever was meant, this name is taken.
                model.gaps.resources.formUnion(ResourceKind.allCases.map { ResourceReference($0, name) })
            } else {
                markUnknown()
            }
            return
        }
        let reference = document.name.map { ResourceReference(kind, $0) }
        let isFirst = reference.map { places[$0] == nil } ?? false
        let isRead =
            document.spec.map {
                kind.inManifests.read(document, $0, &reader, into: &model, isWanted: isFirst)
            } ?? false
        guard let reference, let nameNode = document.nameNode else {
            model.gaps.kinds.insert(kind)
            return
        }
        guard isFirst else {
            reader.report(
                "duplicate-name", "there is another \(kind.rawValue) of this name",
                hint: "names are unique per kind in all files of a set", at: nameNode,
                related: .resource(Diagnostic.Related("the first one is here", at: reference, ["metadata", "name"])))
            return
        }
        places[reference] = place
        if !isRead { model.gaps.resources.insert(reference) }
    }

    // MARK: Diagnostics

    private mutating func append(_ finding: Finding) {
        findings.append(finding)
        if findings.count == limits.errors {
            markUnknown()
            findings.append(
                Finding(
                    diagnostic: LocatedDiagnostic(
                        rule: "too-many-errors", message: "too many errors: stopped after \(limits.errors)")))
        }
    }

    /// Gives the problems of the document in the reader their places.
    private mutating func locateProblems(_ source: ManifestSource, at start: SourceCursor, characters: Int) {
        let tree = reader.tree
        let problems = reader.problems.sorted { tree[$0.mark].start < tree[$1.mark].start }
        // All places in one ascending pass, for each is found by walking there.
        var finder = NodeLocator(source: source, start: start, characters: characters)
        let marks = Set(problems.map(\.mark) + problems.compactMap(\.relatedNode))
        var locations: [Int: SourceSpan] = [:]
        for mark in marks.sorted(by: { tree[$0].start < tree[$1].start }) {
            locations[mark] = finder.location(of: mark, in: tree)
        }
        for problem in problems where !isFull {
            var finding = Finding(
                diagnostic: LocatedDiagnostic(
                    rule: problem.rule, message: problem.message, hint: problem.hint, resource: problem.resource,
                    path: problem.path, location: locations[problem.mark]))
            switch problem.related {
            case nil: break
            case .resource(let related): finding.related = related
            case .node(let node, let message):
                finding.diagnostic.notes =
                    locations[node].map { [LocatedDiagnostic.Note(message: message, location: $0)] } ?? []
            }
            append(finding)
        }
    }

    private mutating func report(
        _ failure: YAMLReader.Failure, _ source: ManifestSource, from begin: SourceCursor
    ) {
        let bytes = source.bytes
        // The place may lie before the document that was to be read: count from the beginning of what was parsed.
        var cursor = begin
        switch failure.place {
        case .character(let character): cursor.advance(toCharacter: character, in: bytes)
        case .byte(let byte): cursor.advance(toByte: begin.byte + byte, in: bytes)
        }
        var finding = LocatedDiagnostic(
            rule: failure.rule, message: failure.message, hint: failure.hint,
            location: cursor.location(in: source, isText: failure.rule != "syntax"))
        if let context = failure.context {
            var contextCursor = begin
            contextCursor.advance(toCharacter: context.character, in: bytes)
            if contextCursor.line == cursor.line {
                finding.message += " " + context.message
            } else {
                finding.notes = [
                    LocatedDiagnostic.Note(
                        message: context.message, location: contextCursor.location(in: source, isText: false))
                ]
            }
        }
        if failure.rule == "syntax", finding.hint == nil { finding.hint = Self.hint(for: failure, bytes, cursor) }
        append(Finding(diagnostic: finding))
    }

    /// What usually is behind one of libyaml's complaints.
    private static func hint(for failure: YAMLReader.Failure, _ bytes: [UInt8], _ cursor: SourceCursor) -> String? {
        if cursor.byte < bytes.count, bytes[cursor.byte] == UInt8(ascii: "\t") { return "indent with spaces, not tabs" }
        switch failure.message {
        case "did not find expected <document start>": return "separate documents with a line of three dashes: ---"
        case "mapping values are not allowed in this context":
            return "quote a value that contains \": \", and check the indentation"
        case "found character that cannot start any token": return "quote a value that begins with @, ` or %"
        case "could not find expected ':'", "did not find expected key":
            return "check the indentation of this line and the line before"
        default: return nil
        }
    }

    /// The line of the next `---` after a document that cannot be read: in YAML nothing but a document's end can hold
    /// one at the start of a line, so that reading can go on there and find the other documents' errors too.
    private func nextDocument(
        after failed: SourceCursor, _ failure: YAMLReader.Failure, in bytes: [UInt8], from begin: SourceCursor
    ) -> SourceCursor? {
        var cursor = failed
        switch failure.place {
        case .character(let character): cursor.advance(toCharacter: character, in: bytes)
        case .byte(let byte): cursor.advance(toByte: begin.byte + byte, in: bytes)
        }
        guard let marker = bytes.documentMarker(after: max(cursor.byte - 1, failed.byte)) else { return nil }
        return failed.lineStart(at: marker, in: bytes)
    }
}

extension [UInt8] {
    /// The start of the first line `---` whose preceding line end is at `start` or later. Inside a document no line can
    /// begin so, whatever it is made of.
    func documentMarker(after start: Int) -> Int? {
        withUnsafeBufferPointer { bytes in
            var index = start
            while index + 3 < bytes.count {
                defer { index += 1 }
                guard bytes[index] == UInt8(ascii: "\n") || bytes[index] == UInt8(ascii: "\r") else { continue }
                let isMarker =
                    bytes[index + 1] == UInt8(ascii: "-") && bytes[index + 2] == UInt8(ascii: "-")
                    && bytes[index + 3] == UInt8(ascii: "-")
                if isMarker, index + 4 == bytes.count || " \t\r\n".utf8.contains(bytes[index + 4]) { return index + 1 }
            }
            return nil
        }
    }

    /// The start of the last line `---`, with what follows the dashes, that ends before `end`.
    func lastDocumentMarker(before end: Int) -> Int? {
        var index = end - 5
        while index >= 0 {
            if self[index] == UInt8(ascii: "\n") || self[index] == UInt8(ascii: "\r"),
                let marker = self[..<Swift.min(end, index + 5)].documentMarker(at: index + 1)
            {
                return marker
            }
            index -= 1
        }
        return nil
    }
}

extension ArraySlice<UInt8> {
    /// `index` where three dashes and a space or line end are there.
    fileprivate func documentMarker(at index: Int) -> Int? {
        guard index + 3 < endIndex, self[index...index + 2].allSatisfy({ $0 == UInt8(ascii: "-") }),
            " \t\r\n".utf8.contains(self[index + 3])
        else { return nil }
        return index
    }
}
