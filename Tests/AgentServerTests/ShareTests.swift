import Foundation
import Glibc
import NIOCore
import TestSupport
import Testing
import VPCManifest

@testable import AgentServer

/// What one client may have of the API.
@Suite(.timeLimit(minutes: 10)) struct ShareTests {
    @Test func theLastPlacesAreForRoot() {
        let shares = Shares(Shares.Limits(total: 10, reserved: 3, each: 4))
        let users = (1...4).map { Peer.user($0) }
        #expect((1...6).filter { _ in shares.take(for: users[0]) }.count == 4)
        #expect(users.filter { shares.take(for: $0) }.count == 3)
        #expect(!shares.take(for: .unknown))
        #expect((1...6).filter { _ in shares.take(for: .root) }.count == 3)
        shares.giveBack(2, of: users[0])
        #expect(!shares.take(3, for: .root) && shares.take(for: users[3]) && shares.take(for: .root))
        #expect(!shares.take(for: .root) && !shares.take(for: users[0]))
    }

    @Test(arguments: [
        ("127.0.0.1", "127.3.2.1"), ("::1", "127.0.0.1"), ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::ffff:1"),
    ])
    func addressesOfOneSource(_ one: String, _ other: String) throws {
        let peers = try [one, other].map { Peer(try SocketAddress(ipAddress: $0, port: 1)) }
        #expect(peers[0] == peers[1])
    }

    @Test(arguments: [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8:0:1::1"), ("127.0.0.1", "10.0.0.1")])
    func addressesOfTwoSources(_ one: String, _ other: String) throws {
        let peers = try [one, other].map { Peer(try SocketAddress(ipAddress: $0, port: 1)) }
        #expect(peers[0] != peers[1])
    }
}

/// Users who want all there is.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct CrowdTests {
    private func user(_ number: Int) throws -> [String] {
        let group = try #require(groupNumber(of: "daemon"))
        return ["setpriv", "--reuid", "\(number)", "--regid", "\(group)", "--clear-groups"]
    }

    /// Runs `body` while somebody holds connections and asks for more.
    private func holding(
        _ count: Int, _ what: [String], before: [String] = [], _ body: () async throws -> Void
    ) async throws {
        let (input, output) = (Pipe(), Pipe())
        // The checkout may be closed to other users.
        let text = try String(contentsOfFile: script("hold_connections.py")[1], encoding: .utf8)
        let program = try Program(
            before + ["/usr/bin/python3", "-c", text, "\(count)"] + what,
            input: input.fileHandleForReading.fileDescriptor, output: output.fileHandleForWriting.fileDescriptor)
        try output.fileHandleForWriting.close()
        let end = output.fileHandleForReading
        #expect(try await waiting { try end.readToEndOfLine() } == "held")
        try await body()
        try input.fileHandleForWriting.close()
        _ = try await waiting { program.wait() }
    }

    @Test(arguments: [
        "", "GET /v1/events?follow=true HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", "POST /v1/plan HTTP/1.1\\r\\n",
    ])
    func aUserDoesNotGetAllPlaces(_ request: String) async throws {
        try await InProcessRun.with({ $0.socket.group = "daemon" }) { run in
            try #require(chmod(run.folder, 0o755) == 0)
            let (first, second) = (try user(65_534), try user(65_533))
            try await holding(300, ["unix", run.socket, request], before: first) { () async throws in
                #expect(try await run.curl("/v1/status").status == 200)
                #expect(try await run.post("/v1/apply", InProcessRun.sources(InProcessRun.manifest)).status == 200)
                #expect(try await run.curl("/v1/status", before: second).status == 200)
            }
        }
    }

    @Test func whoHasHisShareIsTold() async throws {
        var limits = ServerLimits()
        limits.connections = Shares.Limits(total: 8, reserved: 4, each: 2)
        try await InProcessRun.with({ $0.socket.group = "daemon" }, limits: limits) { run in
            try #require(chmod(run.folder, 0o755) == 0)
            let follow = "GET /v1/events?follow=true HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"
            try await holding(2, ["unix", run.socket, follow], before: try user(65_534)) {
                try await run.followed(by: 2)
                let answer = try await run.curl("/v1/status", before: try user(65_534))
                #expect(answer.status == 429)
                #expect(try answer.json["code"]?.text == "busy")
                #expect(try await run.curl("/v1/status", before: try user(65_533)).status == 200)
            }
            try await run.followed(by: 0)
            #expect(try await run.curl("/v1/status", before: try user(65_534)).status == 200)
        }
    }

    /// Over TCP, where nobody is known, silent connections of a source give way to those that ask for something.
    @Test func aSourceDoesNotGetAllOfTheMetrics() async throws {
        let port = 21_000 + Int.random(in: 0..<10_000)
        try await InProcessRun.with({ $0.metricsListen = "127.0.0.1:\(port)" }) { run in
            try await holding(300, ["tcp", "\(port)", "GET /metrics HTTP/1.1\\r\\n"]) { () async throws in
                for _ in 1...5 {
                    #expect(try await run.curl("/healthz", tcp: "127.0.0.1:\(port)").status == 200)
                    #expect(try await run.curl("/healthz").status == 200)
                }
            }
        }
    }

    /// A socket that somebody else listens at is no agent, whatever he says, and nothing waits for him.
    @Test func aSquatterIsNoAgent() async throws {
        try await InProcessRun.with { run in
            let folder = FileManager.default.temporaryDirectory.appending(path: "squat-\(UUID().uuidString)").path()
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            try #require(chmod(folder, 0o777) == 0)
            let path = folder + "/vpcd.sock"
            let text = try String(contentsOfFile: script("squat.py")[1], encoding: .utf8)
            let (input, output) = (Pipe(), Pipe())
            let program = try Program(
                [
                    "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c", text,
                    path,
                ],
                input: input.fileHandleForReading.fileDescriptor, output: output.fileHandleForWriting.fileDescriptor)
            let end = output.fileHandleForReading
            #expect(try await waiting { try end.readToEndOfLine() } == "held")
            for command in [["status"], ["delete", "--yes"], ["apply", "-f", "-", "--host", "h1", "--yes"]] {
                let answer = try await run.vpcctl(command + ["--socket", path], input: InProcessRun.manifest)
                #expect(answer.status == 1)
                #expect(answer.error.contains("is no agent: process \(program.processIdentifier) of user 65534"))
            }
            try input.fileHandleForWriting.close()
            _ = try await waiting { program.wait() }
        }
    }
}

extension FileHandle {
    /// A line, without its end.
    fileprivate func readToEndOfLine() throws -> String {
        var line: [UInt8] = []
        while let byte = try read(upToCount: 1)?.first, byte != UInt8(ascii: "\n") { line.append(byte) }
        return String(decoding: line, as: UTF8.self)
    }
}
