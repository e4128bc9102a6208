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
