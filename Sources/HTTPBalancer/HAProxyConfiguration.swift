import IPAddressing

/// What HAProxy is told, a pure function of a balancer and of the places of its files.
///
/// What servers there are, with their addresses and weights, HAProxy is told while it runs; the rest, ``frame``, needs a new
/// worker. Which frame a worker has it says itself (`description` of `show info`), so that nobody has to remember.
public struct HAProxyConfiguration: Hashable, Sendable {
    /// All of the file.
    public let text: String
    /// Different for configurations that differ in more than servers.
    public let frame: String
    /// By the backend's name.
    public let backends: [String: Backend]
    /// Files with lists of certificates, by name: one that has changed has another name.
    public let lists: [String: String]
    /// Where copies of certificates are, by name.
    public let certificates: [CertificateCopy]

    public struct Backend: Hashable, Sendable {
        public var servers: [HTTPBalancer.Server]
        /// What a server is told beside its address and weight.
        public var options: String
        public var isChecked: Bool
        public var drain: Duration
    }

    public struct CertificateCopy: Hashable, Sendable {
        public var source: String
        /// In the instance's directory.
        public var name: String
    }

    /// - Parameters:
    ///   - directory: Of the instance: absolute, of letters, digits, `/`, `.`, `-` and `_`.
    ///   - threads: How many processors it may keep busy.
    public init(_ balancer: HTTPBalancer, in directory: String, threads: Int) {
        var writer = ConfigurationWriter(balancer, directory, threads)
        writer.write()
        let digest = Digest(of: writer.frame.joined(separator: "\n") + writer.lists.values.sorted().joined())
        frame = digest.text
        lists = writer.lists
        backends = writer.backends
        certificates = writer.certificates
        text = writer.frame.map { line in
            if line == ConfigurationWriter.description { return "  description \(digest.text)\n" }
            guard line.hasPrefix(ConfigurationWriter.servers),
                let backend = writer.backends[String(line.dropFirst(ConfigurationWriter.servers.count))]
            else { return line + "\n" }
            return backend.servers.map { "  server \($0.name) \(backend.arguments(of: $0))\n" }.joined()
        }.joined()
    }
}

extension HAProxyConfiguration.Backend {
    /// What stands behind a server's name, in the file and where it is added at runtime.
    func arguments(of server: HTTPBalancer.Server) -> String {
        "\(server.socket) weight \(server.weight)\(isChecked ? " check" : "")\(options)"
    }
}

extension HTTPBalancer.Server {
    var socket: String { address.family == .ipv6 ? "[\(address)]:\(port)" : "\(address):\(port)" }
}

private struct ConfigurationWriter {
    let balancer: HTTPBalancer
    let directory: String
    let threads: Int
    /// Lines; for servers there are places.
    var frame: [String] = []
    var backends: [String: HAProxyConfiguration.Backend] = [:]
    var lists: [String: String] = [:]
    var certificates: [HAProxyConfiguration.CertificateCopy] = []

    static let description = "DESCRIPTION"
    static let servers = "SERVERS "
    /// What answers where no rule fits. No group can be called so.
    private static let nobody = "nobody"

    init(_ balancer: HTTPBalancer, _ directory: String, _ threads: Int) {
        self.balancer = balancer
        self.directory = directory
        self.threads = threads
    }

    mutating func write() {
        writeGlobals()
        writeDefaults()
        for listener in balancer.listeners { write(listener) }
        for group in balancer.groups { write(group) }
        frame += ["", "backend \(Self.nobody)", "  http-request deny deny_status 404"]
    }

    private mutating func writeGlobals() {
        frame += [
            "# LoadBalancer/\(balancer.name), written by vpcd: what is changed here is lost.",
            "global",
            Self.description,
            "  user haproxy",
            "  group haproxy",
            // Where there is nothing.
            "  chroot \(directory)/\(BalancerDirectory.empty)",
            "  stats socket \(directory)/\(BalancerDirectory.socket) mode 600 level admin expose-fd listeners",
            // By the master's standard output: what reads it has no place in a tenant's namespace.
            "  log stdout format raw local0 \(balancer.logsRequests ? "info" : "notice")",
            "  hard-stop-after \(seconds(longestDrain))",
            "  maxconn \(HAProxyConfiguration.maximumConnections)",
            "  nbthread \(threads)",
            "  ssl-default-bind-options ssl-min-ver TLSv1.2",
            "  tune.ssl.default-dh-param 2048",
        ]
    }

    /// Websockets and long answers of a worker that is replaced end with it.
    private var longestDrain: Duration {
        balancer.groups.map(\.drain).max().map { max($0, .seconds(60)) } ?? .seconds(60)
    }

    private mutating func writeDefaults() {
        frame += [
            "", "defaults",
            "  mode http",
            "  log global",
            "  option dontlognull",
            "  option redispatch 1",
            "  retries 3",
            "  timeout connect 5s",
            "  timeout client 60s",
            "  timeout server 60s",
            "  timeout queue 10s",
            "  timeout http-request 10s",
            "  timeout http-keep-alive 10s",
            "  timeout client-fin 10s",
            "  timeout tunnel 1h",
        ]
        if balancer.logsRequests { frame.append("  option httplog") }
    }

    // MARK: Listeners

