import Glibc
import Netlink

/// Keeps one instance as it shall be: its namespace, its files, its process, and what that is told.
///
/// What there is to do is found in what there is: whoever takes over goes on from there.
public struct BalancerKeeper {
    /// Of the instance, the name of its directory and of its unit.
    public let name: String
    private let directory: String
    private let namespace: String
    private let process: HAProxyProcess
    private let threads: Int

    /// What was brought to the worker last, and that worker.
    private var done: (configuration: HAProxyConfiguration, worker: String)?
    private var stamps: [String: SmallFile.Stamp] = [:]
    private var complaints: [String: String] = [:]
    /// By backend and server, until when it goes on.
    private var leaving: [String: ContinuousClock.Instant] = [:]
    /// A configuration that was refused is not tried again.
    private var refused: (text: String, error: BalancerError)?

    /// - Parameters:
    ///   - folder: Of all instances.
    ///   - name: Of the instance.
    ///   - namespace: Made where it is missing.
    ///   - threads: How many processors it may keep busy.
    public init(in folder: String, name: String, namespace: String, hasServiceManager: Bool, threads: Int) {
        self.name = name
        self.namespace = namespace
        self.threads = threads
        directory = "\(folder)/\(name)"
        process = HAProxyProcess(
            directory: directory, namespace: namespace, unit: hasServiceManager ? "vpc-lb@\(name).service" : nil)
    }

    /// How an instance is.
    public struct Report: Hashable, Sendable {
        /// Why it does not serve at all, or not as it shall; nil: it does.
        public var problem: String?
        /// Whether it serves nevertheless, as it did before.
        public var isServing = false
        /// How many servers answer, of how many, by group.
        public var groups: [String: Group] = [:]

        public struct Group: Hashable, Sendable {
            public var up: Int
            public var all: Int
        }

        public init() {}
    }

    /// Does what there is to do.
    public mutating func bring(to balancer: HTTPBalancer, at now: ContinuousClock.Instant) -> Report {
        var report = Report()
        do throws(BalancerError) {
            try makeNamespace()
            guard HAProxyProcess.isInstalled else {
                throw BalancerError("HAProxy is missing: apt install haproxy")
            }
            let configuration = HAProxyConfiguration(balancer, in: directory, threads: threads)
            do throws(BalancerError) {
                try writeFiles(configuration)
                let worker = try runningWorker(configuration)
                report.isServing = true
                try adjust(worker, to: configuration, at: now)
                done = (configuration, worker.process)
            } catch {
                report.problem = error.description
                // The one before goes on, or is started again where it has ended.
                report.isServing = (try? keepFormer()) != nil
            }
            report.groups = groups
            process.trimLog()
        } catch {
            report.problem = error.description
        }
        if report.problem == nil { report.problem = complaints.sorted { $0.key < $1.key }.first?.value }
        return report
    }

    /// Ends it, and takes away all that was made for it.
    public func remove() throws(BalancerError) {
        try process.stop()
        if let mark = SmallFile.text("\(directory)/\(Self.mark)"),
            let cookie = try? NetworkNamespace.named(namespace).cookie(), mark == "\(cookie)"
        {
            do { try NetworkNamespace.remove(named: namespace) } catch { throw BalancerError("\(error)") }
        }
        for name in SmallFile.names(in: directory) where name != BalancerDirectory.empty {
            unlink("\(directory)/\(name)")
        }
        rmdir("\(directory)/\(BalancerDirectory.empty)")
        guard rmdir(directory) == 0 || errno == ENOENT else { throw .system("remove \(directory)") }
    }

    /// The names of all instances that have something in a folder.
    public static func names(in folder: String) -> [String] { SmallFile.names(in: folder) }

    // MARK: Namespace

    /// Says which namespace was made here: one that somebody else has made is not removed.
    private static let mark = "namespace"

    private func makeNamespace() throws(BalancerError) {
        try SmallFile.makeDirectory(directory, mode: 0o700)
        try SmallFile.makeDirectory("\(directory)/\(BalancerDirectory.empty)", mode: 0o755)
        let network = NetworkNamespace.named(namespace)
        if network.exists { return }
        do {
            if NetworkNamespace.isNameInUse(namespace) { try NetworkNamespace.remove(named: namespace) }
            try NetworkNamespace.create(named: namespace)
            let cookie = try network.cookie()
            try SmallFile.replace("\(directory)/\(Self.mark)", with: Array("\(cookie)".utf8))
        } catch {
            throw BalancerError("\(error)")
        }
        // Its process is in the one before, where nobody reaches it.
        try process.stop()
    }

    // MARK: Files

    /// Writes what HAProxy reads, where it takes it.
    private mutating func writeFiles(_ configuration: HAProxyConfiguration) throws(BalancerError) {
        try copyCertificates(of: configuration)
        let path = "\(directory)/\(BalancerDirectory.configuration)"
        if let refused, refused.text == configuration.text { throw refused.error }
        if SmallFile.text(path) == configuration.text { return }
        for (name, lines) in configuration.lists {
            try SmallFile.replace("\(directory)/\(name)", with: Array(lines.utf8))
        }
        let new = path + ".new"
        try SmallFile.write(Array(configuration.text.utf8), to: new)
        do throws(BalancerError) {
            try HAProxyProcess.check(new)
        } catch {
            refused = (configuration.text, error)
            throw error
        }
        refused = nil
        guard rename(new, path) == 0 else { throw .system("rename \(new)") }
        removeOldFiles(configuration)
    }

