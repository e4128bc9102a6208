import Foundation
import TestSupport
import Testing

@testable import VPCManifest

/// JSON of programs: RFC 8259 and nothing else.
@Suite(.timeLimit(minutes: 10)) struct JSONTests {
    private func read(_ text: String) throws -> StructuredValue { try StructuredValue(json: Array(text.utf8)) }

    @Test func everythingIsRead() throws {
        let value = try read(" {\"a\": [1, -2, 0, true, false, null, \"x\"], \"b\": {}, \"c\": []}\n")
        #expect(
            value == ["a": [1, -2, 0, true, false, .null, "x"], "b": .object([]), "c": .list([])])
        #expect(try read("9223372036854775807") == .integer(.max))
        // Of no use here, and not lost.
        #expect(try read("[9223372036854775808, 1.5, -1e3]") == ["9223372036854775808", "1.5", "-1e3"])
    }

    @Test(arguments: [
        ("\"\\u00e4\\n\\/\\\"\\\\\\b\\f\\r\\t\"", "ä\n/\"\\\u{8}\u{C}\r\t"), ("\"\\ud83d\\ude00\"", "😀"),
        ("\"😀\"", "😀"),
        ("\"\\u0000\"", "\0"),
    ])
    func stringsAreRead(_ text: String, _ expected: String) throws { #expect(try read(text) == .string(expected)) }

    @Test(arguments: [
        ("", 1, 1, "unexpected end"), ("[1,]", 1, 4, "expected a value, found \"]\""),
        ("{\"a\":1,}", 1, 8, "expected a name in quotes, found \"}\""),
        ("{\"a\" 1}", 1, 6, "expected \":\", found \"1\""),
        ("[1 2]", 1, 4, "expected \",\", found \"2\""), ("1 2", 1, 3, "unexpected \"2\" after the end of the value"),
        ("{\n  \"ä\": 1,\n  \"ä\": 2\n}", 3, 3, "the name \"ä\" is given twice"),
        ("01", 1, 1, "a number begins with 0"),
        ("-", 1, 2, "expected a digit, found the end"), ("1.", 1, 3, "expected a digit, found the end"),
        ("\"a", 1, 1, "a string has no end"), ("\"\\x\"", 1, 2, "an unknown escape in a string"),
        ("\"\\ud83d\"", 1, 2, "half of a surrogate pair"), ("\"\\udc00\\ud83d\"", 1, 2, "half of a surrogate pair"),
        ("\"\\u12g4\"", 1, 2, "\\u takes four hexadecimal digits"),
        ("\"\u{1}\"", 1, 2, "a control character in a string; write it as \\u0001"),
        ("tru", 1, 1, "expected a value, found \"t\""), ("'a'", 1, 1, "expected a value, found \"'\""),
        ("# yaml", 1, 1, "expected a value, found \"#\""), ("NaN", 1, 1, "expected a value, found \"N\""),
    ])
    func whatIsNoneHasAPlace(_ text: String, _ line: Int, _ column: Int, _ reason: String) {
        let error = #expect(throws: JSONError.self) { try read(text) }
        #expect(error == JSONError(reason: reason, line: line, column: column))
    }

    @Test func whatIsNoUTF8IsNoString() {
        let error = #expect(throws: JSONError.self) { try StructuredValue(json: [0x22, 0xFF, 0x22]) }
        #expect(error?.reason == "a string is not UTF-8")
    }

    @Test func depthIsBounded() throws {
        func nested(_ levels: Int) -> [UInt8] {
            Array((String(repeating: "[", count: levels) + String(repeating: "]", count: levels)).utf8)
        }
        _ = try StructuredValue(json: nested(64))
        #expect(throws: JSONError.self) { try StructuredValue(json: nested(65)) }
    }

    /// What is written is read back, by us and by Foundation.
    @Test(arguments: 0..<200) func writtenIsRead(_ seed: UInt64) throws {
        var generator = Generator(state: seed)
        let value = generator.value(depth: 4)
        #expect(try read(value.json) == value.sorted)
        #expect(try read(value.compactJSON) == value.sorted)
        #expect(!value.compactJSON.contains("\n"))
        _ = try JSONSerialization.jsonObject(with: Data(value.json.utf8), options: .fragmentsAllowed)
    }

    /// What Foundation takes for JSON is JSON, and the reverse, but for names that come twice and numbers' size.
    @Test(arguments: 0..<500) func judgementsAreThoseOfFoundation(_ seed: UInt64) {
        var generator = Generator(state: seed)
        var bytes = Array(generator.value(depth: 3).compactJSON.utf8)
        for _ in 0..<(1 + generator.next() % 3) where !bytes.isEmpty {
            bytes[Int(generator.next() % UInt64(bytes.count))] =
                Array("{}[]\",:\\0-1e.tu ".utf8)[Int(generator.next() % 16)]
        }
        let theirs = try? JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)
        do {
            _ = try StructuredValue(json: bytes)
            #expect(theirs != nil, "\(String(decoding: bytes, as: UTF8.self))")
        } catch {
            let isOurs = error.reason.contains("given twice")
            #expect(theirs == nil || isOurs, "\(String(decoding: bytes, as: UTF8.self)): \(error)")
        }
    }
}

/// Values drawn from a seed.
private struct Generator {
    var state: UInt64

    /// Dice.
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }

    mutating func value(depth: Int) -> StructuredValue {
        switch next() % (depth > 0 ? 7 : 5) {
        case 0: return .null
        case 1: return .boolean(next() % 2 == 0)
        case 2: return .integer(Int(truncatingIfNeeded: Int64(bitPattern: next()) >> Int64(next() % 64)))
        case 3, 4: return .string(text())
        case 5: return .list((0..<next() % 4).map { _ in value(depth: depth - 1) })
        default:
            var names: Set<String> = []
            return .object(
                (0..<next() % 4).compactMap { _ in
                    let name = text()
                    return names.insert(name).inserted ? .init(name, value(depth: depth - 1)) : nil
                })
        }
    }

    private mutating func text() -> String {
        let scalars: [Unicode.Scalar] = [
            "a", "Z", "0", "\"", "\\", "\n", "\u{0}", "\u{1F}", "\u{7F}", "ä", "\u{2028}", "😀", "/",
        ]
        var text = ""
        for _ in 0..<next() % 6 { text.unicodeScalars.append(scalars[Int(next() % UInt64(scalars.count))]) }
        return text
    }
}

extension StructuredValue {
    /// With names in the order in which they are written.
    fileprivate var sorted: StructuredValue {
        switch self {
        case .list(let elements): .list(elements.map(\.sorted))
        case .object(let members):
            .object(members.map { Member($0.name, $0.value.sorted) }.sorted { $0.name < $1.name })
        default: self
        }
    }
}
