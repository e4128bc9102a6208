import Foundation
import TestSupport
import Testing
import VPCManifest

@testable import Agent

@Suite(.timeLimit(minutes: 10)) struct RevisionStoreTests {
    private let path = FileManager.default.temporaryDirectory.appendingPathComponent("vpcd-\(UUID().uuidString)").path

    private func store(limit: Int = 50) throws -> RevisionStore {
        try RevisionStore(stateDirectory: path, limit: limit)
    }

    private func sources(_ text: String) -> [ManifestSource] {
        [ManifestSource(name: "/etc/m/web.yaml", text: text), ManifestSource(name: "b.json", text: "{}")]
    }

    @Test func whatIsKeptComesBack() throws {
        defer { try? Files.removeTree(path) }
        let first = try store().add(sources("a: 1"), cause: .directory, directoryDigest: 0xFFFF_FFFF_FFFF_FFFF)
        let second = try store().add(sources("ü\0\n"), cause: .rollback(1), directoryDigest: nil, confirmBy: 77)
        #expect(first.number == 1)
        #expect(second.number == 2)
        #expect(try store().revisions() == [first, second])
        #expect(try store().sources(of: first) == sources("a: 1"))
        #expect(try store().sources(of: second) == sources("ü\0\n"))
    }

    /// What an earlier version has written is found by the same names.
    @Test func filesHaveSafeNames() throws {
        defer { try? Files.removeTree(path) }
        let names = [
            "/etc/m/web-1.yaml", "m/böse datei.json", "x/y/", "//", "a\r\nb", String(repeating: "x", count: 300),
        ]
        let revision = try store().add(
            names.map { ManifestSource(name: $0, text: "{}") }, cause: .directory, directoryDigest: nil)
        let folder = "\(path)/manifests/\(revision.number)"
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == [
                "000001-web-1.yaml", "000002-b_se_datei.json", "000003-y.yaml", "000004-manifest.yaml",
                "000005-a_b.yaml", "000006-" + String(repeating: "x", count: 200) + ".yaml",
            ])
    }

    /// Of a revision only what it changes is written; what no revision has any more goes, whoever wrote it.
    @Test func whatIsSharedStaysAsLongAsSomebodyHasIt() throws {
        defer { try? Files.removeTree(path) }
        let store = try store(limit: 3)
        var revision = try store.add(sources("a: 0"), cause: .directory, directoryDigest: nil)
        for number in 1...70 {
            var draft = RevisionDraft(revision)
            draft.replace(0, with: Array("a: \(number)".utf8))
            revision = try store.add(draft, cause: .directory, directoryDigest: nil)
        }
        #expect(try store.numbers() == [69, 70, 71])
        let again = try self.store(limit: 3)
        for (index, kept) in try again.revisions().enumerated() {
            #expect(try again.sources(of: kept) == sources("a: \(68 + index)"))
            #expect(kept.files[1].place == RevisionFile.Place(revision: 1, index: 1))
        }
        #expect(try Files.names(in: path + "/manifests") == ["1", "69", "70", "71"])
        #expect(try Files.names(in: path + "/manifests/1") == ["000002-b.json"])
    }

    /// Whatever a file is called.
    @Test(arguments: ["a b", "a\nb", "\\n", "\\", "\n", "", "ä\\\n", " 1 2 x"]) func anyNameIsListed(_ name: String)
        throws
    {
        defer { try? Files.removeTree(path) }
        let sources = [ManifestSource(name: name, text: "x"), ManifestSource(name: "api:00.json", text: "y")]
        let revision = try store().add(sources, cause: .apply, directoryDigest: nil)
        #expect(try store().latest() == revision)
        #expect(try store().sources(of: revision) == sources)
    }

    @Test func filesMadeByAPIAreOrderedByName() throws {
        var draft = RevisionDraft(sources("x"))
        let others = draft.files
        draft.bytes = [:]
        for name in ["api:20", "api:05", "api:30"] { draft.replaceMadeByAPI(name, with: Array(name.utf8)) }
        draft.replaceMadeByAPI("api:20", with: nil)
        draft.replaceMadeByAPI("api:01", with: [1])
        #expect(draft.files.map(\.name) == others.map(\.name) + ["api:01", "api:05", "api:30"])
        #expect(draft.bytes == [2: [1], 3: Array("api:05".utf8), 4: Array("api:30".utf8)])
    }
}
