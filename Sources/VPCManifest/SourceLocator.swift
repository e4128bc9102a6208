internal import VPCModel

/// Finds nodes of one document in its source; linear in the document when asked in ascending order.
struct NodeLocator {
    private let source: ManifestSource
    private let start: SourceCursor
    /// Characters before the document in what was parsed.
    private let characters: Int
    private var cursor: SourceCursor

    init(source: ManifestSource, start: SourceCursor, characters: Int) {
        self.source = source
        self.start = SourceCursor(byte: start.byte, line: start.line)
        self.characters = characters
        cursor = self.start
    }

    mutating func location(of node: Int, in tree: NodeTree) -> SourceSpan {
        let target = Int(tree[node].start) - characters
        if target < cursor.character { cursor = start }
        cursor.advance(toCharacter: target, in: source.bytes)
        return cursor.location(in: source, isText: tree[node].kind == .scalar)
    }
}

/// Turns resources and field paths into places. The node trees are gone by then: the documents in question are read
/// again, which costs nothing where nothing is wrong.
struct SourceLocator {
    let sources: [ManifestSource]
    let places: DocumentPlaces
    let limits: ManifestLimits

    func locations(of fields: [(resource: ResourceReference, path: FieldPath)]) -> [SourceSpan?] {
        var result = [SourceSpan?](repeating: nil, count: fields.count)
        var wanted: [(index: Int, place: DocumentPlace)] = []
        for (index, field) in fields.enumerated() {
            if let place = places[field.resource] { wanted.append((index, place)) }
        }
        // Fields of one document together, for it is read once.
        wanted.sort {
            ($0.place.source, $0.place.byte, $0.place.item) < ($1.place.source, $1.place.byte, $1.place.item)
        }
        var tree = NodeTree()
        var finder = PathFinder()
        var read: (source: UInt32, byte: UInt32)?
        var isRead = false
        var pending: [(index: Int, node: Int)] = []
        var start = SourceCursor(byte: 0, line: 1)
        func finish(_ source: UInt32) {
            var locator = NodeLocator(source: sources[Int(source)], start: start, characters: 0)
            for (index, node) in pending.sorted(by: { tree[$0.node].start < tree[$1.node].start }) {
                result[index] = locator.location(of: node, in: tree)
            }
            pending.removeAll()
        }
        for (index, place) in wanted {
            if read?.source != place.source || read?.byte != place.byte {
                if let read { finish(read.source) }
                read = (place.source, place.byte)
                start = SourceCursor(byte: Int(place.byte), line: Int(place.line))
                isRead = readDocument(place, into: &tree)
                finder = PathFinder()
            }
            guard isRead else { continue }
            var root = 0
            if place.item >= 0 {
                guard let key = tree.key(named: "items", of: 0),
                    let item = finder.element(Int(place.item), of: tree.next(key), in: tree)
                else { continue }
                root = item
            }
            pending.append((index, finder.mark(of: fields[index].path, from: root, in: tree)))
        }
        if let read { finish(read.source) }
        return result
    }

    private func readDocument(_ place: DocumentPlace, into tree: inout NodeTree) -> Bool {
        let bytes = sources[Int(place.source)].bytes
        let start = Int(place.byte)
        // libyaml reads ahead; where many documents are wanted it should not do so each time. A document that begins
        // with directives has its own marker below them.
        let end = bytes[start] == UInt8(ascii: "%") ? nil : bytes.documentMarker(after: start)
        return bytes.withUnsafeBufferPointer { bytes in
            var reader = YAMLReader(
                UnsafeBufferPointer(rebasing: bytes[start..<(end ?? bytes.count)]), limits: limits, aliasBudget: .max)
            return (try? reader.readDocument(into: &tree)) ?? false
        }
    }

    /// Diagnostics of later stages with their places.
    func located(_ diagnostics: [Diagnostic]) -> [LocatedDiagnostic] {
        let own = locations(of: diagnostics.map { ($0.resource, $0.path) })
        let located = zip(diagnostics, own).map { diagnostic, location in
            ManifestLoader.Finding(
                diagnostic: LocatedDiagnostic(
                    severity: diagnostic.severity, rule: diagnostic.rule, message: diagnostic.message,
                    hint: diagnostic.hint,
                    resource: diagnostic.resource, path: diagnostic.path, location: location),
                related: diagnostic.related)
        }
        return finished(located)
    }

    /// Findings with their second places.
    func finished(_ findings: [ManifestLoader.Finding]) -> [LocatedDiagnostic] {
        var diagnostics = findings.map(\.diagnostic)
        let withRelated = findings.indices.filter { findings[$0].related != nil }
        let related = withRelated.compactMap { findings[$0].related }
        let locations = locations(of: related.map { ($0.resource, $0.path) })
        for (position, index) in withRelated.enumerated() {
            guard let location = locations[position] else { continue }
            diagnostics[index].notes.append(
                LocatedDiagnostic.Note(message: related[position].message, location: location))
        }
        return diagnostics
    }

    /// By source in the order of reading, then by line; those about whole files come first, and last that there are
    /// more.
    func sorted(_ diagnostics: [LocatedDiagnostic]) -> [LocatedDiagnostic] {
        var ranks: [String: Int] = [:]
        for (index, source) in sources.enumerated() where ranks[source.name] == nil { ranks[source.name] = index }
        let keys = diagnostics.enumerated().map { index, diagnostic in
            let position = diagnostic.position
            let rank = diagnostic.rule == "too-many-errors" ? Int.max : position.flatMap { ranks[$0.file] } ?? -1
            return (rank, position?.line ?? 0, position?.column ?? 0, index)
        }
        return keys.sorted(by: <).map { diagnostics[$0.3] }
    }
}
