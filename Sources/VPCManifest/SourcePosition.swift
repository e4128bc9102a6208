/// A place in a source: line and column count from 1, columns in Unicode scalars.
public struct SourcePosition: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var file: String
    public var line: Int
    public var column: Int

    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    /// `blue.yaml:12:8`.
    public var description: String { "\(file):\(line):\(column)" }

    public static func < (left: SourcePosition, right: SourcePosition) -> Bool {
        (left.file, left.line, left.column) < (right.file, right.line, right.column)
    }
}

/// A place in a source together with what stands there, so that it can be shown when the source is gone.
public struct SourceSpan: Hashable, Sendable {
    public var position: SourcePosition
    /// The line, without its end; of a very long one a part around the column, with `…` where it was cut.
    public var excerpt: String
    /// Unicode scalars of `excerpt` before the place.
    public var indent: Int
    /// Unicode scalars to underline, at least 1.
    public var width: Int

    public init(position: SourcePosition, excerpt: String, indent: Int, width: Int) {
        self.position = position
        self.excerpt = excerpt
        self.indent = indent
        self.width = width
    }
}

/// A place in a source's bytes that can move forwards, knowing line and column.
///
/// libyaml counts characters and takes U+0085, U+2028 and U+2029 for line ends too; an editor takes bytes from a
/// file and does not. So only libyaml's character index is used, and lines are counted here.
struct SourceCursor: Sendable {
    private(set) var byte: Int
    /// Unicode scalars since where the cursor was made.
    private(set) var character = 0
    private(set) var line: Int
    private(set) var lineStart: Int
    /// Unicode scalars since the start of the line.
    private(set) var column = 0

    /// A cursor at the first byte of a line.
    init(byte: Int, line: Int) {
        self.byte = byte
        self.line = line
        lineStart = byte
    }

    /// A cursor at a later byte with which a line begins.
    func lineStart(at target: Int, in bytes: [UInt8]) -> SourceCursor {
        var cursor = self
        cursor.advance(toByte: target, in: bytes)
        return SourceCursor(byte: cursor.byte, line: cursor.line)
    }

    mutating func advance(toCharacter target: Int, in bytes: [UInt8]) {
        advance(in: bytes) { character, _ in character < target }
    }

    mutating func advance(toByte target: Int, in bytes: [UInt8]) {
        advance(in: bytes) { _, byte in byte < target }
    }

    private mutating func advance(in bytes: [UInt8], while isBefore: (_ character: Int, _ byte: Int) -> Bool) {
        bytes.withUnsafeBufferPointer { bytes in
            var (byte, character, line, lineStart, column) = (byte, character, line, lineStart, column)
            while byte < bytes.count, isBefore(character, byte) {
                let value = bytes[byte]
                byte += 1
                // Continuation bytes belong to the character before them.
                while byte < bytes.count, bytes[byte] & 0xC0 == 0x80 { byte += 1 }
                character += 1
                column += 1
                let isLineEnd =
                    value == UInt8(ascii: "\n")
                    || (value == UInt8(ascii: "\r") && !(byte < bytes.count && bytes[byte] == UInt8(ascii: "\n")))
                if isLineEnd { (line, lineStart, column) = (line + 1, byte, 0) }
            }
            (self.byte, self.character, self.line, self.lineStart, self.column) = (
                byte, character, line, lineStart, column
            )
        }
    }

    /// The location here; `isText` underlines the word, quoted string or alias that begins here, else one character.
    func location(in source: ManifestSource, isText: Bool) -> SourceSpan {
        let bytes = source.bytes
        let isLineEnd = { (index: Int) in
            index >= bytes.count || bytes[index] == UInt8(ascii: "\n") || bytes[index] == UInt8(ascii: "\r")
        }
        // The whole line where it is short; else what is around, which of a JSON file in one line is little.
        let lineEnd = (lineStart...lineStart + 4 * Self.shortLine).first(where: isLineEnd)
        let isShort = lineEnd.map { Self.characters(in: bytes[lineStart..<$0]) <= Self.shortLine } ?? false
        var start = byte
        var indent = 0
        while start > lineStart, isShort || indent < Self.shownBefore {
            start -= 1
            while start > lineStart, bytes[start] & 0xC0 == 0x80 { start -= 1 }
            indent += 1
        }
        var end = byte
        var after = 0
        while !isLineEnd(end), isShort || after < Self.shownAfter {
            end += 1
            while end < bytes.count, bytes[end] & 0xC0 == 0x80 { end += 1 }
            after += 1
        }
        var excerpt = String(decoding: bytes[start..<end], as: UTF8.self)
        let width = isText ? Self.width(of: bytes[byte..<end]) : 1
        if start > lineStart {
            excerpt = "…" + excerpt
            indent += 1
        }
        if !isLineEnd(end) { excerpt += "…" }
        return SourceSpan(
            position: SourcePosition(file: source.name, line: line, column: column + 1), excerpt: excerpt,
            indent: indent,
            width: width)
    }

    private static let shortLine = 160
    private static let shownBefore = 60
    private static let shownAfter = 100

    /// The characters of the scalar that `text` begins with, as far as it is on this line.
    private static func width(of text: ArraySlice<UInt8>) -> Int {
        guard let first = text.first else { return 1 }
        var end = text.startIndex + 1
        if first == UInt8(ascii: "\"") {
            while end < text.endIndex, text[end] != first { end += text[end] == UInt8(ascii: "\\") ? 2 : 1 }
            end = min(end + 1, text.endIndex)
        } else if first == UInt8(ascii: "'") {
            // Two in a row are one of the text.
            while end < text.endIndex, text[end] != first || text[end...].starts(with: "''".utf8) {
                end += text[end] == first ? 2 : 1
            }
            end = min(end + 1, text.endIndex)
        } else {
            // A plain scalar ends before ": ", " #" and, in flow style, before a comma or bracket.
            while end < text.endIndex {
                let byte = text[end]
                let following = end + 1 < text.endIndex ? text[end + 1] : UInt8(ascii: " ")
                if ",[]{}".utf8.contains(byte) { break }
                if byte == UInt8(ascii: ":"), following == UInt8(ascii: " ") { break }
                if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t"), following == UInt8(ascii: "#") { break }
                end += 1
            }
            while end > text.startIndex + 1, text[end - 1] == UInt8(ascii: " ") || text[end - 1] == UInt8(ascii: "\t") {
                end -= 1
            }
        }
        // A byte that belongs to no character is shown as one.
        return max(characters(in: text[..<end]), 1)
    }

    private static func characters(in text: ArraySlice<UInt8>) -> Int {
        text.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
    }
}
