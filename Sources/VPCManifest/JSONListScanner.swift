/// Walks the text of a `List` written as JSON (RFC 8259) and knows where its items begin and end.
///
/// Manifests are read as YAML, of which JSON is a part. So the scanner is strict: at the first token that is not JSON it
/// gives up, because YAML may take it for something else, and all that follows too.
struct JSONListScanner {
    private var bytes: UnsafeBufferPointer<UInt8>
    private var state = State()

    /// All that is known of the text up to a place.
    struct State: Sendable {
        var position = 0
        /// What the innermost mappings and sequences are, the last one in the lowest bit: 1 for a mapping.
        fileprivate var mappings: UInt64 = 0
        fileprivate var depth = 0
        fileprivate var expected = Expected.value
        /// The last key of the list itself.
        fileprivate var key = Range(uncheckedBounds: (0, 0))
    }

    fileprivate enum Expected {
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

    /// - Parameter state: Of a scanner of a text that is the same up to there.
    init(_ bytes: UnsafeBufferPointer<UInt8>, _ state: State = State()) { (self.bytes, self.state) = (bytes, state) }

    var position: Int { state.position }

    /// Whether an item, or the list's end, can follow here.
    var isBeforeItem: Bool { isInItems && (state.expected == .value || state.expected == .valueOrEnd) }

    private var isInItems: Bool {
        state.depth == 2 && state.mappings & 1 == 0 && "items".utf8.elementsEqual(bytes[state.key])
    }

    /// This scanner at the same place of a text that is the same up to there.
    func moved(to bytes: UnsafeBufferPointer<UInt8>) -> JSONListScanner { JSONListScanner(bytes, state) }

    /// The scanner where the last item begins that may begin in the first `end` bytes; nil where there is none.
    /// - Parameter marks: Of this text; those on the way are added.
    func lastItem(before end: Int, _ marks: inout ListMarks) -> JSONListScanner? {
        var (scanner, last) = (self, JSONListScanner?.none)
        if let mark = marks.last(before: end) {
            scanner.state = mark
            last = scanner
        }
        while scanner.step() != nil, scanner.position <= end {
            guard scanner.isBeforeItem else { continue }
            last = scanner
            marks.note(scanner.state)
        }
        return last
    }

    /// Where the items are from here to the token at `end`, which ends the last of them.
    mutating func items(to end: Int) -> [Range<Int>] {
        var items: [Range<Int>] = []
        while position < end {
            while position < end, Self.isSpace(bytes[position]) { state.position += 1 }
            let start = position
            guard start < end, let next = endOfItem(from: start) else { break }
            var last = next
            while last > start, Self.isSpace(bytes[last - 1]) { last -= 1 }
            if last > start { items.append(start..<last) }
        }
        return items
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
        while position < bytes.count, Self.isSpace(bytes[position]) { state.position += 1 }
        guard position < bytes.count else { return nil }
        let start = position
        return take(bytes[start]) ? start : nil
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r")
            || byte == UInt8(ascii: "\t")
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        switch (state.expected, byte) {
        case (.value, UInt8(ascii: "{")), (.valueOrEnd, UInt8(ascii: "{")): return open(isMapping: true)
        case (.value, UInt8(ascii: "[")), (.valueOrEnd, UInt8(ascii: "[")): return open(isMapping: false)
        case (.value, _), (.valueOrEnd, _):
            if byte == UInt8(ascii: "]"), state.expected == .valueOrEnd { return close() }
            state.expected = .separator
            return state.depth > 0 && (byte == UInt8(ascii: "\"") ? takeString() : takeWord())
        case (.keyOrEnd, UInt8(ascii: "}")): return close()
        case (.keyOrEnd, UInt8(ascii: "\"")), (.key, UInt8(ascii: "\"")):
            let start = position + 1
            guard takeString() else { return false }
            if state.depth == 1 { state.key = start..<position - 1 }
            state.expected = .colon
            return true
        case (.colon, UInt8(ascii: ":")):
            state.position += 1
            state.expected = .value
            return true
        case (.separator, UInt8(ascii: ",")):
            state.position += 1
            state.expected = state.mappings & 1 == 1 ? .key : .value
            return true
        case (.separator, UInt8(ascii: "}")): return state.mappings & 1 == 1 && close()
        case (.separator, UInt8(ascii: "]")): return state.mappings & 1 == 0 && close()
        default: return false
        }
    }

    private mutating func open(isMapping: Bool) -> Bool {
        guard state.depth < UInt64.bitWidth, state.depth > 0 || isMapping else { return false }
        state.position += 1
        state.depth += 1
        state.mappings = state.mappings << 1 | (isMapping ? 1 : 0)
        state.expected = isMapping ? .keyOrEnd : .valueOrEnd
        return true
    }

    /// The text ends with the list, as far as the scanner is concerned.
    private mutating func close() -> Bool {
        state.position += 1
        state.depth -= 1
        state.mappings >>= 1
        state.expected = .separator
        return state.depth > 0
    }

    private mutating func takeString() -> Bool {
        var place = position + 1
        while place < bytes.count {
            let byte = bytes[place]
            place += 1
            if byte == UInt8(ascii: "\"") {
                state.position = place
                return true
            }
            if byte == UInt8(ascii: "\\") { place += 1 }
            // YAML folds lines.
            if byte < 0x20 { return false }
        }
        return false
    }

    /// A number, `true`, `false` or `null`.
    private mutating func takeWord() -> Bool {
        let start = position
        while position < bytes.count, Self.isOfWord(bytes[position]) { state.position += 1 }
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

/// Places in a text that is a `List` written as JSON at which items begin, as far as it was read: who looks for a place of it
/// the next time begins with the nearest one.
public struct ListMarks: Sendable {
    private var marks: [JSONListScanner.State] = []

    public init() {}

    /// Bytes from one to the next.
    private static let interval = 4096

    fileprivate func last(before end: Int) -> JSONListScanner.State? {
        var (low, high) = (0, marks.count)
        while low < high {
            let middle = (low + high) / 2
            if marks[middle].position <= end { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? marks[low - 1] : nil
    }

    fileprivate mutating func note(_ state: JSONListScanner.State) {
        if state.position >= (marks.last?.position ?? -Self.interval) + Self.interval { marks.append(state) }
    }

    /// Makes them those of a text in which other items stand at a place: what is before and behind is the same.
    mutating func replace(_ old: Range<Int>, by new: Range<Int>) {
        marks.removeAll { $0.position > old.lowerBound && $0.position <= old.upperBound }
        for index in marks.indices where marks[index].position > old.upperBound {
            marks[index].position += new.upperBound - old.upperBound
        }
    }
}
