import CYAML

/// libyaml's event parser over bytes in memory, read document by document into a `NodeTree`.
///
/// All contact with libyaml is in this file. JSON is YAML to it.
struct YAMLReader: ~Copyable {
    // libyaml keeps pointers to its own parser, so that it must not move.
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let limits: ManifestLimits
    /// Nodes that aliases of this and further documents may still repeat.
    private(set) var aliasBudget: Int

    /// Where the current document's first line begins, in characters from the start of the bytes.
    private(set) var documentStart = 0

    /// - Parameter bytes: UTF-8 without a byte order mark; must outlive the reader.
    init(_ bytes: UnsafeBufferPointer<UInt8>, limits: ManifestLimits, aliasBudget: Int) {
        parser = .allocate(capacity: 1)
        self.limits = limits
        self.aliasBudget = aliasBudget
        // Fails only for want of memory; the first parse then reports it.
        yaml_parser_initialize(parser)
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        // Of no bytes there may be no address, which libyaml does not take.
        let nothing: StaticString = ""
        yaml_parser_set_input_string(parser, bytes.baseAddress ?? nothing.utf8Start, bytes.count)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    /// What made a document unreadable.
    struct Failure: Error {
        var rule: String
        var message: String
        var hint: String?
        var place: Place
        /// Where the construct began that could not be finished, and what it is.
        var context: (message: String, character: Int)?
        /// Whether a later document of the same bytes can still be read.
        var isRecoverable = true
    }

    /// A place in the parsed bytes.
    enum Place {
        case character(Int)
        case byte(Int)
    }

    /// Reads the next document into `tree`, replacing its content; false at the end of the bytes.
    mutating func readDocument(into tree: inout NodeTree) throws(Failure) -> Bool {
        tree.removeAll()
        var open: [Int] = []
        var anchors: [String: Int] = [:]
        var aliased = 0
        while true {
            var event = yaml_event_t()
            guard yaml_parser_parse(parser, &event) == 1 else { throw failure() }
            defer { yaml_event_delete(&event) }
            let start = event.start_mark.index
            switch event.type {
            case YAML_STREAM_END_EVENT:
                return false
            case YAML_DOCUMENT_START_EVENT:
                documentStart = start - event.start_mark.column
            case YAML_DOCUMENT_END_EVENT:
                return true
            case YAML_SCALAR_EVENT:
                let scalar = event.data.scalar
                if let anchor = scalar.anchor { anchors[String(cString: anchor)] = tree.nodes.count }
                tree.appendScalar(
                    UnsafeBufferPointer(start: scalar.value, count: scalar.length), start: UInt32(start),
                    tag: try Self.tag(scalar.tag, at: start),
                    isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE)
            case YAML_MAPPING_START_EVENT:
                let mapping = event.data.mapping_start
                if let anchor = mapping.anchor { anchors[String(cString: anchor)] = tree.nodes.count }
                try Self.check(mapping.tag, is: "map", at: start)
                open.append(tree.nodes.count)
                tree.openContainer(
                    .mapping, start: UInt32(start), isPlain: mapping.style == YAML_BLOCK_MAPPING_STYLE)
            case YAML_SEQUENCE_START_EVENT:
                let sequence = event.data.sequence_start
                if let anchor = sequence.anchor { anchors[String(cString: anchor)] = tree.nodes.count }
                try Self.check(sequence.tag, is: "seq", at: start)
                open.append(tree.nodes.count)
                tree.openContainer(
                    .sequence, start: UInt32(start), isPlain: sequence.style == YAML_BLOCK_SEQUENCE_STYLE)
            case YAML_MAPPING_END_EVENT, YAML_SEQUENCE_END_EVENT:
                if let container = open.popLast() { tree.closeContainer(container) }
            case YAML_ALIAS_EVENT:
                let name = event.data.alias.anchor.map { String(cString: $0) } ?? ""
                guard let anchored = anchors[name] else {
                    throw Failure(
                        rule: "undefined-alias",
                        message: "alias *\(short(name)) has no anchor before it in this document",
                        place: .character(start))
                }
                guard !open.contains(anchored) else {
                    throw Failure(
                        rule: "alias-expansion", message: "alias *\(short(name)) stands inside its own anchor",
                        place: .character(start))
                }
                let count = tree.next(anchored) - anchored
                aliased += count
                aliasBudget -= count
                guard aliased <= limits.aliasedNodes, aliasBudget >= 0 else {
                    throw Failure(
                        rule: "alias-expansion",
                        message: "the aliases expand to more than \(limits.aliasedNodes) nodes",
                        hint: "write the repeated parts out, or use fewer levels of aliases", place: .character(start),
                        isRecoverable: aliasBudget >= 0)
                }
                tree.appendCopy(of: anchored, start: UInt32(start))
            default:
                break
            }
            if open.count > limits.depth {
                throw Failure(
                    rule: "too-deep", message: "the document is nested more than \(limits.depth) levels deep",
                    place: .character(start))
            }
        }
    }

    // MARK: Tags

    private static let standard = "tag:yaml.org,2002:"

    private static func tag(
        _ tag: UnsafeMutablePointer<yaml_char_t>?, at start: Int
    ) throws(Failure) -> NodeTree.Tag {
        guard let tag else { return .implicit }
        switch String(cString: tag) {
        case "!", standard + "str": return .string
        case standard + "int": return .integer
        case standard + "float": return .floatingPoint
        case standard + "bool": return .boolean
        case standard + "null": return .null
        case let other: throw unsupported(other, at: start)
        }
    }

    private static func check(
        _ tag: UnsafeMutablePointer<yaml_char_t>?, is type: String, at start: Int
    ) throws(Failure) {
        guard let tag else { return }
        let text = String(cString: tag)
        guard text == "!" || text == standard + type else { throw unsupported(text, at: start) }
    }

    private static func unsupported(_ tag: String, at start: Int) -> Failure {
        Failure(
            rule: "unsupported-tag", message: "the tag \(short(tag, 60)) means nothing here", hint: "remove the tag",
            place: .character(start))
    }

    // MARK: libyaml's own errors

    private func failure() -> Failure {
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "libyaml failed"
        switch parser.pointee.error {
        case YAML_MEMORY_ERROR:
            return Failure(rule: "syntax", message: "out of memory", place: .byte(0), isRecoverable: false)
        case YAML_READER_ERROR:
            let offset = parser.pointee.problem_offset
            let value = parser.pointee.problem_value
            if value == 0, problem.hasPrefix("control characters") {
                return Failure(
                    rule: "not-utf8", message: "a zero byte is no text",
                    hint: "the file is damaged, or no text file", place: .byte(offset), isRecoverable: false)
            }
            if problem.hasPrefix("control characters") {
                return Failure(
                    rule: "syntax", message: "control character U+\(hexadecimal(value, digits: 4)) is not allowed here",
                    hint: "in double quotes it can be written as an escape", place: .byte(offset), isRecoverable: false)
            }
            return Failure(
                rule: "not-utf8",
                message: value < 0
                    ? "the file is not UTF-8: \(problem)"
                    : "the file is not UTF-8: \(problem) (0x\(hexadecimal(value, digits: 2)))",
                hint: "save the file as UTF-8", place: .byte(offset), isRecoverable: false)
        default:
            let place = parser.pointee.problem_mark.index
            let context = parser.pointee.context.map { String(cString: $0) }
            return Failure(
                rule: "syntax", message: problem, place: .character(place),
                context: context.map { ($0, parser.pointee.context_mark.index) })
        }
    }
}

/// Upper-case hexadecimal with leading zeros.
func hexadecimal(_ value: Int32, digits: Int) -> String {
    let text = String(UInt32(bitPattern: value), radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}
