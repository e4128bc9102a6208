/// The types of the YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema).
enum ScalarType {
    case null
    case boolean
    case integer
    case floatingPoint
    case string

    /// The type of a plain scalar, decided by its text alone. Unlike in YAML 1.1, `yes`, `on`, `1_000` and `12:30` are
    /// strings.
    init(plain text: UnsafeBufferPointer<UInt8>) {
        guard let first = text.first else {
            self = .null
            return
        }
        switch first {
        case UInt8(ascii: "~"):
            self = text.count == 1 ? .null : .string
        case UInt8(ascii: "n"), UInt8(ascii: "N"):
            self = Self.isWord(text, "null") ? .null : .string
        case UInt8(ascii: "t"), UInt8(ascii: "T"):
            self = Self.isWord(text, "true") ? .boolean : .string
        case UInt8(ascii: "f"), UInt8(ascii: "F"):
            self = Self.isWord(text, "false") ? .boolean : .string
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            self = Self.number(text)
        default:
            self = .string
        }
    }

    /// Whether the text is the word in lower case, capitalised or in upper case: `null`, `Null`, `NULL`.
    private static func isWord(_ text: UnsafeBufferPointer<UInt8>, _ word: String) -> Bool {
        guard text.count == word.utf8.count else { return false }
        let isLower = { (byte: UInt8) in byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z") }
        guard zip(text, word.utf8).allSatisfy({ $0 | 0x20 == $1 }) else { return false }
        let rest = text.dropFirst()
        return rest.allSatisfy(isLower) || (!isLower(text[0]) && !rest.contains(where: isLower))
    }

    private static func number(_ text: UnsafeBufferPointer<UInt8>) -> ScalarType {
        let isDigit = { (byte: UInt8) in byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
        if text.count > 2, text[0] == UInt8(ascii: "0") {
            let digits = text.dropFirst(2)
            if text[1] == UInt8(ascii: "x") { return digits.allSatisfy(isHexadecimalDigit) ? .integer : .string }
            if text[1] == UInt8(ascii: "o") {
                return digits.allSatisfy { isDigit($0) && $0 < UInt8(ascii: "8") } ? .integer : .string
            }
        }
        var rest = text[...]
        if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
        if rest.count == 4, rest.first == UInt8(ascii: ".") {
            if isWord(UnsafeBufferPointer(rebasing: rest.dropFirst()), "inf") { return .floatingPoint }
            let isSigned = rest.startIndex > 0
            // The schema has .nan, .NaN and .NAN, without a sign.
            if !isSigned, [".nan", ".NaN", ".NAN"].contains(where: { rest.elementsEqual($0.utf8) }) {
                return .floatingPoint
            }
        }
        let whole = rest.prefix(while: isDigit)
        rest = rest.dropFirst(whole.count)
        if rest.isEmpty { return whole.isEmpty ? .string : .integer }
        var fraction = rest.prefix(0)
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            fraction = rest.prefix(while: isDigit)
            rest = rest.dropFirst(fraction.count)
        }
        guard !whole.isEmpty || !fraction.isEmpty else { return .string }
        if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
            rest = rest.dropFirst()
            if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
            guard !rest.isEmpty else { return .string }
            rest = rest.drop(while: isDigit)
        }
        return rest.isEmpty ? .floatingPoint : .string
    }

    private static func isHexadecimalDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default: false
        }
    }

    /// The value of an integer's text; nil where it is none or exceeds 64 bits.
    static func integer(_ text: String) -> Int? {
        if text.hasPrefix("0x") { return Int(text.dropFirst(2), radix: 16) }
        if text.hasPrefix("0o") { return Int(text.dropFirst(2), radix: 8) }
        return Int(text)
    }
}

extension NodeTree {
    /// The type of a scalar by its tag, its quotes or its text.
    func type(_ index: Int) -> ScalarType {
        let node = nodes[index]
        switch node.tag {
        case .implicit: return node.isPlain ? withText(index) { ScalarType(plain: $0) } : .string
        case .string: return .string
        case .integer: return .integer
        case .floatingPoint: return .floatingPoint
        case .boolean: return .boolean
        case .null: return .null
        }
    }

    func isNull(_ index: Int) -> Bool { nodes[index].kind == .scalar && type(index) == .null }
}
