import Foundation
import Testing

@testable import Agent

/// Files of lines that do not grow without end.
@Suite(.timeLimit(minutes: 10)) struct RecordFileTests {
    private let folder = "/tmp/vpcd-records-\(UUID().uuidString)"
    private var path: String { folder + "/below/lines" }

    private func read(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }

    @Test func fullOnesAreKeptForAWhile() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var file = RecordFile(path, largest: 10, kept: 3)
        for number in 0..<8 { try file.append(Array("line \(number)\n".utf8)) }
        #expect(read(path) == "line 7\n" && read(path + ".1") == "line 6\n" && read(path + ".2") == "line 5\n")
        #expect(read(path + ".3") == nil)
        // Another one goes on where this one has ended.
        var next = RecordFile(path, largest: 20, kept: 3)
        try next.append(Array("x\n".utf8))
        #expect(read(path) == "line 7\nx\n")
    }

    /// As logrotate(8) and collectors move files away.
    @Test func whoMovesItAwayGetsNoMore() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var file = RecordFile(path)
        try file.append(Array("one\n".utf8))
        try FileManager.default.moveItem(atPath: path, toPath: folder + "/away")
        try file.append(Array("two\n".utf8))
        #expect(read(folder + "/away") == "one\n" && read(path) == "two\n")
    }

    /// A disk that is full keeps whole lines: a file system of one page.
    @Test(.enabled(if: getuid() == 0)) func halfALineIsTakenBack() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        guard mount("tmpfs", folder, "tmpfs", 0, "size=4k") == 0 else { return }
        defer { umount(folder) }
        var file = RecordFile(folder + "/lines")
        let line = [UInt8](repeating: 0x61, count: 2999) + [0x0A]
        try file.append(line)
        #expect(throws: AgentError.self) { try file.append(line) }
        #expect(read(folder + "/lines")?.utf8.count == 3000)
        try file.append(Array("short\n".utf8))
        #expect(read(folder + "/lines")?.hasSuffix("a\nshort\n") ?? false)
    }
}
