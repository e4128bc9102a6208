import Foundation
import TestSupport
import Testing

/// docs/security.md names the test that proves each of its statements.
@Suite(.timeLimit(minutes: 10)) struct SecurityDocumentationTests {
    @Test func theTestsThatAreNamedExist() throws {
        let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let page = try String(contentsOf: repository.appendingPathComponent("docs/security.md"), encoding: .utf8)
        let suites = try Self.suites(in: repository.appendingPathComponent("Tests"))
        let names = page.matches(of: /`([A-Za-z]+Tests)\.([a-z][A-Za-z0-9]*)`/)
        #expect(names.count > 60)
        for name in names {
            let isThere = suites[String(name.1)]?.contains { $0.contains("func \(name.2)(") } ?? false
            #expect(isThere, "\(name.0)")
        }
    }

    /// The files of all suites by their names: several modules may have one of the same name.
    private static func suites(in folder: URL) throws -> [String: [String]] {
        var suites: [String: [String]] = [:]
        for case let path as String in FileManager.default.enumerator(atPath: folder.path) ?? .init()
        where path.hasSuffix(".swift") {
            let text = try String(contentsOf: folder.appendingPathComponent(path), encoding: .utf8)
            for suite in text.matches(of: /struct ([A-Za-z]+Tests)\b/) {
                suites[String(suite.1), default: []].append(text)
            }
        }
        return suites
    }
}
