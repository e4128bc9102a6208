import AgentClient
import Foundation
import Glibc
import Netlink
import TestSupport
import Testing
import VPCManifest

/// A running vpcd in a namespace of its own.
final class DaemonRun: Served, @unchecked Sendable {
    let folder: String
    let namespace: String
    let command: [String]
    let environment: [String: String]
    let process: Program
    let notifications: NotificationSocket
    let socket: String
    let manifests: String
    private let log: String

    /// - Parameter manifest: What the manifest directory holds; nil: there is none.
    init(
        _ arguments: [String] = [], journal: Bool = false, environment: [String: String] = [:],
        manifest: String? = InProcessRun.manifest
    ) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "daemon-\(UUID().uuidString)").path()
        log = folder + "/log"
        socket = folder + "/vpcd.sock"
        manifests = folder + "/manifests"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        namespace = "vpcd-\(UUID().uuidString.prefix(8))"
        notifications = try NotificationSocket(folder + "/notify")
        try NetworkNamespace.create(named: namespace)
        try Run.checked("ip", "-n", namespace, "link", "add", "u0", "type", "veth", "peer", "name", "u1")
        try Run.checked("ip", "-n", namespace, "link", "set", "u0", "up")
        try Run.checked("ip", "-n", namespace, "link", "set", "lo", "up")
        try Run.checked("ip", "-n", namespace, "addr", "add", "172.31.0.1/24", "dev", "u0")
        let source = manifest == nil ? "" : "manifests: \(manifests)\n"
        let configuration = """
            apiVersion: vpcctl.dev/v1
            kind: AgentConfiguration
            host: h1
            stateDirectory: \(folder)/state
            socket: {path: \(socket)}

            """
        try (configuration + source).write(toFile: folder + "/vpcd.yaml", atomically: false, encoding: .utf8)
        if let manifest {
            try FileManager.default.createDirectory(atPath: manifests, withIntermediateDirectories: true)
            try ManifestHead.placed(manifest, on: namespace).write(
                toFile: manifests + "/host.yaml", atomically: false, encoding: .utf8)
        }
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        command =
            ["ip", "netns", "exec", namespace, Run.program("vpcd"), "--config", folder + "/vpcd.yaml"] + arguments
        var variables = environment
        variables["NOTIFY_SOCKET"] = notifications.path
        let file = try #require(FileHandle(forWritingAtPath: log))
        var status = stat()
        fstat(file.fileDescriptor, &status)
        if journal { variables["JOURNAL_STREAM"] = "\(status.st_dev):\(status.st_ino)" }
        self.environment = variables
        process = try Program(command, environment: variables, error: file.fileDescriptor)
    }

    /// Makes one, waits until it is ready, and takes it away when `body` has ended.
    static func with(
        manifest: String? = nil, _ body: (DaemonRun) async throws -> Void
    ) async throws {
        let run = try await waiting {
            let run = try DaemonRun(manifest: manifest)
            try run.notifications.next("READY=1")
            return run
        }
        do {
            try await ManifestHead.$machine.withValue(run.namespace) { try await body(run) }
        } catch {
            try await waiting { run.remove() }
            throw error
        }
        let status = try await waiting {
            defer { run.remove() }
            return run.process.isRunning ? run.end() : run.process.wait()
        }
        #expect(status == 0, "\(run.logText)")
    }

    var logText: String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }

    /// - Returns: the exit code.
    func end(_ signal: Int32 = SIGTERM) -> Int32 {
        process.send(signal)
        return process.wait()
    }

    func remove() {
        if process.isRunning { _ = end(SIGKILL) }
        for name in [namespace, ManifestHead.own(namespace)] { try? NetworkNamespace.remove(named: name) }
        try? FileManager.default.removeItem(atPath: folder)
    }
}

/// Where sd_notify(3) writes to.
final class NotificationSocket {
    let path: String
    private let descriptor: Int32

    init(_ path: String) throws {
        self.path = path
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(result == 0)
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// What came and was not asked for yet: status and signs of life come between everything else.
    private var waiting: [String] = []

    /// Waits for a message that begins so.
    @discardableResult
    func next(_ beginning: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            if let index = waiting.firstIndex(where: { $0.hasPrefix(beginning) }) {
                return waiting.remove(at: index)
            }
            try #require(ContinuousClock.now < deadline, "\(beginning) never came", sourceLocation: sourceLocation)
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            try #require(count > 0, "\(beginning) never came", sourceLocation: sourceLocation)
            waiting.append(String(decoding: buffer[..<count], as: UTF8.self))
        }
    }
}
