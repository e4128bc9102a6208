import Foundation
import Glibc
import TestSupport
import Testing
import VPCManifest

@testable import AgentServer

/// HTTP as it should not be, and as it rarely is.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct RequestTests {
    /// What listens answers these bytes with, up to the end of the connection.
    private func exchange(_ run: InProcessRun, _ text: String, closing: Bool = false) async throws -> String {
        let socket = run.socket
        return try await waiting {
            let connection = try RawConnection(socket)
            try connection.send(text)
            if closing { connection.closeForSending() }
            return try connection.rest()
        }
    }

    @Test(arguments: [
        "GARBAGE\r\n\r\n", "GET /v1/status\r\n\r\n", "GET /v1/status HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /v1/status HTTP/1.1\r\nContent-Length: x\r\n\r\n", "\u{0}\u{1}\u{2}\u{3}\r\n\r\n",
        "GET /v1/status HTTP/1.1\r\nX: " + String(repeating: "a", count: 200_000) + "\r\n\r\n",
    ])
    func whatIsNoHTTPIsRefused(_ text: String) async throws {
        try await InProcessRun.with { run in
            let answer = try await exchange(run, text)
            #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\n"), "\(answer)")
            #expect(answer.contains("Connection: close") || answer.contains("connection: close"))
            let body = try #require(answer.range(of: "\r\n\r\n")).upperBound
            let value = try StructuredValue(json: Array(answer[body...].utf8))
            #expect(value["code"]?.text == "badRequest")
            // The next one is served as if nothing had been.
            #expect(try await run.curl("/v1/status").status == 200)
        }
    }

    /// A client that has sent everything, and says so, waits for its answer.
    @Test func aHalfClosedConnectionIsAnswered() async throws {
        try await InProcessRun.with { run in
            let answer = try await exchange(
                run, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n",
                closing: true)
            #expect(answer.components(separatedBy: "HTTP/1.1 200 OK").count == 3)
            #expect(answer.contains("AgentStatus") && answer.contains("EventList"))
        }
    }

    /// Half a request holds a place only for a while; a body that does not come as well.
    @Test(arguments: [
        "GET /v1/status HT", "POST /v1/plan HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{",
    ])
    func aSlowClientIsCutOff(_ text: String) async throws {
        try await InProcessRun.with(limits: .impatient) { run in
            let answer = try await exchange(run, text)
            #expect(!answer.contains("HTTP/1.1 2"), "\(answer)")
        }
    }

    /// A byte now and then is no request either.
    @Test func aDrippingClientIsCutOff() async throws {
        try await InProcessRun.with(limits: .impatient) { run in
            let socket = run.socket
            try await waiting {
                let connection = try RawConnection(socket)
                try connection.send(
                    "POST /v1/plan HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
                // Ends when the other end has had enough.
                while connection.sendByte() { usleep(20_000) }
                connection.close()
            }
        }
    }

    /// Who asks for much and takes nothing of it holds neither a place nor the memory.
    @Test func whoTakesNoAnswerIsCutOff() async throws {
        try await InProcessRun.with(limits: .impatient) { run in
            let text = InProcessRun.manifest + "# " + String(repeating: "x", count: 8 << 20) + "\n"
            _ = try await run.agent.apply([ManifestSource(name: "large.yaml", text: text)])
            let socket = run.socket
            let answer = try await waiting {
                let connection = try RawConnection(socket)
                try connection.send("GET /v1/revisions/1 HTTP/1.1\r\nHost: x\r\n\r\n")
                connection.awaitEnd()
                return try connection.rest()
            }
            #expect(answer.utf8.count < 8 << 20)
        }
    }

    /// Who follows events sends nothing for hours, and is no slow client.
    @Test func aFollowerIsNotCutOff() async throws {
        try await InProcessRun.with(limits: .impatient) { run in
            async let stream = run.curl("/v1/events?follow=true")
            try await run.followed()
            // Time is what this is about.
            try await Task.sleep(for: .milliseconds(500))
            try await run.followed()
            #expect(try await run.post("/v1/apply", InProcessRun.sources(InProcessRun.manifest)).status == 200)
            try await run.stopAgent()
            #expect(try await stream.body.contains("RevisionAccepted"))
        }
    }

    /// A follower who goes away is noticed although nothing happens.
    @Test func aFollowerMayGo() async throws {
        try await InProcessRun.with { run in
            let socket = run.socket
            let connection = try await waiting { () -> RawConnection in
                let connection = try RawConnection(socket)
                try connection.send("GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
                return connection
            }
            try await run.followed()
            connection.close()
            try await run.followed(by: 0)
        }
    }

    /// A client may ask for leave before it sends a large body, and a refusal spares it the sending.
    @Test func largeBodiesAreAskedFor() async throws {
        try await InProcessRun.with { run in
            let socket = run.socket
            let head =
                "POST /v1/plan HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Type: "
            let body = InProcessRun.manifest
            let answer = try await waiting {
                let connection = try RawConnection(socket)
                try connection.send(head + "application/yaml\r\nContent-Length: \(body.utf8.count)\r\n\r\n")
                #expect(try connection.read(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
                try connection.send(body)
                return try connection.rest()
            }
            #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
            let refusal = try await waiting {
                let connection = try RawConnection(socket)
                try connection.send(head + "application/yaml\r\nContent-Length: \(65 << 20)\r\n\r\n")
                return try connection.rest()
            }
            #expect(refusal.hasPrefix("HTTP/1.1 413 "))
            // Without being asked for it, and without a length in front.
            let chunked = try await run.curl(
                "/v1/plan", "POST", body: Data(count: 65 << 20), type: "application/json",
                headers: ["Transfer-Encoding: chunked", "Expect:"])
            #expect(chunked.status == 413)
        }
    }

    @Test func chunkedBodiesAreRead() async throws {
        try await InProcessRun.with { run in
            let answer = try await run.curl(
                "/v1/plan", "POST", body: Data(InProcessRun.sources(InProcessRun.manifest).utf8),
                type: "application/json",
                headers: ["Transfer-Encoding: chunked"])
            #expect(answer.status == 200)
        }
    }

    @Test func methodsAndPathsAreTold() async throws {
        try await InProcessRun.with { run in
            let answer = try await exchange(
                run, "DELETE /v1/plan HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", closing: true)
            #expect(answer.hasPrefix("HTTP/1.1 405 "))
            #expect(answer.contains("Allow: GET, HEAD, POST\r\n"))
            for path in ["/", "/v1", "/v1/status/", "/v1/revisions/1/2", "//v1/status"] {
                #expect(try await run.curl(path).status == 404, "\(path)")
            }
            let head = try await run.curl("/v1/status", "HEAD")
            #expect(head.status == 200)
            #expect(head.body.contains("Content-Length: ") && !head.body.contains("AgentStatus"))
        }
    }

    @Test(arguments: [
        ("/v1/apply?confirm=0", "confirm must be a whole number, 1…86400"),
        ("/v1/apply?confirm=1.5", "confirm must be"),
        ("/v1/apply?confirm=1&confirm=2", "confirm is given twice"), ("/v1/apply?%zz=1", "no %XX"),
        ("/v1/apply?wait=1", "the query has the unknown parameter \"wait\"; known: confirm"),
    ])
    func queriesAreReadStrictly(_ path: String, _ message: String) async throws {
        try await InProcessRun.with { run in
            let answer = try await run.post(path, InProcessRun.sources(InProcessRun.manifest))
            #expect(answer.status == 400)
            #expect(try answer.json["message"]?.text?.contains(message) == true, "\(answer.body)")
            #expect(run.agent.status.desiredRevision == nil)
        }
    }

    @Test(arguments: [
        ("", "the body is no JSON: line 1, column 1: unexpected end"), ("[]", "the body must be an object"),
        ("{}", "a list named sources"), ("{\"sources\": 1}", "a list named sources"),
        ("{\"sources\": [{\"name\": \"a\"}]}", "sources[0] must have the strings name and text"),
        ("{\"sources\": [], \"force\": true}", "the unknown field \"force\"; known: sources"),
        ("{\"sources\": [{\"name\": 1, \"text\": \"\"}]}", "sources[0] must have the strings"),
        (String(repeating: "[", count: 100_000), "more than 64 levels"),
    ])
    func bodiesAreReadStrictly(_ body: String, _ message: String) async throws {
        try await InProcessRun.with { run in
            let answer = try await run.post("/v1/apply", body)
            #expect(answer.status == 400)
            #expect(try answer.json["message"]?.text?.contains(message) == true, "\(answer.body)")
        }
    }

    /// Diagnostics name the user's file, and nothing was done.
    @Test func diagnosticsHaveTheNamesOfTheSources() async throws {
        try await InProcessRun.with { run in
            let text =
                InProcessRun.manifest
                + "---\napiVersion: vpcctl.dev/v1\nkind: VPC\nmetadata: {name: v}\nspec: {id: 0, cidrs: []}\n"
            let answer = try await run.post("/v1/apply", InProcessRun.sources(text, name: "net/blue.yaml"))
            #expect(answer.status == 422)
            let diagnostics = try #require(try answer.json["diagnostics"]?.elements)
            #expect(diagnostics.first?["file"]?.text == "net/blue.yaml")
            #expect(diagnostics.first?["line"]?.number == 9)
            #expect(run.agent.status.desiredRevision == nil)
        }
    }
}

extension ServerLimits {
    /// Nobody is waited for long.
    static var impatient: ServerLimits {
        var limits = ServerLimits()
        limits.idleTimeout = .milliseconds(300)
        return limits
    }
}

/// A connection without any HTTP.
final class RawConnection: Sendable {
    private let descriptor: Int32

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw ProgramFailure("connect: \(String(cString: strerror(errno)))") }
        // No answer at all is a failure, not a test that hangs.
        var limit = timeval(tv_sec: 600, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    func send(_ text: String) throws {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            // Whoever has heard enough does not listen to the end.
            if count < 0 { return }
            bytes = bytes.dropFirst(count)
        }
    }

    /// - Returns: whether anybody takes it.
    func sendByte() -> Bool { Glibc.send(descriptor, "x", 1, Int32(MSG_NOSIGNAL)) == 1 }

    /// Waits until the other end has gone, without taking what it sends.
    func awaitEnd() {
        var request = pollfd(fd: descriptor, events: 0, revents: 0)
        while poll(&request, 1, -1) < 0 || request.revents & Int16(POLLHUP | POLLERR) == 0 {}
    }

    func closeForSending() { shutdown(descriptor, Int32(SHUT_WR)) }
    func close() { Glibc.close(descriptor) }

    /// Everything up to a mark.
    func read(until mark: String) throws -> String {
        var text = ""
        while !text.hasSuffix(mark) {
            var byte: UInt8 = 0
            guard recv(descriptor, &byte, 1, 0) == 1 else { throw ProgramFailure("no \(mark) after \(text)") }
            text.unicodeScalars.append(Unicode.Scalar(byte))
        }
        return text
    }

    /// Everything up to the end of the connection.
    func rest() throws -> String {
        defer { close() }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count == 0 || (count < 0 && errno == ECONNRESET) { return String(decoding: bytes, as: UTF8.self) }
            guard count > 0 else { throw ProgramFailure("no answer: \(String(cString: strerror(errno)))") }
            bytes += chunk[..<count]
        }
    }
}
