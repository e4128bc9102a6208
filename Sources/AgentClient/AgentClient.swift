public import VPCManifest

/// Talks to the agent through its Unix socket, one connection a request, and waits for the answer.
///
/// Plain sockets and a few hundred lines of HTTP/1.1, for the sake of a command that starts in a few milliseconds.
public struct AgentClient: Sendable {
    /// The path of the socket.
    public var socket: String
    /// How long an answer may take in all; nil: as long as it takes.
    public var timeout: Duration?

    public static let defaultSocket = "/run/vpcctl/vpcd.sock"

    public init(socket: String = defaultSocket, timeout: Duration? = nil) {
        self.socket = socket
        self.timeout = timeout
    }

    /// Asks for something.
    /// - Parameter path: with its query, escaped (``AgentPath``).
    /// - Returns: the JSON that came.
    public func get(_ path: String) throws(AgentClientError) -> StructuredValue {
        try request("GET", path, body: nil, while: {})
    }

    /// Has something done.
    /// - Parameter waiting: Called about five times a second until the answer comes.
    public func post(
        _ path: String, _ body: StructuredValue? = nil, while waiting: () -> Void = {}
    ) throws(AgentClientError) -> StructuredValue {
        try request("POST", path, body: body, while: waiting)
    }

    /// Reads a stream of JSON lines.
    /// - Parameters:
    ///   - waiting: Called about five times a second while nothing comes; false ends it.
    ///   - line: Takes one; false ends it.
    /// - Returns: whether it was the agent who ended it.
    public func follow(
        _ path: String, while waiting: () -> Bool = { true }, _ line: (StructuredValue) -> Bool
    ) throws(AgentClientError) -> Bool {
        var connection = try AgentConnection(socket, deadline: nil)
        do throws(AgentClientError) {
            try connection.send("GET", path, body: nil)
            var head = try connection.head(while: waiting)
            guard head.status == 200 else {
                throw AgentClientError(status: head.status, try connection.rest(of: &head))
            }
            var buffer: [UInt8] = []
            while let part = try connection.part(of: &head, while: waiting) {
                buffer += part
                while let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
                    let text = Array(buffer[..<end])
                    buffer.removeSubrange(...end)
                    if !text.isEmpty, !line(try Self.value(text)) { return false }
                }
            }
            return true
        } catch {
            if error.code == .abandoned { return false }
            throw error
        }
    }

    private func request(
        _ method: String, _ path: String, body: StructuredValue?, while waiting: () -> Void
    ) throws(AgentClientError) -> StructuredValue {
        var connection = try AgentConnection(socket, deadline: timeout.map { .now + $0 })
        try connection.send(method, path, body: body.map { Array($0.compactJSON.utf8) })
        var head = try connection.head {
            waiting()
            return true
        }
        let bytes = try connection.rest(of: &head)
        guard (200..<300).contains(head.status) else { throw AgentClientError(status: head.status, bytes) }
        return try Self.value(bytes)
    }

    private static func value(_ bytes: [UInt8]) throws(AgentClientError) -> StructuredValue {
        do throws(JSONError) {
            return try StructuredValue(json: bytes)
        } catch {
            throw AgentClientError(.protocol, "the agent's answer is no JSON: \(error)")
        }
    }
}

/// A path with its query.
public enum AgentPath {
    /// `/v1/resources?kind=VPC`; what is nil is left out.
    public static func path(_ path: String, _ query: [(name: String, value: String?)]) -> String {
        let items = query.compactMap { item in item.value.map { "\(item.name)=\(escaped($0))" } }
        return items.isEmpty ? path : path + "?" + items.joined(separator: "&")
    }

    /// All but the unreserved characters of RFC 3986 as `%XX`.
    static func escaped(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            let character = Character(Unicode.Scalar(byte))
            if byte < 0x80, character.isLetter || character.isNumber || "-._~".contains(character) {
                result.append(character)
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                result += "%" + (digits.utf8.count == 1 ? "0" : "") + digits
            }
        }
        return result
    }
}
