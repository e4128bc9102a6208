import Foundation
import TestSupport
import Testing

/// docs/security.md names the test that proves each of its statements.
@Suite(.timeLimit(minutes: 10)) struct SecurityDocumentationTests {
    @Test func theTestsThatAreNamedExist() throws {
        let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let page = try String(contentsOf: repository.appendingPathComponent("docs/security.md"), encoding: .utf8)
        let names = page.matches(of: /`([A-Za-z]+Tests)\.([a-z][A-Za-z0-9]*)`/)
        #expect(names.count > 20)
        for name in names {
            let file = repository.appendingPathComponent("Tests/LabTests/\(name.1).swift")
            let suite = try String(contentsOf: file, encoding: .utf8)
            #expect(suite.contains("func \(name.2)("), "\(name.0)")
        }
    }
}
