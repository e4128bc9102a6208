internal import IPAddressing
internal import VPCModel

/// What the daemon is told: `vpcd --config FILE`. docs/operations.md has every field.
public struct AgentConfiguration: Hashable, Sendable {
    /// The name of the Host that this machine is; nil: the one whose underlay address is on it.
    public var host: String?
    /// A file or directory with the desired state; nil: only what `vpcctl apply` hands over.
    public var manifests: String?
    /// Where revisions are kept.
    public var stateDirectory = "/var/lib/vpcctl"
    public var socket = Socket()
    /// `ADDRESS:PORT` for metrics and health over TCP; nil: none.
    public var metricsListen: String?
    /// Seconds between full passes, give or take a tenth.
    public var resyncSeconds = 300
    /// How many revisions to keep.
    public var revisions = 50
    public var log = Log()

    /// The API's Unix socket.
    public struct Socket: Hashable, Sendable {
        public var path = "/run/vpcctl/vpcd.sock"
        /// Who may use it beside root.
        public var group = "vpcctl"

        public init() {}
    }

    public struct Log: Hashable, Sendable {
        public var format = Format.text
        public var level = Level.info

        public enum Format: String, Hashable, Sendable, CaseIterable {
            case text
            case json
        }

        public enum Level: String, Hashable, Sendable, CaseIterable {
            case debug
            case info
            case warning
            case error
        }

        public init() {}
    }

    public init() {}

    /// Reads a file strictly: unknown fields, wrong types and values out of range are diagnostics with their places.
    /// - Returns: nil where there is any.
    public static func load(
        path: String, limits: ManifestLimits = .ofDaemon
    ) -> (configuration: AgentConfiguration?, diagnostics: [LocatedDiagnostic]) {
        var finder = SourceFinder(limits: limits)
        finder.addFile(path)
        guard let file = finder.files.first, let bytes = file.bytes else { return (nil, finder.diagnostics) }
        return read(ManifestSource(name: file.name, bytes: bytes), limits: limits)
    }

    /// `load` of what was read already.
    public static func read(
        _ source: ManifestSource, limits: ManifestLimits = ManifestLimits()
    ) -> (configuration: AgentConfiguration?, diagnostics: [LocatedDiagnostic]) {
        var loader = ManifestLoader(limits: limits)
        var configuration: AgentConfiguration?
        loader.loadSingle(source) { configuration = $0.agentConfiguration() }
        let diagnostics = loader.findings.map(\.diagnostic)
        return (diagnostics.isEmpty ? configuration ?? AgentConfiguration() : nil, diagnostics)
    }
}

extension DocumentReader {
    static let agentKind = "AgentConfiguration"

    private enum AgentField: Int, FieldKey {
        case apiVersion, kind, host, manifests, stateDirectory, socket, metrics, resyncSeconds, revisions, log
        static let names = caseNames()
    }

    private enum SocketField: Int, FieldKey {
        case path, group
        static let names = caseNames()
    }

    private enum MetricsField: Int, FieldKey {
        case listen
        static let names = caseNames()
    }

    private enum LogField: Int, FieldKey {
        case format, level
        static let names = caseNames()
    }

    mutating func agentConfiguration() -> AgentConfiguration? {
        guard let fields = fields(0, AgentField.self) else { return nil }
        var configuration = AgentConfiguration()
        var version: String?
        readAPIVersion(fields, .apiVersion, inherited: &version)
        if let node = required(fields, .kind), let kind = string(node), kind != Self.agentKind {
            report(
                "unknown-kind", "kind must be \(Self.agentKind), not \(quoted(short(kind)))",
                hint: "manifests of resources belong into the directory that the field manifests names", at: node)
        }
        configuration.host = optional(fields, .host).flatMap { name($0) }
        configuration.manifests = optional(fields, .manifests).flatMap { absolutePath($0) }
        if let path = optional(fields, .stateDirectory).flatMap({ absolutePath($0) }) {
            configuration.stateDirectory = path
        }
        if let node = optional(fields, .socket) { read(node, into: &configuration.socket) }
        if let node = optional(fields, .metrics), let inner = self.fields(node, MetricsField.self) {
            configuration.metricsListen = required(inner, .listen).flatMap { listenAddress($0) }
        }
        if let seconds = optional(fields, .resyncSeconds).flatMap({ integer($0, in: 10...86_400) }) {
            configuration.resyncSeconds = seconds
        }
        if let count = optional(fields, .revisions).flatMap({ integer($0, in: 2...10_000) }) {
            configuration.revisions = count
        }
        if let node = optional(fields, .log) { read(node, into: &configuration.log) }
        return configuration
    }

    private mutating func read(_ node: Int, into socket: inout AgentConfiguration.Socket) {
        guard let fields = fields(node, SocketField.self) else { return }
        if let value = optional(fields, .path) {
            if let path = absolutePath(value) {
                // sockaddr_un holds 108 bytes with the zero at the end (unix(7)).
                if path.utf8.count > 107 {
                    report(
                        "out-of-range", "\(self.path(value)) is longer than 107 bytes",
                        hint: "the address of a Unix socket holds no more", at: value)
                }
                socket.path = path
            }
        }
        if let node = optional(fields, .group), let group = string(node) {
            if group.isEmpty {
                report(
                    "invalid-value", "\(path(node)) is empty", hint: "leave it out for the group vpcctl", at: node)
            }
            socket.group = group
        }
    }

    private mutating func read(_ node: Int, into log: inout AgentConfiguration.Log) {
        guard let fields = fields(node, LogField.self) else { return }
        if let format = optional(fields, .format).flatMap({ word($0, AgentConfiguration.Log.Format.self) }) {
            log.format = format
        }
        if let level = optional(fields, .level).flatMap({ word($0, AgentConfiguration.Log.Level.self) }) {
            log.level = level
        }
    }

    private mutating func absolutePath(_ node: Int) -> String? {
        guard let text = string(node) else { return nil }
        if text.hasPrefix("/") { return text }
        report(
            "invalid-value", "\(path(node)) must be an absolute path, not \(quoted(short(text)))",
            hint: "a daemon has no directory that a path could be relative to", at: node)
        return nil
    }

    private mutating func listenAddress(_ node: Int) -> String? {
        guard let text = string(node) else { return nil }
        if ListenAddress(text) != nil { return text }
        report(
            "invalid-value", "\(path(node)): \(quoted(short(text))) is not ADDRESS:PORT",
            hint: "write \"127.0.0.1:9469\", or \"[::1]:9469\"", at: node)
        return nil
    }
}

/// `ADDRESS:PORT`; an IPv6 address stands in brackets.
public struct ListenAddress: Hashable, Sendable {
    public var host: String
    public var port: Int

    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        // Digits only: Int takes a sign as well.
        guard digits.allSatisfy({ ("0"..."9").contains($0) }), let port = Int(digits), (1...65535).contains(port) else {
            return nil
        }
        var host = String(text[..<colon])
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = String(host.dropFirst().dropLast()) }
        guard let address = IPAddress(host), (address.family == .ipv6) == isBracketed else { return nil }
        self.host = host
        self.port = port
    }
}