    private func removeOldFiles(_ configuration: HAProxyConfiguration) {
        let wanted = Set(configuration.lists.keys).union(configuration.certificates.map(\.name))
        for name in SmallFile.names(in: directory)
        where name.hasSuffix(".pem") || name.hasSuffix(".list") {
            if !wanted.contains(name) { unlink("\(directory)/\(name)") }
        }
    }

    /// Takes over certificates that are new, and good; of one that is not the former stays in use, and that is said.
    private mutating func copyCertificates(of configuration: HAProxyConfiguration) throws(BalancerError) {
        let sources = Set(configuration.certificates.map(\.source))
        complaints = complaints.filter { sources.contains($0.key) }
        for copy in configuration.certificates {
            let path = "\(directory)/\(copy.name)"
            let stamp = SmallFile.stamp(copy.source)
            if let stamp, stamps[path] == stamp, SmallFile.stamp(path) != nil { continue }
            do throws(BalancerError) {
                let new = try CertificateFile(SmallFile.read(copy.source), of: copy.source)
                if (try? SmallFile.read(path)) != new.bytes {
                    try renew(path, new)
                    refused = nil
                }
                complaints[copy.source] = nil
                stamps[path] = stamp
            } catch {
                complaints[copy.source] = error.description
                if SmallFile.stamp(path) == nil { throw error }
            }
        }
    }

    private func renew(_ path: String, _ new: CertificateFile) throws(BalancerError) {
        let worker = process.worker
        if SmallFile.stamp(path) != nil, (try? worker.ask("show ssl cert \(path)"))?.contains("Status: Used") == true {
            let answer = try worker.ask("set ssl cert \(path) <<\n\(new.lines)\n")
            guard answer.contains("Transaction") else {
                throw BalancerError("HAProxy refuses the certificate for \(path): \(answer)")
            }
            let end = try worker.ask("commit ssl cert \(path)")
            guard end.contains("Success") else {
                _ = try? worker.ask("abort ssl cert \(path)")
                throw BalancerError("HAProxy refuses the certificate for \(path): \(end)")
            }
        }
        try SmallFile.replace(path, with: new.bytes)
    }

    // MARK: Process

    /// A worker with the wanted frame.
    private func runningWorker(_ configuration: HAProxyConfiguration) throws(BalancerError) -> WorkerState {
        if (try? WorkerState(process.worker)) == nil { try process.start() }
        let state = try WorkerState(process.worker)
        return state.frame == configuration.frame ? state : try process.reload(to: configuration.frame)
    }

    private func keepFormer() throws(BalancerError) {
        if (try? WorkerState(process.worker)) != nil { return }
        guard SmallFile.stamp("\(directory)/\(BalancerDirectory.configuration)") != nil else {
            throw BalancerError("there is none")
        }
        try process.start()
    }

    // MARK: Servers

    /// Tells a worker of servers that came, changed or go.
    private mutating func adjust(
        _ worker: WorkerState, to configuration: HAProxyConfiguration, at now: ContinuousClock.Instant
    ) throws(BalancerError) {
        if let done, done.worker == worker.process, done.configuration.backends == configuration.backends,
            leaving.isEmpty
        {
            return
        }
        let socket = process.worker
        let states = try ServerState.list(socket.ask("show servers state"))
        let changes = ServerChanges(from: states, to: configuration.backends)
        for command in changes.commands {
            let answer = try socket.ask(command.text)
            if let wanted = command.answer, !answer.contains(wanted) {
                // A new worker reads all of it from the file.
                _ = try process.reload(to: configuration.frame)
                leaving = [:]
                return
            }
        }
        try takeAway(changes.leaving, configuration, at: now)
    }

    private mutating func takeAway(
        _ servers: [ServerState], _ configuration: HAProxyConfiguration, at now: ContinuousClock.Instant
    ) throws(BalancerError) {
        let former = leaving
        leaving = [:]
        if servers.isEmpty { return }
        let socket = process.worker
        let sessions = Self.sessions(try socket.ask("show stat -1 4 -1"))
        for server in servers {
            let path = "\(server.backend)/\(server.name)"
            let deadline = former[path] ?? now + (configuration.backends[server.backend]?.drain ?? .zero)
            // Who is told to go is asked once more before it is gone: a request may be on its way to it.
            leaving[path] = deadline
            guard former[path] != nil, now >= deadline || sessions[path] == 0 else { continue }
            _ = try socket.ask("set server \(path) state maint")
            _ = try socket.ask("shutdown sessions server \(path)")
            // Connections that are kept for the next request go within seconds; then it is tried again.
            if try socket.ask("del server \(path)").contains("Server deleted") { leaving[path] = nil }
        }
    }

    /// Of `show stat`, by backend and server the requests that it has.
    private static func sessions(_ text: String) -> [String: Int] {
        var sessions: [String: Int] = [:]
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let values = line.split(separator: ",", maxSplits: 5, omittingEmptySubsequences: false)
            if values.count > 4 { sessions["\(values[0])/\(values[1])"] = Int(values[4]) }
        }
        return sessions
    }

    private var groups: [String: Report.Group] {
        guard let text = try? process.worker.ask("show servers state"), let states = try? ServerState.list(text) else {
            return [:]
        }
        var groups: [String: Report.Group] = [:]
        for state in states where state.backend.hasPrefix("group.") && state.isReady {
            let name = String(state.backend.dropFirst("group.".count))
            groups[name, default: .init(up: 0, all: 0)].all += 1
            if state.isUp { groups[name]?.up += 1 }
        }
        return groups
    }
}
