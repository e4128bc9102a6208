import Foundation
import TestSupport
import Testing
import VPCManifest

@testable import Agent

/// What a damaged state directory does: it is said, nothing older comes back, and nobody is held up.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct DamagedStateTests {
    /// Done to the newest revision, number 3, before the agent begins.
    struct Damage: Sendable, CustomTestStringConvertible {
        var testDescription: String
        /// In the folder of the state; `$note`, `$list` and `$manifest` are files of the newest revision.
        var line: String
        /// Whether the newest revision is whole all the same.
        var isHarmless = false

        init(_ description: String, _ line: String, isHarmless: Bool = false) {
            (testDescription, self.line, self.isHarmless) = (description, line, isHarmless)
        }
    }

    private static let damages: [Damage] = [
        Damage("the note is empty", ": >$note"),
        Damage("the note is cut", "truncate -s 20 $note"),
        Damage("the note is missing", "rm $note"),
        Damage("the note is zeros", "head -c 300 /dev/zero >$note"),
        Damage("the note is that of another revision", "cp revisions/2/revision.json $note"),
        Damage("the note is a pipe", "rm $note; mkfifo $note"),
        Damage("the note is a directory", "rm $note; mkdir $note"),
        Damage("the note is a device without an end", "rm $note; mknod $note c 1 5"),
        Damage("the note is a link", "mv $note there; ln -s ../../there $note"),
        Damage(
            "the note is a socket",
            "rm $note; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"'$note'\")'"),
        Damage("the note has a number without end", "sed -i 's/\"number\": 3/\"number\": 99999999999999999999/' $note"),
        Damage("the note has a greater time", "sed -i 's/\"time\": 1/\"time\": 2/' $note"),
        Damage("the list is empty", ": >$list"),
        Damage("the list is cut", "truncate -s 20 $list"),
        Damage("the list is missing", "rm $list"),
        Damage("the list is that of another revision", "cp revisions/2/files $list"),
        Damage("the list names another revision's manifest", "sed -i 's/^3 /2 /' $list"),
        Damage("the manifest is empty", ": >$manifest"),
        Damage("the manifest is cut", "truncate -s 30 $manifest"),
        Damage("the manifest is missing", "rm $manifest"),
        Damage("the manifest is a pipe", "rm $manifest; mkfifo $manifest"),
        Damage("the manifest is a link to a device without an end", "rm $manifest; ln -s /dev/zero $manifest"),
        Damage("the manifest has a hole of a terabyte", "truncate -s 1T $manifest"),
        Damage("the manifest is that of another revision", "cp manifests/2/* $manifest"),
        Damage("the revision is missing", "rm -r revisions/3"),
        Damage("the revision is a file", "rm -r revisions/3; touch revisions/3"),
        Damage("the revision is a link to another", "rm -r revisions/3; ln -s 2 revisions/3"),
        Damage("an empty directory is the newest", "mkdir revisions/4"),
        Damage("a file is the newest", "touch revisions/4"),
        Damage("a link to a folder is the newest", "ln -s /etc revisions/4"),
        Damage(
            "a directory of an unknown name", "mkdir revisions/3.x revisions/+7 revisions/007 revisions/-5",
            isHarmless: true),
        Damage(
            "directories of numbers that are too great",
            "cp -a revisions/3 revisions/9223372036854775807; mkdir revisions/99999999999999999999", isHarmless: true),
        Damage(
            "half a revision, and links in its place",
            "mkdir -p revisions/new-4/manifests; ln -s /etc/passwd revisions/new-5; ln -s /etc revisions/new-6",
            isHarmless: true),
        Damage("no link to the newest", "rm revisions/newest", isHarmless: true),
        Damage(
            "a directory instead of the link to the newest", "rm revisions/newest; mkdir revisions/newest",
            isHarmless: true),
        Damage("the lock names nobody", "head -c 1M /dev/zero >lock", isHarmless: true),
    ]

    private static func text(_ vpcs: Int) -> String { AgentTests.text(vpcs: vpcs) }

    private static func sources(_ vpcs: Int) -> [ManifestSource] {
        [ManifestSource(name: "all.yaml", text: text(vpcs))]
    }

    /// An agent that was stopped at revision 3, each with one VPC more than the one before.
    private func withThreeRevisions(
        manifests: String? = nil, _ body: (_ namespace: String, _ folder: String) async throws -> Void
    ) async throws {
        try await AgentTests.withHost { name in
            let run = try AgentRun(namespace: name, host: "h1", manifests)
            for vpcs in 1...3 { _ = try await run.agent.apply(Self.sources(vpcs)) }
            run.stop()
            defer { try? FileManager.default.removeItem(atPath: run.folder) }
            try await body(name, run.folder)
        }
    }

    private func rules(_ namespace: String) throws -> String {
        try Run.checked("ip", "-n", ManifestHead.own(namespace), "rule")
    }

    @Test(arguments: damages) func nothingOlderTakesItsPlace(_ damage: Damage) async throws {
        try await withThreeRevisions { name, folder in
            let state = folder + "/state"
            let number = 3
            try Run.checked(
                "sh", "-ec",
                "cd \(state); note=revisions/3/revision.json; list=revisions/3/files; manifest=$(echo manifests/3/*); \(damage.line)"
            )
            // A rule of ours that is missing: whoever repairs has a policy to repair for.
            try Run.checked("ip", "-n", ManifestHead.own(name), "rule", "del", "priority", "32765")
            let before = try rules(name)

            let run = try AgentRun(namespace: name, host: "h1", nil, folder: folder)
            defer { run.remove() }
            let status = try await run.agent.settled()
            if damage.isHarmless {
                #expect(status.desiredRevision == number)
                #expect(try rules(name) != before)
                return
            }
            #expect(status.desiredRevision == nil && status.phase == .failed)
            #expect(status.reason?.contains("cannot be taken up, and nothing is touched") == true, "\(status)")
            #expect(status.reason?.contains("'vpcctl rollback 2'") == true || damage.line.contains("revisions/4"))
            #expect(run.agent.events.events().contains { $0.type == .revisionRejected })
            #expect(try rules(name) == before)
            // An older one only when somebody says so; another one as ever.
            let back = try await run.agent.rollback(to: 2)
            #expect(back.planned.topology.vpcs.count == 2)
            #expect(try await run.agent.apply(Self.sources(5)).revision.number == back.revision.number + 1)
            #expect(run.agent.status.phase != .failed || run.agent.status.reason?.contains("taken up") == false)
        }
    }

    /// The directory may be older than what was applied since.
    @Test func anUnchangedDirectoryDoesNotTakeItsPlace() async throws {
        try await withThreeRevisions(manifests: Self.text(0)) { name, folder in
            let number = try #require(try RevisionStore(stateDirectory: folder + "/state", limit: 50).newest())
            try Run.checked("truncate", "-s", "20", "\(folder)/state/revisions/\(number)/revision.json")
            let run = try AgentRun(namespace: name, host: "h1", nil, folder: folder)
            defer { run.remove() }
            run.agent.resynchronize()
            #expect(try await run.agent.settled().desiredRevision == nil)
            // What somebody puts there now does.
            try AgentRun.write(Self.text(7), to: run.manifests + "/all.json")
            let event = try await run.event(after: 0) { $0.type == .revisionAccepted }
            #expect(event.revision == number + 1)
        }
    }

    /// What is put right is taken up as soon as somebody has it read again.
    @Test func whatIsPutRightIsTakenUp() async throws {
        try await withThreeRevisions { name, folder in
            let note = folder + "/state/revisions/3/revision.json"
            try Run.checked("cp", "-a", note, folder + "/kept")
            try Run.checked("truncate", "-s", "20", note)
            let run = try AgentRun(namespace: name, host: "h1", nil, folder: folder)
            defer { run.remove() }
            #expect(try await run.agent.settled().desiredRevision == nil)
            try Run.checked("cp", "-a", folder + "/kept", note)
            try await run.agent.reload()
            #expect(try await run.agent.settled().desiredRevision == 3)
        }
    }

    /// Any bit, anywhere.
    @Test(arguments: 1...8 as ClosedRange<UInt64>) func everyFlippedBitIsNoticed(_ seed: UInt64) throws {
        let folder = "/tmp/vpcd-flips-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try RevisionStore(stateDirectory: folder, limit: 50)
        _ = try store.add(Self.sources(1), cause: .apply, directoryDigest: nil)
        _ = try store.add(
            Self.sources(2) + [ManifestSource(name: "b.json", text: "{}")], cause: .rollback(1),
            directoryDigest: 0x1234_5678_9ABC_DEF0, confirmBy: 2_000_000_000)
        let files = [
            "revisions/2/revision.json", "revisions/2/files", "manifests/2/000001-all.yaml",
            "manifests/2/000002-b.json",
        ]
        var dice = Dice(seed: seed)
        for _ in 0..<100 {
            let path = "\(folder)/\(files[Int.random(in: 0..<files.count, using: &dice)])"
            var bytes = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
            let kept = bytes
            let (index, bit) = (Int.random(in: 0..<bytes.count, using: &dice), Int.random(in: 0..<8, using: &dice))
            bytes[index] ^= 1 << bit
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            #expect(throws: AgentError.self, "bit \(bit) of byte \(index) of \(path)") {
                try store.latest().map { try store.sources(of: $0) }
            }
            try Data(kept).write(to: URL(fileURLWithPath: path))
        }
        #expect(try store.latest()?.number == 2)
    }

    /// Beyond the last number there is none, and no arithmetic that ends the process.
    @Test func numbersEnd() throws {
        let folder = "/tmp/vpcd-numbers-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try RevisionStore(stateDirectory: folder, limit: 50)
        _ = try store.add(Self.sources(1), cause: .apply, directoryDigest: nil)
        try FileManager.default.createDirectory(atPath: store.path + "/999999999999", withIntermediateDirectories: true)
        let error = #expect(throws: AgentError.self) {
            try store.add(Self.sources(2), cause: .apply, directoryDigest: nil)
        }
        #expect(error?.message.contains("no number left") == true)
    }

    /// A revision of a version that wrote no checksum, and all files of each revision.
    @Test func revisionsWithoutAChecksumAreRead() throws {
        let folder = "/tmp/vpcd-former-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try RevisionStore(stateDirectory: folder, limit: 50)
        let revision = try store.add(Self.sources(1), cause: .apply, directoryDigest: nil)
        try revision.structured.json.write(
            toFile: store.path + "/1/revision.json", atomically: false, encoding: .utf8)
        try Run.checked("sh", "-ec", "cd \(store.path)/1; rm files; mv ../../manifests/1 manifests")
        let former = try #require(try store.latest())
        #expect(former.structured == revision.structured)
        #expect(try store.sources(of: former) == Self.sources(1))
        // Others beside it, and what nobody has goes; it stays.
        _ = try store.add(Self.sources(2), cause: .apply, directoryDigest: nil)
        let again = try RevisionStore(stateDirectory: folder, limit: 50)
        #expect(try again.sources(of: again.revision(1)) == Self.sources(1))
        #expect(try again.latest().map { try again.sources(of: $0) } == Self.sources(2))
    }
}
