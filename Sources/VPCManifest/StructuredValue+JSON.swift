extension StructuredValue {
    /// JSON (RFC 8259) with sorted names, two spaces a level, and a line end.
    public var json: String {
        var bytes: [UInt8] = []
        appendJSON(to: &bytes, indent: 0)
        bytes.append(UInt8(ascii: "\n"))
        return String(decoding: bytes, as: UTF8.self)
    }

    /// JSON on one line, with sorted names and without a line end.
    public var compactJSON: String {
        var bytes: [UInt8] = []
        appendJSON(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends JSON with sorted names.
    /// - Parameter indent: The level to start at, two spaces each; nil: all on one line.
    public func appendJSON(to bytes: inout [UInt8], indent: Int? = nil) {
        switch self {
        case .null: bytes += "null".utf8
        case .boolean(let value): bytes += (value ? "true" : "false").utf8
        case .integer(let value): bytes += String(value).utf8
        case .string(let value): Self.appendQuoted(value, to: &bytes)
        case .list(let elements):
            Self.appendBlock("[", elements, "]", to: &bytes, indent) { element, bytes, indent in
                element.appendJSON(to: &bytes, indent: indent)
            }
        case .object(let members):
            Self.appendBlock("{", members.sorted(by: { $0.name < $1.name }), "}", to: &bytes, indent) {
                member, bytes, indent in
                Self.appendQuoted(member.name, to: &bytes)
                bytes += (indent == nil ? ":" : ": ").utf8
                member.value.appendJSON(to: &bytes, indent: indent)
            }
        }
    }

    private static func appendBlock<Item>(
        _ opening: String, _ items: [Item], _ closing: String, to bytes: inout [UInt8], _ indent: Int?,
        _ append: (Item, inout [UInt8], Int?) -> Void
    ) {
        bytes += opening.utf8
        for (position, item) in items.enumerated() {
            if position > 0 { bytes.append(UInt8(ascii: ",")) }
            appendLine(indent.map { $0 + 1 }, to: &bytes)
            append(item, &bytes, indent.map { $0 + 1 })
        }
        if !items.isEmpty { appendLine(indent, to: &bytes) }
        bytes += closing.utf8
    }

    private static func appendLine(_ indent: Int?, to bytes: inout [UInt8]) {
        guard let indent else { return }
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * indent))
    }

    /// In quotes, with what a terminal or a JavaScript program could take for something else escaped.
    private static func appendQuoted(_ text: String, to bytes: inout [UInt8]) {
        // Manifests travel as strings: what needs no escape, nearly everything, is copied as it is.
        if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
            bytes.append(UInt8(ascii: "\""))
            bytes += text.utf8
            return bytes.append(UInt8(ascii: "\""))
        }
        bytes += quoted(text).utf8
    }
}

extension StructuredValue {
    /// Reads JSON (RFC 8259), strictly: one value, no name twice in an object.
    ///
    /// A number that is no integer of 64 bits is kept as a string: nothing of ours has any.
    /// - Parameter depth: Levels of lists and objects inside each other.
    public init(json bytes: [UInt8], depth: Int = ManifestLimits().depth) throws(JSONError) {
        self = try bytes.withUnsafeBufferPointer { (bytes) throws(JSONError) -> StructuredValue in
            var reader = JSONReader(bytes: bytes, depth: depth)
            return try reader.document()
        }
    }
}

/// Why something is no JSON, and where.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    /// One phrase.
    public var reason: String
    public var line: Int
    /// Characters from the beginning of the line, the first is 1.
    public var column: Int

    public var description: String { "line \(line), column \(column): \(reason)" }
}

/// A recursive descent over bytes.
private struct JSONReader {
    let bytes: UnsafeBufferPointer<UInt8>
    let depth: Int
    var index = 0
    var level = 0

    mutating func document() throws(JSONError) -> StructuredValue {
        let value = try value()
        skipSpace()
        if index < bytes.count { throw error("unexpected \(found) after the end of the value") }
        return value
    }

