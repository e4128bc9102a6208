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
}
