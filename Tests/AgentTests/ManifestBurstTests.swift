import Foundation
import Glibc
import TestSupport
import Testing

@testable import Agent

/// When a change of a directory is read. The clock stands still: what is due now was not waited for.
@Suite(.timeLimit(minutes: 10)) struct ManifestBurstTests {
    private let clock = VirtualClock()

    private func withFolder(
        _ body: (_ directory: ManifestDirectory, _ sh: (String) throws -> Void) throws -> Void
    ) throws {
        let folder = "/tmp/vpcd-burst-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder + "/m", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let sh = { (line: String) in _ = try Run.checked("sh", "-ec", "cd \(folder)/m; umask 022; \(line)") }
        try sh("echo 1 >a.yaml; echo 1 >b.yaml")
        let directory = try ManifestDirectory(path: folder + "/m", clock)
        _ = directory.read(known: [:])
        try body(directory, sh)
    }

    @Test(arguments: [
        "echo 2 >.a; mv .a a.yaml", "echo 2 >a.yaml.tmp; mv a.yaml.tmp a.yaml", "echo 2 >../c; mv ../c c.yaml",
        "mv a.yaml c.yaml", "mv a.yaml b.yaml", "echo 2 >../c; mv ../c c.json; echo 2 >../d; mv ../d d.yml",
        "ln -s ../other .l; mv -T .l l", "touch .a.yaml.swp; chmod 600 .a.yaml.swp; echo 2 >../c; mv ../c a.yaml",
    ])
    func whatIsRenamedIntoItsPlaceIsReadAtOnce(_ line: String) throws {
        try withFolder { directory, sh in
            #expect(try directory.noteChanges() == nil)
            try sh(line)
            #expect(try directory.noteChanges() == clock.now)
            _ = directory.read(known: [:])
            #expect(try directory.noteChanges() == nil)
        }
    }

    /// What else belongs to it may follow: the other file that is copied, the file that an editor writes anew.
    @Test(arguments: [
        "echo 2 >a.yaml", "echo 2 >a.yaml; echo 2 >../c; mv ../c c.yaml", "rm a.yaml", "mv a.yaml a.yaml~",
        "mv a.yaml ..", "mv a.yaml a.yaml~; echo 2 >../c; mv ../c c.yaml", "mkdir d", "echo 2 >notes",
    ])
    func whateverElseIsWaitedFor(_ line: String) throws {
        try withFolder { directory, sh in
            try sh(line)
            #expect(try directory.noteChanges() == clock.now + .milliseconds(100))
            clock.advance(.milliseconds(60))
            try sh("echo 3 >b.yaml")
            #expect(try directory.noteChanges() == clock.now + .milliseconds(100))
        }
    }

    /// An editor puts the file aside and writes it anew.
    @Test func aFileThatComesBackEndsTheWaitingOnlyWhenItIsWritten() throws {
        try withFolder { directory, sh in
            try sh("mv a.yaml a.yaml~")
            let due = try directory.noteChanges()
            clock.advance(.milliseconds(50))
            try sh("echo 2 >a.yaml")
            #expect(try directory.noteChanges() == clock.now + .milliseconds(100))
            #expect(due == clock.now + .milliseconds(50))
        }
    }

    @Test func aWriterIsWaitedForWhateverIsRenamed() throws {
        try withFolder { directory, sh in
            try withFolderFile(directory.path + "/b.yaml") { writer in
                try writer.write(contentsOf: Data("half".utf8))
                try sh("echo 2 >../c; mv ../c a.yaml")
                #expect(try directory.noteChanges() == clock.now + .seconds(10))
                // Nobody is waited for for ever.
                clock.advance(.seconds(10))
                #expect(try directory.noteChanges() == clock.now - .seconds(10))
            }
        }
    }

    private func withFolderFile(_ path: String, _ body: (FileHandle) throws -> Void) throws {
        let file = try #require(FileHandle(forWritingAtPath: path))
        defer { try? file.close() }
        try body(file)
    }

    @Test func aBurstEnds() {
        var burst = ManifestBurst()
        let begin = clock.now
        #expect(burst.end(waitingForWriters: nil) == nil)
        for _ in 0..<30 {
            burst.add(.other, at: clock.now)
            clock.advance(.milliseconds(90))
        }
        #expect(burst.end(waitingForWriters: nil) == begin + .seconds(2))
    }
}
