public import VPCManifest

/// Why the agent did not do what it was asked for.
public struct AgentError: Error, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// The manifests are not valid; `diagnostics` say why.
        case invalidManifest
        /// There is no such revision, or nothing to confirm.
        case notFound
        /// Another change awaits its confirmation.
        case conflict
        /// Too much is under way.
        case busy
        /// A file or directory cannot be read or written.
        case storage
        /// The machine is not the host that the manifests speak of, or its kernel cannot be read.
        case kernel
        /// Another daemon, or a wrong configuration.
        case startup
        /// The agent is about to end.
        case stopping
    }

    public var code: Code
    /// One sentence, the object first.
    public var message: String
    public var diagnostics: [LocatedDiagnostic]

    public init(_ code: Code, _ message: String, diagnostics: [LocatedDiagnostic] = []) {
        self.code = code
        self.message = message
        self.diagnostics = diagnostics
    }

    public var description: String { message }
}
