/// A JSON value with a stable text: keys sorted, two spaces of indentation.
public enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case number(Int)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// RFC 8259 text, without a newline at the end.
    public var text: String {
        var text = ""
        write(to: &text, indentation: 0)
        return text
    }

    private func write(to text: inout String, indentation: Int) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let value): text += String(value)
        case .string(let value): Self.write(value, to: &text)
        case .array(let values):
            Self.write(values.map { (nil, $0) }, in: ("[", "]"), to: &text, indentation)
        case .object(let members):
            Self.write(members.sorted { $0.key < $1.key }.map { ($0, $1) }, in: ("{", "}"), to: &text, indentation)
        }
    }

    private static func write(
        _ members: [(key: String?, value: JSONValue)], in brackets: (String, String), to text: inout String,
        _ indentation: Int
    ) {
        text += brackets.0
        for (position, member) in members.enumerated() {
            text += (position == 0 ? "\n" : ",\n") + String(repeating: " ", count: indentation + 2)
            if let key = member.key {
                write(key, to: &text)
                text += ": "
            }
            member.value.write(to: &text, indentation: indentation + 2)
        }
        if !members.isEmpty { text += "\n" + String(repeating: " ", count: indentation) }
        text += brackets.1
    }

    private static func write(_ string: String, to text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\t": text += "\\t"
            case "\r": text += "\\r"
            case "\u{0}"..<" ":
                let hex = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .number(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(Dictionary(elements, uniquingKeysWith: { _, last in last }))
    }

    /// The value, or null.
    public init(_ string: String?) { self = string.map { .string($0) } ?? .null }
}

// MARK: - YAML

extension JSONValue {
    /// The same value as block-style YAML, with a newline at the end.
    public var yaml: String {
        var text = ""
        writeYAML(to: &text, indentation: 0)
        return text
    }

    private var isBlock: Bool {
        switch self {
        case .array(let values): !values.isEmpty
        case .object(let members): !members.isEmpty
        default: false
        }
    }

    private func writeYAML(to text: inout String, indentation: Int) {
        let margin = String(repeating: " ", count: indentation)
        switch self {
        case .array(let values) where isBlock:
            for value in values {
                text += margin + "- "
                guard value.isBlock else {
                    value.writeYAML(to: &text, indentation: 0)
                    continue
                }
                var inner = ""
                value.writeYAML(to: &inner, indentation: indentation + 2)
                text += inner.dropFirst(indentation + 2)
            }
        case .object(let members) where isBlock:
            for (key, value) in members.sorted(by: { $0.key < $1.key }) {
                text += margin + JSONValue.string(key).scalar + ":"
                if value.isBlock {
                    text += "\n"
                    value.writeYAML(to: &text, indentation: indentation + 2)
                } else {
                    text += " "
                    value.writeYAML(to: &text, indentation: 0)
                }
            }
        case .array: text += "[]\n"
        case .object: text += "{}\n"
        default: text += scalar + "\n"
        }
    }

    /// A plain scalar where every YAML reader takes it for the same string, else a JSON string, which YAML knows too.
    private var scalar: String {
        guard case .string(let value) = self else { return text }
        let plain = value.utf8.allSatisfy {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "/"), UInt8(ascii: "."),
                UInt8(ascii: "_"):
                true
            default: false
            }
        }
        let startsWithLetter = value.utf8.first.map { $0 >= UInt8(ascii: "A") && $0 != UInt8(ascii: "_") } ?? false
        let isWord = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(value.lowercased())
        return plain && startsWithLetter && !isWord ? value : text
    }
}
