import Agent
import Foundation
import Glibc
import Logging
import TestSupport
import Testing
import VPCManifest

@testable import AgentServer

/// Who may listen, and who may ask.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct SocketTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "socket-\(UUID().uuidString)").path()
    private var path: String { folder + "/vpcd.sock" }

    private func status(_ path: String) throws -> stat {
        var status = stat()
        try #require(lstat(path, &status) == 0)
        return status
    }

    @Test func theDeadGiveWayAndTheLivingDoNot() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let first = try ListeningSocket.unix(path, group: nil)
        let error = #expect(throws: AgentError.self) { try ListeningSocket.unix(path, group: nil) }
        #expect(error?.message.hasPrefix("socket in use: another process (pid \(getpid())) listens at \(path)") == true)
        // Killed: the socket is closed, its file stays. A program that is just being started elsewhere may hold it still.
        let descriptor = try #require(first.take())
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
        let second = try ListeningSocket.unix(path, group: nil)
        #expect(try status(path).st_mode & 0o777 == 0o600)
        second.removeFile()
        #expect(access(path, F_OK) != 0)
    }

    @Test func whatIsNoSocketIsLeftAlone() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try "precious".write(toFile: path, atomically: false, encoding: .utf8)
        #expect(throws: AgentError.self) { try ListeningSocket.unix(path, group: nil) }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "precious")
    }

    @Test func theGroupOfTheFileIsTheConfigured() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let group = try #require(groupNumber(of: "daemon"))
        let socket = try ListeningSocket.unix(path, group: group)
        #expect(try status(path).st_mode & 0o777 == 0o660)
        #expect(try status(path).st_gid == group)
        #expect(try status(folder).st_mode & 0o777 == 0o755)
        withExtendedLifetime(socket) {}
        #expect(groupNumber(of: "no-such-group-\(getpid())") == nil)
    }

    @Test func aPortInUseIsNamed() throws {
        let first = try ListeningSocket.tcp("127.0.0.1:19469")
        let error = #expect(throws: AgentError.self) { try ListeningSocket.tcp("127.0.0.1:19469") }
        #expect(error?.message == "listen at 127.0.0.1:19469: Address already in use")
        withExtendedLifetime(first) {}
    }

    /// The socket's group decides, as a process has it: by its group, or by one of its further ones.
    @Test func membersOfTheGroupMayAsk() async throws {
        let group = try #require(groupNumber(of: "daemon"))
        try await InProcessRun.with({ $0.socket.group = "daemon" }) { run in
            try #require(chmod(run.folder, 0o755) == 0)
            let user = ["setpriv", "--reuid", "65534"]
            for groups in [
                ["--regid", "\(group)", "--clear-groups"], ["--regid", "65534", "--groups", "7,\(group),9"],
            ] {
                #expect(try await run.curl("/v1/status", before: user + groups).status == 200, "\(groups)")
            }
            let stranger = user + ["--regid", "65534", "--clear-groups"]
            let refused = try await run.vpcctl("status", before: stranger)
            #expect(refused.status == 77)
            #expect(refused.error.contains("usermod --append --groups vpcctl"))
            // Where the file lets a stranger in, his credentials do not.
            try #require(chmod(run.socket, 0o666) == 0)
            let answer = try await run.curl("/v1/status", before: stranger)
            #expect(answer.status == 403)
            #expect(try answer.json["code"]?.text == "forbidden")
            #expect(try await run.vpcctl("status", before: stranger).status == 77)
        }
    }
}
