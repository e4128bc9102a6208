/// Walks the text of a `List` written as JSON (RFC 8259) and knows where its items begin and end.
///
/// Manifests are read as YAML, of which JSON is a part. So the scanner is strict: at the first token that is not JSON it
/// gives up, because YAML may take it for something else, and all that follows too.
struct JSONListScanner {
    private var bytes: UnsafeBufferPointer<UInt8>
    private(set) var position = 0
    /// What the innermost mappings and sequences are, the last one in the lowest bit: 1 for a mapping.
    private var mappings: UInt64 = 0
    private var depth = 0
    private var expected = Expected.value
    /// The last key of the list itself.
    private var key = Range(uncheckedBounds: (0, 0))

    private enum Expected {
        case value
        /// A sequence was opened.
        case valueOrEnd
        /// A mapping was opened.
        case keyOrEnd
        case key
        case colon
        /// A comma, or the end of the mapping or sequence.
        case separator
    }

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    /// Whether an item, or the list's end, can follow here.
    var isBeforeItem: Bool { isInItems && (expected == .value || expected == .valueOrEnd) }

    private var isInItems: Bool {
        depth == 2 && mappings & 1 == 0 && "items".utf8.elementsEqual(bytes[key])
    }

    /// This scanner at the same place of a text that is the same up to there.
    func moved(to bytes: UnsafeBufferPointer<UInt8>) -> JSONListScanner {
        var scanner = self
        scanner.bytes = bytes
        return scanner
    }

    /// The list's token at or behind `offset` that ends an item, or all of them.
    /// - Returns: its place; nil where there is none, or something before it is not JSON.
    mutating func endOfItem(from offset: Int) -> Int? {
        while true {
            let wasInItems = isInItems
            guard let token = step() else { return nil }
            let isEnd = bytes[token] == UInt8(ascii: ",") || bytes[token] == UInt8(ascii: "]")
            if wasInItems, isEnd, token >= offset { return token }
        }
    }

    /// Takes the next token.
    /// - Returns: where it begins; nil where it is not JSON, or the text ends.
    mutating func step() -> Int? {
        while position < bytes.count, Self.isSpace(bytes[position]) { position += 1 }
        guard position < bytes.count else { return nil }
        let start = position
        return take(bytes[start]) ? start : nil
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r")
            || byte == UInt8(ascii: "\t")
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        switch (expected, byte) {
        case (.value, UInt8(ascii: "{")), (.valueOrEnd, UInt8(ascii: "{")): return open(isMapping: true)
        case (.value, UInt8(ascii: "[")), (.valueOrEnd, UInt8(ascii: "[")): return open(isMapping: false)
        case (.value, _), (.valueOrEnd, _):
            if byte == UInt8(ascii: "]"), expected == .valueOrEnd { return close() }
            expected = .separator
            return depth > 0 && (byte == UInt8(ascii: "\"") ? takeString() : takeWord())
        case (.keyOrEnd, UInt8(ascii: "}")): return close()
        case (.keyOrEnd, UInt8(ascii: "\"")), (.key, UInt8(ascii: "\"")):
            let start = position + 1
            guard takeString() else { return false }
            if depth == 1 { key = start..<position - 1 }
            expected = .colon
            return true
        case (.colon, UInt8(ascii: ":")):
            position += 1
            expected = .value
            return true
        case (.separator, UInt8(ascii: ",")):
            position += 1
            expected = mappings & 1 == 1 ? .key : .value
            return true
        case (.separator, UInt8(ascii: "}")): return mappings & 1 == 1 && close()
        case (.separator, UInt8(ascii: "]")): return mappings & 1 == 0 && close()
        default: return false
        }
    }

    private mutating func open(isMapping: Bool) -> Bool {
        guard depth < UInt64.bitWidth, depth > 0 || isMapping else { return false }
        position += 1
        depth += 1
        mappings = mappings << 1 | (isMapping ? 1 : 0)
        expected = isMapping ? .keyOrEnd : .valueOrEnd
        return true
    }

    /// The text ends with the list, as far as the scanner is concerned.
    private mutating func close() -> Bool {
        position += 1
        depth -= 1
        mappings >>= 1
        expected = .separator
        return depth > 0
    }

    private mutating func takeString() -> Bool {
        position += 1
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") { return true }
            if byte == UInt8(ascii: "\\") { position += 1 }
            // YAML folds lines.
            if byte < 0x20 { return false }
        }
        return false
    }

    /// A number, `true`, `false` or `null`.
    private mutating func takeWord() -> Bool {
        let start = position
        while position < bytes.count, Self.isOfWord(bytes[position]) { position += 1 }
        let word = bytes[start..<position]
        if let first = word.first, Self.isDigit(first) { return true }
        if word.first == UInt8(ascii: "-") { return word.count > 1 && Self.isDigit(word[start + 1]) }
        return ["true", "false", "null"].contains { $0.utf8.elementsEqual(word) }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    private static func isOfWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"): true
        case UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "E"): true
        default: false
        }
    }
}
