import Agent
import HTTPTypes
import Presentation
import VPCManifest

/// Why a request is not answered as asked, in the form of HTTP and in ours.
struct HTTPProblem: Error, Sendable {
    var status: HTTPResponse.Status
    /// One word that programs can rely on.
    var code: String
    /// One sentence.
    var message: String
    var diagnostics: [LocatedDiagnostic] = []
    /// Methods that the path knows, of a 405.
    var allow: [String] = []

    static func badRequest(_ message: String) -> HTTPProblem {
        HTTPProblem(status: .badRequest, code: "badRequest", message: message)
    }

    /// - Parameter things: What the client has too many of.
    static func busy(_ client: Client, _ things: String) -> HTTPProblem {
        let whose = client.credentials.map { "user \($0.uid)" } ?? "this client"
        return HTTPProblem(
            status: .tooManyRequests, code: "busy",
            message:
                "there are too many \(things) of \(whose), or of all users, at a time; try again when some have ended")
    }

    init(
        status: HTTPResponse.Status, code: String, message: String, diagnostics: [LocatedDiagnostic] = [],
        allow: [String] = []
    ) {
        self.status = status
        self.code = code
        self.message = message
        self.diagnostics = diagnostics
        self.allow = allow
    }

    init(_ error: AgentError) {
        let status: HTTPResponse.Status =
            switch error.code {
            case .invalidManifest: .unprocessableContent
            case .notFound: .notFound
            case .conflict: .conflict
            case .busy: .tooManyRequests
            case .storage, .kernel, .startup: .internalServerError
            case .stopping: .serviceUnavailable
            }
        self.init(
            status: status, code: error.code.rawValue, message: error.message, diagnostics: error.diagnostics)
    }

    var structured: StructuredValue {
        [
            "apiVersion": .apiVersion, "kind": "Error", "code": .string(code), "message": .string(message),
            "diagnostics": .list(diagnostics.map { StructuredValue($0) }),
        ]
    }
}
