import Glibc
import HTTPTypes
import VPCManifest

/// What is sent back.
struct HTTPAnswer: Sendable {
    var status: HTTPResponse.Status = .ok
    var contentType = "application/json"
    /// Methods that the path knows, of a 405.
    var allow: [String] = []
    /// Where what was made is found, of a 201.
    var location: String?
    var body: Body

    enum Body: Sendable {
        case bytes([UInt8])
        /// Made piece by piece as the reader takes it.
        case pieces(count: Int, piece: @Sendable (Int) -> [UInt8])
        /// Lines as they come, until the stream ends; `end` ends it.
        case lines(AsyncStream<[UInt8]>, end: @Sendable () -> Void)
    }

    /// A JSON document.
    static func json(_ value: StructuredValue, _ status: HTTPResponse.Status = .ok) -> HTTPAnswer {
        HTTPAnswer(status: status, body: .bytes(Array(value.json.utf8)))
    }

    static func text(_ text: String, _ status: HTTPResponse.Status = .ok) -> HTTPAnswer {
        HTTPAnswer(status: status, contentType: "text/plain; charset=utf-8", body: .bytes(Array(text.utf8)))
    }

    /// A JSON object with one long list in it, an element a line.
    static func list(
        _ members: [(String, StructuredValue)], _ name: String, count: Int,
        _ element: @escaping @Sendable (Int) -> StructuredValue
    ) -> HTTPAnswer {
        let sorted = members.sorted { $0.0 < $1.0 }
        let pieces = (count + elementsOfPiece - 1) / elementsOfPiece
        let body = Body.pieces(count: pieces + 2) { piece in
            var bytes: [UInt8] = []
            switch piece {
            case 0:
                bytes += "{".utf8
                for (name, value) in sorted.filter({ $0.0 < name }) {
                    append(name, value, to: &bytes)
                    bytes += ",".utf8
                }
                append(name, nil, to: &bytes)
                bytes += "[".utf8
            case pieces + 1:
                bytes += count > 0 ? "\n  ]".utf8 : "]".utf8
                for (name, value) in sorted.filter({ $0.0 > name }) {
                    bytes += ",".utf8
                    append(name, value, to: &bytes)
                }
                bytes += "\n}\n".utf8
            default:
                let begin = (piece - 1) * elementsOfPiece
                for index in begin..<min(begin + elementsOfPiece, count) {
                    bytes += (index > 0 ? ",\n    " : "\n    ").utf8
                    element(index).appendJSON(to: &bytes)
                }
            }
            return bytes
        }
        return HTTPAnswer(body: body)
    }

    private static let elementsOfPiece = 256

    private static func append(_ name: String, _ value: StructuredValue?, to bytes: inout [UInt8]) {
        bytes += "\n  ".utf8
        StructuredValue.string(name).appendJSON(to: &bytes)
        bytes += ": ".utf8
        value?.appendJSON(to: &bytes, indent: 1)
    }
}

/// A moment as RFC 3339 writes it, in UTC: `2026-01-31T12:00:00Z`, with milliseconds where they are known.
func timestamp(_ seconds: Int, milliseconds: Int? = nil) -> String {
    let fraction = milliseconds.map { String($0 + 1000).dropFirst() }
    return formatted(seconds, "%Y-%m-%dT%H:%M:%S") + (fraction.map { "." + $0 } ?? "") + "Z"
}

/// `Sat, 31 Jan 2026 12:00:00 GMT`, for the header field Date.
func httpDate(_ seconds: Int) -> String { formatted(seconds, "%a, %d %b %Y %H:%M:%S GMT") }

private func formatted(_ seconds: Int, _ format: String) -> String {
    var moment = time_t(seconds)
    var parts = tm()
    gmtime_r(&moment, &parts)
    var text = [CChar](repeating: 0, count: 64)
    let count = strftime(&text, text.count, format, &parts)
    return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
