/// A value that JSON and YAML can both express: the shape in which resources, and whatever else a command prints,
/// leave the program.
public indirect enum StructuredValue: Hashable, Sendable {
    case null
    case boolean(Bool)
    case integer(Int)
    case string(String)
    case list([StructuredValue])
    /// In the order for readers of YAML; JSON sorts the names. Names are unique.
    case object([Member])

    public struct Member: Hashable, Sendable {
        public var name: String
        public var value: StructuredValue

        public init(_ name: String, _ value: StructuredValue) {
            self.name = name
            self.value = value
        }
    }
}

extension StructuredValue: ExpressibleByDictionaryLiteral, ExpressibleByArrayLiteral, ExpressibleByStringLiteral,
    ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral
{
    public init(dictionaryLiteral elements: (String, StructuredValue)...) {
        self = .object(elements.map { Member($0.0, $0.1) })
    }
    public init(arrayLiteral elements: StructuredValue...) { self = .list(elements) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(booleanLiteral value: Bool) { self = .boolean(value) }
}

// MARK: - YAML

extension StructuredValue {
    /// Block-style YAML, without a document marker, with a line end. Strings that any YAML reader could take for
    /// something else are quoted.
    public var yaml: String {
        var text = ""
        switch self {
        case .object(let members) where !members.isEmpty: Self.append(members, to: &text, indent: 0)
        case .list(let elements) where !elements.isEmpty: Self.append(elements, to: &text, indent: 0)
        default: text = yamlScalar + "\n"
        }
        return text
    }

    private static func append(_ members: [Member], to text: inout String, indent: Int, isFirstIndented: Bool = false) {
        for (position, member) in members.enumerated() {
            if position > 0 || !isFirstIndented { text += String(repeating: " ", count: indent) }
            text += plainOrQuoted(member.name) + ":"
            switch member.value {
            case .object(let inner) where !inner.isEmpty:
                text += "\n"
                append(inner, to: &text, indent: indent + 2)
            case .list(let elements) where !elements.isEmpty:
                text += "\n"
                append(elements, to: &text, indent: indent)
            default:
                text += " " + member.value.yamlScalar + "\n"
            }
        }
    }

    private static func append(_ elements: [StructuredValue], to text: inout String, indent: Int) {
        for element in elements {
            text += String(repeating: " ", count: indent) + "-"
            switch element {
            case .object(let members) where !members.isEmpty:
                text += " "
                append(members, to: &text, indent: indent + 2, isFirstIndented: true)
            case .list(let inner) where !inner.isEmpty:
                text += "\n"
                append(inner, to: &text, indent: indent + 2)
            default:
                text += " " + element.yamlScalar + "\n"
            }
        }
    }

    private var yamlScalar: String {
        switch self {
        case .null: "null"
        case .boolean(let value): value ? "true" : "false"
        case .integer(let value): String(value)
        case .string(let value): Self.plainOrQuoted(value)
        case .list: "[]"
        case .object: "{}"
        }
    }

    private static func plainOrQuoted(_ text: String) -> String { isPlain(text) ? text : quoted(text) }

    /// Whether a string can stand without quotes: letters, digits and a few signs, and no number, date or word that
    /// YAML 1.1 or 1.2 types otherwise.
    private static func isPlain(_ text: String) -> Bool {
        let isLetter = { (byte: UInt8) in (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) }
        let isDigit = { (byte: UInt8) in (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
        guard let first = text.utf8.first, isLetter(first) || isDigit(first) else { return false }
        guard text.utf8.allSatisfy({ isLetter($0) || isDigit($0) || "-._/".utf8.contains($0) }) else { return false }
        if isDigit(first) {
            // Addresses and prefixes only: `10.0.0.1` has more dots than any number, `10/8` or `1-2` may be a date.
            return text.utf8.reduce(0) { $0 + ($1 == UInt8(ascii: ".") ? 1 : 0) } == 3
                && text.utf8.allSatisfy { isDigit($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "/") }
        }
        return !["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(text.lowercased())
    }
}