    private mutating func value() throws(JSONError) -> StructuredValue {
        skipSpace()
        guard index < bytes.count else { throw error("unexpected end") }
        switch bytes[index] {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try list()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .boolean(true))
        case UInt8(ascii: "f"): return try word("false", .boolean(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw error("expected a value, found \(found)")
        }
    }

    private mutating func object() throws(JSONError) -> StructuredValue {
        var members: [StructuredValue.Member] = []
        var names: Set<String> = []
        try enter()
        while try next(UInt8(ascii: "}"), isFirst: members.isEmpty) {
            guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else {
                throw error("expected a name in quotes, found \(found)")
            }
            let begin = index
            let name = try string()
            guard names.insert(name).inserted else { throw error("the name \(quoted(name)) is given twice", at: begin) }
            skipSpace()
            try take(UInt8(ascii: ":"))
            members.append(StructuredValue.Member(name, try value()))
        }
        return .object(members)
    }

    private mutating func list() throws(JSONError) -> StructuredValue {
        var elements: [StructuredValue] = []
        try enter()
        while try next(UInt8(ascii: "]"), isFirst: elements.isEmpty) { elements.append(try value()) }
        return .list(elements)
    }

    private mutating func enter() throws(JSONError) {
        level += 1
        if level > depth { throw error("more than \(depth) levels inside each other") }
        index += 1
    }

    /// Steps over what is between two items.
    /// - Returns: false, and behind it, at the end of the list or object.
    private mutating func next(_ closing: UInt8, isFirst: Bool) throws(JSONError) -> Bool {
        skipSpace()
        if index < bytes.count, bytes[index] == closing {
            index += 1
            level -= 1
            return false
        }
        if isFirst { return true }
        try take(UInt8(ascii: ","))
        skipSpace()
        return true
    }

    private mutating func take(_ byte: UInt8) throws(JSONError) {
        guard index < bytes.count, bytes[index] == byte else {
            throw error("expected \"\(Character(Unicode.Scalar(byte)))\", found \(found)")
        }
        index += 1
    }

    private mutating func word(_ word: StaticString, _ value: StructuredValue) throws(JSONError) -> StructuredValue {
        let isThere = word.withUTF8Buffer { bytes[index...].starts(with: $0) }
        guard isThere else { throw error("expected a value, found \(found)") }
        index += word.utf8CodeUnitCount
        return value
    }

    private mutating func number() throws(JSONError) -> StructuredValue {
        let begin = index
        if bytes[index] == UInt8(ascii: "-") { index += 1 }
        let first = index
        guard digits() > 0 else { throw error("expected a digit, found \(found)") }
        if bytes[first] == UInt8(ascii: "0"), index > first + 1 { throw error("a number begins with 0", at: begin) }
        var isInteger = true
        if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
            isInteger = false
            index += 1
            guard digits() > 0 else { throw error("expected a digit, found \(found)") }
        }
        if index < bytes.count, bytes[index] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            index += 1
            if index < bytes.count, bytes[index] == UInt8(ascii: "+") || bytes[index] == UInt8(ascii: "-") {
                index += 1
            }
            guard digits() > 0 else { throw error("expected a digit, found \(found)") }
        }
        let text = String(decoding: bytes[begin..<index], as: UTF8.self)
        return isInteger ? Int(text).map { .integer($0) } ?? .string(text) : .string(text)
    }

    private mutating func digits() -> Int {
        let begin = index
        while index < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[index]) { index += 1 }
        return index - begin
    }

    private mutating func string() throws(JSONError) -> String {
        let begin = index
        index += 1
        var text: [UInt8] = []
        var run = index
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") {
                text += bytes[run..<index]
                index += 1
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw error("a string is not UTF-8", at: begin)
                }
                return string
            }
            if byte == UInt8(ascii: "\\") {
                text += bytes[run..<index]
                text += String(try escape()).utf8
                run = index
            } else if byte < 0x20 {
                throw error("a control character in a string; write it as \\u00\(hexadecimal(Int32(byte), digits: 2))")
            } else {
                index += 1
            }
        }
        throw error("a string has no end", at: begin)
    }

    private mutating func escape() throws(JSONError) -> Unicode.Scalar {
        let begin = index
        index += 1
        guard index < bytes.count else { throw error("a string has no end") }
        let letter = bytes[index]
        index += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try unicodeEscape(begin)
        default: throw error("an unknown escape in a string", at: begin)
        }
    }

    /// `u00E4`, or a surrogate pair in two escapes.
    private mutating func unicodeEscape(_ begin: Int) throws(JSONError) -> Unicode.Scalar {
        let first = try hexadecimalDigits(begin)
        if let scalar = Unicode.Scalar(first) { return scalar }
        if first < 0xDC00, index + 1 < bytes.count, bytes[index] == UInt8(ascii: "\\"),
            bytes[index + 1] == UInt8(ascii: "u")
        {
            index += 2
            let second = try hexadecimalDigits(begin)
            if (0xDC00...0xDFFF).contains(second),
                let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
            {
                return scalar
            }
        }
        throw error("half of a surrogate pair", at: begin)
    }

    private mutating func hexadecimalDigits(_ begin: Int) throws(JSONError) -> UInt32 {
        let digits = bytes[index..<min(index + 4, bytes.count)]
        guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
            let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw error("\\u takes four hexadecimal digits", at: begin) }
        index += 4
        return value
    }

    private mutating func skipSpace() {
        while index < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[index]) { index += 1 }
    }

    // MARK: Errors

    private var found: String {
        guard index < bytes.count else { return "the end" }
        let byte = bytes[index]
        return (0x21...0x7E).contains(byte) ? "\"\(Character(Unicode.Scalar(byte)))\"" : "byte \(byte)"
    }

    private func error(_ reason: String, at place: Int? = nil) -> JSONError {
        var (line, column) = (1, 1)
        for byte in bytes[..<min(place ?? index, bytes.count)] {
            if byte == UInt8(ascii: "\n") {
                (line, column) = (line + 1, 1)
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
        return JSONError(reason: reason, line: line, column: column)
    }
}
