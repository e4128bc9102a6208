import Foundation
import Glibc
import IPAddressing
import Liveness
import TestSupport
import Testing

/// Servers of Python's standard library on loopback, that do as they are told.
private final class Targets {
    private let program: Program
    private let commands: FileHandle
    private let answers: FileHandle
    private let folder: URL
    /// By name.
    let ports: [String: UInt16]

    private static let script = """
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
        from json import dumps
        from socket import AF_INET, SOCK_DGRAM, SOCK_STREAM, socket
        from ssl import PROTOCOL_TLS_SERVER, SSLContext
        from sys import argv, stdin
        from threading import Thread
        status = {"web": 200, "tls": 200}
        def serve(name, context=None):
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self):
                    self.send_response(status[name] if self.path == "/health" else 404)
                    self.end_headers()
                def log_message(self, *arguments): pass
            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            if context: server.socket = context.wrap_socket(server.socket, server_side=True)
            Thread(target=server.serve_forever, daemon=True).start()
            return server.server_address[1]
        def listen(kind):
            listener = socket(AF_INET, kind)
            listener.bind(("127.0.0.1", 0))
            return listener
        context = SSLContext(PROTOCOL_TLS_SERVER)
        context.load_cert_chain(argv[1], argv[2])
        silent = listen(SOCK_STREAM); silent.listen(64)
        other = listen(SOCK_STREAM); other.listen(64)
        def babble():
            while True:
                peer, _ = other.accept()
                try: peer.sendall(b"SSH-2.0-x\\r\\n")
                except OSError: pass
                peer.close()
        Thread(target=babble, daemon=True).start()
        closed = listen(SOCK_STREAM)
        echo = listen(SOCK_DGRAM)
        mute = listen(SOCK_DGRAM)
        def answer():
            while True: echo.sendto(b"yes", echo.recvfrom(2048)[1])
        Thread(target=answer, daemon=True).start()
        ports = {"web": serve("web"), "tls": serve("tls", context)}
        for name in ["silent", "other", "closed", "echo", "mute"]: ports[name] = globals()[name].getsockname()[1]
        print(dumps(ports), flush=True)
        for line in stdin:
            name, number = line.split()
            status[name] = int(number)
            print("done", flush=True)
        """

    init() throws {
        folder = URL(filePath: "/tmp/health-\(getpid())-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let files = ["key.pem", "certificate.pem"].map { [folder] in folder.appending(path: $0).path() }
        try Run.checked([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
            "-subj", "/CN=nobody", "-keyout", files[0], "-out", files[1],
        ])
        let (input, output) = (try openPipe(), try openPipe())
        program = try Program(
            ["python3", "-c", Self.script, files[1], files[0]], input: input.reading.fileDescriptor,
            output: output.writing.fileDescriptor)
        (commands, answers) = (input.writing, output.reading)
        ports = try JSONDecoder().decode([String: UInt16].self, from: try Self.line(answers))
    }

    deinit {
        program.send(SIGKILL)
        program.wait()
        try? FileManager.default.removeItem(at: folder)
    }

    func set(_ name: String, status: Int) throws {
        try commands.write(contentsOf: Data("\(name) \(status)\n".utf8))
        _ = try Self.line(answers)
    }

    private static func line(_ file: FileHandle) throws -> Data {
        var line = Data()
        while let byte = try file.read(upToCount: 1), byte.first.map({ $0 != 0x0A }) ?? false { line += byte }
        return line
    }
}

@Suite(.timeLimit(minutes: 10)) struct HealthCheckTests {
    private static let request = HealthCheck.HTTPRequest(path: "/health", statuses: [200])

    private static func check(_ question: HealthCheck.Question, _ port: UInt16) -> HealthCheck {
        HealthCheck(
            question, port: port, interval: .milliseconds(20), timeout: .milliseconds(400), healthy: 2, unhealthy: 3)
    }

    /// What has been found out about each target, once something has.
    private func verdicts(_ checks: [String: HealthCheck]) throws -> [String: LivenessVerdict] {
        let service = try LivenessService { _ in }
        service.follow(Self.plan(checks))
        try waitFor("all answers") {
            service.report.verdicts.count == checks.count
                && service.report.verdicts.values.allSatisfy { $0.reason != "not known yet" }
        }
        defer { service.stop() }
        return Dictionary(uniqueKeysWithValues: service.report.verdicts.map { ($0.key.name, $0.value) })
    }

    private static func plan(_ checks: [String: HealthCheck]) -> LivenessPlan {
        var plan = LivenessPlan()
        let address = IPAddress(v4: 0x7F00_0001)
        plan.watches = checks.map { name, check in
            .init(FactKey(.health, name), in: nil, by: nil, from: address, to: address, check)
        }
        return plan
    }

    @Test func eachIsAskedInItsProtocol() throws {
        let targets = try Targets()
        let port = { (name: String) in targets.ports[name] ?? 0 }
        let found = try verdicts([
            "tcp": Self.check(.tcp, port("silent")), "no tcp": Self.check(.tcp, port("closed")),
            "web": Self.check(.http(Self.request), port("web")),
            "no page": Self.check(.http(.init(path: "/other", statuses: [200])), port("web")),
            "as wanted": Self.check(.http(.init(path: "/other", statuses: [200, 404])), port("web")),
            "no web": Self.check(.http(Self.request), port("other")),
            "mute web": Self.check(.http(Self.request), port("silent")),
            "tls": Self.check(.https(Self.request), port("tls")),
            "no tls": Self.check(.https(Self.request), port("web")),
            "udp": Self.check(.udp, port("echo")), "mute": Self.check(.udp, port("mute")),
            "no udp": Self.check(.udp, port("closed")),
        ])
        let up = LivenessVerdict(isAlive: true, "up")
        let down = { LivenessVerdict(isAlive: false, $0) }
        #expect(
            found == [
                "tcp": up, "no tcp": down("it refuses connections"), "web": up,
                "no page": down("it answered with status 404"), "as wanted": up,
                "no web": down("its answer is not HTTP"), "mute web": down("no answer within 400ms"), "tls": up,
                "no tls": down("the TLS handshake failed"), "udp": up, "mute": down("no answer within 400ms"),
                "no udp": down("it refuses connections"),
            ])
    }

    @Test func aTargetFallsIllAndRecovers() throws {
        let targets = try Targets()
        let service = try LivenessService { _ in }
        defer { service.stop() }
        service.follow(Self.plan(["web": Self.check(.http(Self.request), targets.ports["web"] ?? 0)]))
        let key = FactKey(.health, "web")
        let becomes = { (isAlive: Bool, reason: String) in
            try waitFor(reason) { service.report.verdicts[key] == LivenessVerdict(isAlive: isAlive, reason) }
        }
        try becomes(true, "up")
        try targets.set("web", status: 503)
        try becomes(false, "it answered with status 503")
        try targets.set("web", status: 200)
        try becomes(true, "up")
        #expect(service.report.sessions[key]?.failures == 1)
    }
}
