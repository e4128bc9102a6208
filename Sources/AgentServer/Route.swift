import HTTPTypes
import VPCManifest

/// One thing that can be asked for.
struct Route: Sendable {
    var method: HTTPRequest.Method
    /// `/v1/revisions/{number}`, as the OpenAPI document writes it.
    var path: String
    /// Names of parameters in the query.
    var query: Set<String> = []
    /// Whether it is told to whoever asks over TCP.
    var isPublic = false
    var takesBody = false
    /// Whether it is more than telling what is known: of these one client cannot have many at a time.
    var isWork = false
    var answer: @Sendable (Call) async throws -> HTTPAnswer

    /// What one request says.
    struct Call: Sendable {
        /// The values of the path's `{}`, in order.
        var parameters: [String] = []
        var query: [String: String] = [:]
        var body: RequestDocument = .none
        /// Whether the client still waits for the answer.
        var isWanted: @Sendable () -> Bool = { true }
    }

    /// The values of a path's `{}`; nil where it is another path.
    func parameters(of segments: [Substring]) -> [String]? {
        let pattern = path.split(separator: "/", omittingEmptySubsequences: false)
        guard pattern.count == segments.count else { return nil }
        var values: [String] = []
        for (expected, segment) in zip(pattern, segments) {
            if expected.hasPrefix("{") {
                guard let value = segment.percentDecoded, !value.isEmpty else { return nil }
                values.append(value)
            } else if expected != segment {
                return nil
            }
        }
        return values
    }
}

extension Route.Call {
    /// A number of the query.
    /// - Throws: `HTTPProblem` where it is none, or not in the range.
    func number(_ name: String, in range: ClosedRange<Int>) throws(HTTPProblem) -> Int? {
        guard let text = query[name] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            let bounds =
                range.upperBound == .max ? "from \(range.lowerBound) up" : "\(range.lowerBound)…\(range.upperBound)"
            throw .badRequest("\(name) must be a whole number, \(bounds), not \"\(text)\"")
        }
        return number
    }

    func flag(_ name: String) throws(HTTPProblem) -> Bool {
        switch query[name] {
        case nil, "false": return false
        case "true": return true
        case .some(let text): throw .badRequest("\(name) must be true or false, not \"\(text)\"")
        }
    }
}

/// What stands behind the `?` of a request.
struct QueryString {
    var items: [(name: String, value: String)] = []

    /// - Throws: `HTTPProblem` where a name is given twice or an escape is broken.
    init(_ text: some StringProtocol) throws(HTTPProblem) {
        for item in text.split(separator: "&") {
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = parts.first?.percentDecoded, let value = (parts.count > 1 ? parts[1] : "").formDecoded
            else { throw .badRequest("the query has an escape that is no %XX of UTF-8: \(item)") }
            if items.contains(where: { $0.name == name }) { throw .badRequest("\(name) is given twice in the query") }
            items.append((name, value))
        }
    }
}

extension StringProtocol {
    /// With `%2F` turned back; nil where that gives no UTF-8.
    fileprivate var percentDecoded: String? {
        var bytes: [UInt8] = []
        var rest = utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    /// As forms write it: `+` is a space.
    fileprivate var formDecoded: String? {
        split(separator: "+", omittingEmptySubsequences: false).joined(separator: " ").percentDecoded
    }
}
