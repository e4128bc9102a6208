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
    /// A file with a key that all hosts share, by which they know each other's messages; nil: by where they come from.
    public var exchangeKey: String?
    /// Where `vpcgw` is asked, on a gateway of a pair.
    public var gatewaySocket = "/run/vpcgw/vpcgw.sock"
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

    mutating func agentConfiguration() -> AgentConfiguration? {
        var configuration = AgentConfiguration()
        return AgentConfiguration.fields.read(&self, 0, into: &configuration) ? configuration : nil
    }

    fileprivate mutating func readAgentHeader(_ nodes: FieldNodes) {
        var version: String?
        readAPIVersion(nodes, 0, inherited: &version)
        guard let node = required(nodes, 1, "kind"), let kind = string(node), kind != Self.agentKind else { return }
        report(
            "unknown-kind", "kind must be \(Self.agentKind), not \(quoted(short(kind)))",
            hint: "manifests of resources belong into the directory that the field manifests names", at: node)
    }

    fileprivate mutating func absolutePath(_ node: Int) -> String? {
        guard let text = string(node) else { return nil }
        if text.hasPrefix("/") { return text }
        report(
            "invalid-value", "\(path(node)) must be an absolute path, not \(quoted(short(text)))",
            hint: "a daemon has no directory that a path could be relative to", at: node)
        return nil
    }

    fileprivate mutating func listenAddress(_ node: Int) -> String? {
        guard let text = string(node) else { return nil }
        if ListenAddress(text) != nil { return text }
        report(
            "invalid-value", "\(path(node)): \(quoted(short(text))) is not ADDRESS:PORT",
            hint: "write \"127.0.0.1:9469\", or \"[::1]:9469\"", at: node)
        return nil
    }
}

extension AgentConfiguration {
    fileprivate static let fields = FieldList<AgentConfiguration>([
        Field(
            ["apiVersion", "kind"], [], read: { reader, nodes, _ in reader.readAgentHeader(nodes) }, write: { _, _ in }),
        .optional("host", \.host, .name),
        .optional("manifests", \.manifests, .absolutePath),
        .optional("stateDirectory", \.stateDirectory, .absolutePath, default: AgentConfiguration().stateDirectory),
        .optional("socket", \.socket, .object(Socket.fields, from: Socket()), default: Socket()),
        .optional("metrics", \.metricsListen, .object(metrics, from: "")),
        .optional("exchangeKey", \.exchangeKey, .absolutePath),
        .optional("gatewaySocket", \.gatewaySocket, .socketPath, default: AgentConfiguration().gatewaySocket),
        .optional("resyncSeconds", \.resyncSeconds, .integer(in: 10...86_400), default: 300),
        .optional("revisions", \.revisions, .integer(in: 2...10_000), default: 50),
        .optional("log", \.log, .object(Log.fields, from: Log()), default: Log()),
    ])

    private static let metrics = FieldList<String>([.required("listen", \.self, .listenAddress)])
}

extension AgentConfiguration.Socket {
    fileprivate static let fields = FieldList<AgentConfiguration.Socket>([
        .optional("path", \.path, .socketPath, default: AgentConfiguration.Socket().path),
        .optional("group", \.group, .groupName, default: AgentConfiguration.Socket().group),
    ])
}

extension AgentConfiguration.Log {
    fileprivate static let fields = FieldList<AgentConfiguration.Log>([
        .optional("format", \.format, .word, default: .text),
        .optional("level", \.level, .word, default: .info),
    ])
}

extension FieldType<String> {
    fileprivate static let absolutePath = FieldType("path", read: { $0.absolutePath($1) }, write: { .string($0) })
    fileprivate static let listenAddress = FieldType(
        "`ADDRESS:PORT`", read: { $0.listenAddress($1) }, write: { .string($0) })

    fileprivate static let socketPath = FieldType(
        "path",
        read: { reader, node in
            guard let path = reader.absolutePath(node) else { return nil }
            // sockaddr_un holds 108 bytes with the zero at the end (unix(7)).
            if path.utf8.count > 107 {
                reader.report(
                    "out-of-range", "\(reader.path(node)) is longer than 107 bytes",
                    hint: "the address of a Unix socket holds no more", at: node)
            }
            return path
        }, write: { .string($0) })

    fileprivate static let groupName = FieldType(
        "string",
        read: { reader, node in
            guard let group = reader.string(node) else { return nil }
            if group.isEmpty {
                reader.report(
                    "invalid-value", "\(reader.path(node)) is empty", hint: "leave it out for the group vpcctl",
                    at: node)
            }
            return group
        }, write: { .string($0) })
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
