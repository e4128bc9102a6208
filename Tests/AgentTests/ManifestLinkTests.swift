import Foundation
import Glibc
import TestSupport
import Testing
import VPCManifest

@testable import Agent

/// Manifests behind links, wherever these lead: what becomes of any of them is heard of.
@Suite(.timeLimit(minutes: 10)) struct ManifestLinkTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        /// Lines for sh(1), in a folder of their own.
        var setup: String
        /// Each leaves another number in the manifest, from 2 upwards.
        var changes: [String]
        /// What the daemon is told to read.
        var path = "m"
    }

    private static let cases: [Case] = [
        Case(
            testDescription: "the file behind a link is exchanged",
            setup: "mkdir m real; echo 1 >real/x.yaml; ln -s ../real/x.yaml m/x.yaml",
            changes: ["echo 2 >real/y; mv real/y real/x.yaml", "echo 3 >real/y; mv real/y real/x.yaml"]),
        Case(
            testDescription: "the file behind a link is written",
            setup: "mkdir m real; echo 1 >real/x.yaml; ln -s $PWD/real/x.yaml m/x.yaml",
            changes: ["echo 2 >real/x.yaml", "echo 3 >real/x.yaml"]),
        Case(
            testDescription: "a link in the middle is exchanged",
            setup: "mkdir m r1 r2 r3; for i in 1 2 3; do echo $i >r$i/x.yaml; done; ln -s r1 current;"
                + " ln -s $PWD/current/x.yaml m/x.yaml",
            changes: ["ln -s r2 c; mv -T c current", "ln -s r3 c; mv -T c current", "echo 4 >r3/y; mv r3/y r3/x.yaml"]),
        Case(
            testDescription: "a link in the middle is removed and made again",
            setup: "mkdir m r1 r2; for i in 1 2; do echo $i >r$i/x.yaml; done; ln -s r1 current;"
                + " ln -s ../current/x.yaml m/x.yaml",
            changes: ["rm current; ln -s r2 current"]),
        Case(
            testDescription: "two links are exchanged for each other at once",
            setup:
                "mkdir m r1 r2; for i in 1 2; do echo $i >r$i/x.yaml; done; ln -s r1 a; ln -s r2 b; ln -s ../a/x.yaml m/x.yaml",
            changes: [
                "python3 -c 'import ctypes; exit(-ctypes.CDLL(None).renameat2(-100, b\"a\", -100, b\"b\", 2))'"
            ]),
        Case(
            testDescription: "a link of a chain is exchanged",
            setup:
                "mkdir m a b c; for i in 1 2 3; do echo $i >c/$i; done; ln -s ../c/1 b/x; ln -s ../b/x a/x; ln -s ../a/x m/x.yaml",
            changes: ["ln -s ../c/2 b/y; mv b/y b/x", "ln -s ../c/3 a/y; mv a/y a/x"]),
        Case(
            testDescription: "links that go up again",
            setup: "mkdir -p m one/two r; echo 1 >r/x.yaml; ln -s one/two up; ln -s ../up/../../r/x.yaml m/x.yaml",
            changes: [
                "echo 2 >r/y; mv r/y r/x.yaml",
                // From elsewhere the same steps up lead elsewhere.
                "mkdir -p three/four/five three/r; echo 3 >three/r/x.yaml; ln -s three/four/five u; mv -T u up",
            ]),
        Case(
            testDescription: "what a link leads to comes later",
            setup: "mkdir m; echo 1 >m/x.yaml; ln -s ../later/deep/y.yaml m/y.yaml",
            changes: [
                "rm m/x.yaml; mkdir later; mkdir later/deep; echo 2 >later/deep/z; mv later/deep/z later/deep/y.yaml"
            ]),
        Case(
            testDescription: "a loop that is opened",
            setup: "mkdir m; echo 1 >m/x.yaml; ln -s b a; ln -s a b; ln -s ../a m/y.yaml; echo 2 >r",
            changes: ["rm m/x.yaml; ln -s r c; mv -T c b"]),
        Case(
            testDescription: "a folder behind a link",
            setup: "mkdir -p m out/deep; echo 1 >out/deep/x.yaml; ln -s ../out m/sub",
            changes: [
                "echo 2 >out/deep/y; mv out/deep/y out/deep/x.yaml",
                "rm -r out/deep; mkdir out/new; echo 3 >out/new/x.yaml",
            ]),
        Case(
            testDescription: "links in a folder behind a link",
            setup: "mkdir -p m out real; echo 1 >real/x; ln -s ../real/x out/x.yaml; ln -s ../out m/sub",
            changes: ["echo 2 >real/y; mv real/y real/x"]),
        Case(
            testDescription: "a mounted ConfigMap",
            setup:
                "mkdir -p m/..1 m/..2; echo 1 >m/..1/x.yaml; echo 2 >m/..2/x.yaml; ln -s ..1 m/..data; ln -s ..data/x.yaml m/x.yaml",
            changes: ["ln -s ..2 m/..tmp; mv -T m/..tmp m/..data"]),
        Case(
            testDescription: "a folder on the way is exchanged",
            setup: "mkdir -p m a/r b/r; echo 1 >a/r/x.yaml; echo 2 >b/r/x.yaml; ln -s ../a/r/x.yaml m/x.yaml",
            changes: ["mv a gone; mv b a", "echo 3 >a/r/y; mv a/r/y a/r/x.yaml"]),
        Case(
            testDescription: "the path itself is a link",
            setup: "mkdir r1 r2; echo 1 >r1/x.yaml; echo 2 >r2/x.yaml; ln -s r1 m",
            changes: ["ln -s r2 c; mv -T c m", "echo 3 >r2/x.yaml"]),
        Case(
            testDescription: "a single file in a store of generations",
            setup: "mkdir -p s/1/etc s/2/etc etc; echo 1 >s/1/etc/x; echo 2 >s/2/etc/x; ln -s $PWD/s/1/etc etc/static;"
                + " ln -s $PWD/etc/static/x etc/x.yaml",
            changes: ["ln -s $PWD/s/2/etc etc/new; mv -T etc/new etc/static"], path: "etc/x.yaml"),
        Case(
            testDescription: "the folder above the path is exchanged",
            setup: "mkdir -p o/m p/m; echo 1 >o/m/x.yaml; echo 2 >p/m/x.yaml",
            changes: ["mv o gone; mv p o"], path: "o/m"),
    ]

    private func withFolder(_ body: (_ folder: String, _ sh: (String) throws -> Void) throws -> Void) throws {
        let folder = "/tmp/vpcd-links-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder) { try Run.checked("sh", "-ec", "cd \(folder); umask 022; \($0)") }
    }

    private func read(_ directory: ManifestDirectory) -> String {
        directory.read(known: [:]).sources.map { String(decoding: $0.bytes, as: UTF8.self) }.joined()
    }

    /// Waits until there is something to load.
    private func hear(_ directory: ManifestDirectory) throws {
        while try directory.noteChanges() == nil {
            var request = pollfd(fd: directory.fileDescriptor, events: Int16(POLLIN), revents: 0)
            try #require(poll(&request, 1, 60_000) == 1, "nothing was heard")
        }
    }

    @Test(arguments: cases) func everyChangeIsHeardOf(_ test: Case) throws {
        try withFolder { folder, sh in
            try sh(test.setup)
            let directory = try ManifestDirectory(path: folder + "/" + test.path)
            #expect(read(directory).contains("1\n"))
            for (index, change) in test.changes.enumerated() {
                #expect(try directory.noteChanges() == nil)
                try sh(change)
                // Of a change in several steps what comes later is heard of, too.
                repeat { try hear(directory) } while !read(directory).contains("\(index + 2)\n")
                usleep(1000)
                while try directory.noteChanges() != nil { _ = read(directory) }
            }
            #expect(directory.warnings == [])
        }
    }

    @Test func neighboursAreNotHeardOf() throws {
        try withFolder { folder, sh in
            try sh("mkdir m r1; echo 1 >r1/x.yaml; ln -s r1 current; ln -s ../current/x.yaml m/x.yaml")
            let directory = try ManifestDirectory(path: folder + "/m")
            _ = read(directory)
            try sh("echo 1 >a; mv a b; mkdir c; ln -s c d; rm b; rmdir c; ln -s x e; mv -T e d")
            // On the way nothing but the links and folders themselves is watched.
            var request = pollfd(fd: directory.fileDescriptor, events: Int16(POLLIN), revents: 0)
            #expect(poll(&request, 1, 0) == 0)
            // Beside the file everything is seen, and nothing counts.
            try sh("echo 1 >r1/a; mv r1/a r1/b; rm r1/b")
            #expect(try directory.noteChanges() == nil)
        }
    }

    @Test func nothingIsWatchedForEver() throws {
        try withFolder { folder, sh in
            try sh("mkdir m r0; echo 0 >r0/x.yaml; ln -s r0 current; ln -s ../current/x.yaml m/x.yaml")
            let directory = try ManifestDirectory(path: folder + "/m")
            let count = directory.watchCount
            for number in 1...40 {
                try sh("mkdir r\(number); echo \(number) >r\(number)/x.yaml; ln -s r\(number) c; mv -T c current")
                try hear(directory)
                #expect(read(directory) == "\(number)\n")
            }
            #expect(directory.watchCount == count)
            try sh("rm m/x.yaml")
            try hear(directory)
            _ = read(directory)
            #expect(directory.watchCount < count)
        }
    }

    /// Where not everything can be watched it is said, and looked at all the same.
    @Test func tooMuchToWatch() throws {
        try withFolder { folder, sh in
            try sh("mkdir -p m/1 m/2 m/3 m/4 m/5 m/6")
            let directory = try ManifestDirectory(path: folder + "/m", SystemClock(), watchLimit: 5)
            _ = directory.read(known: [:])
            #expect(directory.watchCount <= 5)
            #expect(directory.warnings.contains { $0.contains("more than 5 folders and links") })
            #expect(try directory.noteChanges() != nil)
        }
    }

    @Test func foldersOfEverybodyAreNamed() throws {
        try withFolder { folder, sh in
            try sh("mkdir m open; chmod 777 open; echo 1 >open/x.yaml; ln -s ../open/x.yaml m/x.yaml")
            let directory = try ManifestDirectory(path: folder + "/m")
            #expect(directory.warnings.count == 1 && directory.warnings[0].hasPrefix(folder + "/open,"))
            // With the sticky bit nobody replaces what is root's.
            try sh("chmod 1777 open")
            _ = read(directory)
            #expect(directory.warnings == [])
        }
    }

    /// Whatever lies there holds nobody up.
    @Test(arguments: ["mkfifo m/x.yaml", "ln -s /dev/zero m/x.yaml", "mkfifo p; ln -s ../p m/x.yaml"])
    func whatIsNoFileIsAnError(_ line: String) throws {
        try withFolder { folder, sh in
            try sh("mkdir m; \(line)")
            let read = try ManifestDirectory(path: folder + "/m").read(known: [:])
            #expect(read.diagnostics.map(\.rule) == ["no-file"])
            let file = try ManifestDirectory(path: folder + "/m/x.yaml").read(known: [:])
            #expect(file.diagnostics.map(\.rule) == ["no-file"])
        }
    }
}