    private mutating func write(_ listener: HTTPBalancer.Listener) {
        // The namespace has no other addresses than the instance's.
        var bind = "  bind :\(listener.port)"
        if listener.scheme == .https {
            bind += " ssl crt-list \(directory)/\(addList(of: listener)) alpn h2,http/1.1"
        }
        frame += ["", "frontend \(listener.scheme.rawValue).\(listener.port)", bind]
        if let port = listener.redirectPort {
            let authority = "%[req.hdr(host),host_only]" + (port == 443 ? "" : ":\(port)")
            frame.append(
                "  http-request redirect code 308 location 'https://\(authority)%[capture.req.uri]' if { req.hdr(host) -m found }"
            )
        } else {
            writeHeaders(listener.scheme)
            for rule in listener.rules { write(rule) }
        }
        frame.append("  default_backend \(Self.nobody)")
    }

    /// In place of what clients say of themselves.
    private mutating func writeHeaders(_ scheme: HTTPBalancer.Scheme) {
        frame.append("  http-request del-header X-Forwarded-For")
        if balancer.clientAddress == .forwardedFor {
            frame.append("  http-request set-header X-Forwarded-For %[src]")
        }
        frame.append("  http-request set-header X-Forwarded-Proto \(scheme.rawValue)")
    }

    private mutating func write(_ rule: HTTPBalancer.Rule) {
        var conditions: [String] = []
        if let host = rule.host {
            conditions.append("{ req.hdr(host),host_only,lower -m str -- \(quoted(host.lowercased())) }")
        }
        if let path = rule.path { conditions.append("{ path_beg -- \(quoted(path)) }") }
        let group = balancer.groups.first { $0.name == rule.group }
        if group?.failsOpen == true {
            let none = conditions + ["{ nbsrv(\(backendName(rule.group))) eq 0 }"]
            frame.append("  use_backend \(openBackendName(rule.group)) if \(none.joined(separator: " "))")
        }
        let condition = conditions.isEmpty ? "TRUE" : conditions.joined(separator: " ")
        frame.append("  use_backend \(backendName(rule.group)) if \(condition)")
    }

    /// - Returns: the name of the file.
    private mutating func addList(of listener: HTTPBalancer.Listener) -> String {
        var lines = ""
        for certificate in listener.certificates {
            let name = "\(listener.port)-\(certificate.name.lowercased()).pem"
            certificates.append(.init(source: certificate.file, name: name))
            lines += "\(directory)/\(name) \(certificate.name.lowercased())\n"
        }
        let name = "\(listener.port)-\(Digest(of: lines).text).list"
        lists[name] = lines
        return name
    }

    // MARK: Groups

    private func backendName(_ group: String) -> String { "group.\(group)" }
    private func openBackendName(_ group: String) -> String { "unchecked.\(group)" }

    private mutating func write(_ group: HTTPBalancer.Group) {
        frame += ["", "backend \(backendName(group.name))", "  balance roundrobin"]
        var options = ""
        if let check = group.check {
            frame.append("  timeout check \(milliseconds(check.timeout))")
            switch check.kind {
            case .tcp: break
            case .http, .https:
                frame += [
                    "  option httpchk",
                    "  http-check send meth GET uri \(quoted(check.path)) ver HTTP/1.1 hdr Host \(quoted(balancer.name))"
                        + " hdr Connection close",
                    "  http-check expect status \(check.status.map(String.init).joined(separator: ","))",
                ]
            }
            options += " inter \(milliseconds(check.interval)) rise \(check.healthy) fall \(check.unhealthy)"
            if group.scheme == .http, check.kind == .https { options += " check-ssl verify none" }
            if group.scheme == .https, check.kind != .https { options += " no-check-ssl" }
        }
        add(group, named: backendName(group.name), options: options, isChecked: group.check != nil)
        guard group.failsOpen, group.check != nil else { return }
        frame += ["", "backend \(openBackendName(group.name))", "  balance roundrobin"]
        add(group, named: openBackendName(group.name), options: "", isChecked: false)
    }

    private mutating func add(
        _ group: HTTPBalancer.Group, named name: String, options: String, isChecked: Bool
    ) {
        var options = options
        if group.scheme == .https { options += " ssl verify none" }
        if balancer.clientAddress == .proxyV2 { options += " send-proxy-v2" }
        backends[name] = HAProxyConfiguration.Backend(
            servers: group.servers, options: options, isChecked: isChecked, drain: group.drain)
        // What servers are told is not told at runtime of those that are there.
        frame += ["  # servers:\(options)\(isChecked ? " check" : "")", Self.servers + name]
    }

    private func seconds(_ duration: Duration) -> String { "\(max(1, duration.components.seconds))s" }

    private func milliseconds(_ duration: Duration) -> String {
        "\(max(1, duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000))ms"
    }

    /// A word of HAProxy's, whatever is in it: between such quotes nothing has a meaning.
    private func quoted(_ text: String) -> String {
        "'"
            + String(text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }.map(Character.init))
            .replacing("'", with: "'\\''") + "'"
    }
}

extension HAProxyConfiguration {
    /// At once, of all clients of an instance: each takes two descriptors and up to 40 KB.
    public static let maximumConnections = 8192
}

/// FNV-1a, 64 bits.
private struct Digest {
    let text: String

    init(of content: String) {
        var value: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in content.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
        text = String(value, radix: 16)
    }
}
