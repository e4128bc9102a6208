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
        let folder = "\(path)/revisions/\(revision.number)/manifests"
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == [
                "000001-web-1.yaml", "000002-b_se_datei.json", "000003-y.yaml", "000004-manifest.yaml",
                "000005-a_b.yaml", "000006-" + String(repeating: "x", count: 200) + ".yaml",
            ])
    }
}
