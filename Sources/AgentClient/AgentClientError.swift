import Glibc
public import VPCManifest

/// Why there is no answer, or another than the one hoped for.
public struct AgentClientError: Error, Sendable, CustomStringConvertible {
    public enum Code: Sendable, Hashable {
        /// No socket, or nobody who listens.
        case unreachable
        /// The socket or the agent does not let this user in.
        case notPermitted
        case timedOut
        /// The caller did not want to wait any longer.
        case abandoned
        /// Not what the API promises.
        case `protocol`
        /// The agent says no; `status` and `reason` say why.
        case refused
    }

    public var code: Code
    /// One sentence.
    public var message: String
    /// The HTTP status of a refusal; 0 of anything else.
    public var status = 0
    /// The agent's word for it.
    public var reason = ""
    /// What is wrong with manifests, as the agent tells of it.
    public var diagnostics: [StructuredValue] = []

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// An answer that is none of 2xx.
    init(status: Int, _ body: [UInt8]) {
        let value = try? StructuredValue(json: body)
        let text = value?["message"]?.text ?? "the agent answered \(status)"
        self.init(status == 403 ? .notPermitted : .refused, text)
        self.status = status
        reason = value?["code"]?.text ?? ""
        diagnostics = value?["diagnostics"]?.elements ?? []
    }

    public var description: String { message }

    /// The error of the system call that has just failed on this thread.
    static func system(_ code: Code, _ operation: String, _ number: Int32 = errno) -> AgentClientError {
        let reason = strerror(number).map { String(cString: $0) } ?? "error \(number)"
        return AgentClientError(code, "\(operation): \(reason)")
    }
}
