import AgentClient
import Foundation
import Glibc
import Netlink
import Synchronization
import TestSupport
import Testing
import VPCManifest

/// vpcd as the service manager runs it.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct DaemonTests {
    @Test(arguments: [SIGTERM, SIGINT]) func itIsReadyReloadsAndEnds(_ signal: Int32) async throws {
        try await waiting {
            let daemon = try DaemonRun(environment: ["WATCHDOG_USEC": "300000"])
            defer { daemon.remove() }
            try daemon.notifications.next("READY=1")
            try daemon.notifications.next("WATCHDOG=1")
            try daemon.notifications.next("STATUS=")
            try daemon.notifications.next("WATCHDOG=1")
            daemon.process.send(SIGHUP)
            let reloading = try daemon.notifications.next("RELOADING=1\nMONOTONIC_USEC=")
            #expect(Int(reloading.split(separator: "=").last ?? "") != nil)
            try daemon.notifications.next("READY=1")
            #expect(try daemon.client.get("/v1/status")["host"]?.text == "h1")
            daemon.process.send(signal)
            try daemon.notifications.next("STOPPING=1")
            #expect(daemon.process.wait() == 0)
            #expect(access(daemon.socket, F_OK) != 0)
        }
    }

    /// Killed, it leaves its socket; the next one takes the place.
    @Test func killedItIsReplaced() async throws {
        try await waiting {
            let daemon = try DaemonRun()
            defer { daemon.remove() }
            try daemon.notifications.next("READY=1")
            let pid = try daemon.client.get("/v1/status")["pid"]?.number
            #expect(pid == Int(daemon.process.processIdentifier))
            _ = try daemon.client.follow("/v1/events?follow=true") { $0["type"]?.text != "RevisionAccepted" }
            _ = daemon.end(SIGKILL)
            #expect(access(daemon.socket, F_OK) == 0)
            #expect(throws: AgentClientError.self) { try daemon.client.get("/v1/status") }
            let next = try Program(daemon.command, environment: daemon.environment)
            defer {
                next.send(SIGTERM)
                next.wait()
            }
            try daemon.notifications.next("READY=1")
            #expect(try daemon.client.get("/v1/status")["pid"]?.number == Int(next.processIdentifier))
            #expect(try daemon.client.get("/v1/revisions")["items"]?.elements.count == 1)
        }
    }

    /// Somebody who hangs on the stream of events does not hold up the end.
    @Test func aFollowerDoesNotHoldItUp() async throws {
        try await waiting {
            let daemon = try DaemonRun()
            defer { daemon.remove() }
            try daemon.notifications.next("READY=1")
            let connection = try RawConnection(daemon.socket)
            try connection.send("GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
            // Its first line says that it is being served.
            _ = try connection.read(until: "RevisionAccepted")
            #expect(daemon.end() == 0)
            #expect(try connection.rest().hasSuffix("0\r\n\r\n"))
        }
    }

    // MARK: Logs

    @Test func theJournalGetsPriorities() async throws {
        try await waiting {
            let daemon = try DaemonRun(journal: true)
            defer { daemon.remove() }
            try daemon.notifications.next("READY=1")
            _ = daemon.end()
            let lines = daemon.logText.split(separator: "\n")
            #expect(lines.contains { $0.hasPrefix("<5>vpcd 0.1.0 begins") }, "\(lines)")
            #expect(lines.contains { $0.hasPrefix("<4>there is no group vpcctl") } || groupIsThere)
            #expect(lines.allSatisfy { $0.range(of: "^<[2-7]>", options: .regularExpression) != nil }, "\(lines)")
        }
    }

    private var groupIsThere: Bool { getgrnam("vpcctl") != nil }

    @Test func jsonIsALineAMessage() async throws {
        try await waiting {
            let daemon = try DaemonRun(["--log-format", "json"])
            defer { daemon.remove() }
            try daemon.notifications.next("READY=1")
            // Its author's text must not look like a line of ours.
            _ = try? daemon.client.get("/v1/x\u{1B}%0a")
            _ = daemon.end()
            let lines = daemon.logText.split(separator: "\n")
            #expect(lines.count > 3)
            for line in lines {
                let value = try StructuredValue(json: Array(line.utf8))
                #expect(value["time"]?.text?.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil, "\(line)")
                #expect(value["level"]?.text != nil && value["message"]?.text != nil, "\(line)")
            }
        }
    }

    // MARK: Beginning

    @Test func theConfigurationIsChecked() async throws {
        try await waiting {
            let folder = FileManager.default.temporaryDirectory.appending(path: "check-\(UUID().uuidString)").path()
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let file = folder + "/vpcd.yaml"
            func check(_ text: String) throws -> Run {
                try text.write(toFile: file, atomically: false, encoding: .utf8)
                return try Run([Run.program("vpcd"), "--config", file, "--check"])
            }
            let head = "apiVersion: vpcctl.dev/v1\nkind: AgentConfiguration\n"
            let good = try check(head + "stateDirectory: \(folder)/state\n")
            #expect(good.status == 0 && good.output == "\(file) is valid\n")
            let bad = try check(head + "socket: {pth: /x}\n")
            #expect(bad.status == 65)
            #expect(bad.error.contains("\(file):3:"))
            // Nothing was begun.
            #expect(access(folder + "/state", F_OK) != 0)
            #expect(try Run([Run.program("vpcd"), "--config", folder + "/none.yaml", "--check"]).status == 65)
            #expect(try Run([Run.program("vpcd"), "--log-format", "xml", "--check"]).status == 64)
        }
    }

    @Test func aSecondOneNamesTheFirst() async throws {
        try await waiting {
            let daemon = try DaemonRun()
            defer { daemon.remove() }
            try daemon.notifications.next("READY=1")
            let second = try Run(daemon.command)
            #expect(second.status == 1)
            #expect(second.error.contains("another vpcd (pid \(daemon.process.processIdentifier))"), "\(second.error)")
            #expect(try daemon.client.get("/v1/status")["pid"]?.number == Int(daemon.process.processIdentifier))
        }
    }
}
