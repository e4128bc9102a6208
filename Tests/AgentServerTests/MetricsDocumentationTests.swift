import Foundation
import TestSupport
import Testing

/// docs/api.md lists the metrics that there are, and neither it nor docs/operations.md names any others.
@Suite(.timeLimit(minutes: 10)) struct MetricsDocumentationTests {
    static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func names(in text: String) -> Set<String> {
        Set(text.matches(of: /vpcctl_[a-z_]*[a-z]/).map { String($0.output) })
    }

    /// What a scrape adds to a family's name.
    private static func family(_ name: String) -> String {
        for suffix in ["_total", "_info", "_bucket"] where name.hasSuffix(suffix) {
            return String(name.dropLast(suffix.count))
        }
        return name
    }

    @Test func everyMetricIsListed() throws {
        let sources = Self.repository.appendingPathComponent("Sources/AgentServer")
        let files = try FileManager.default.contentsOfDirectory(atPath: sources.path).filter { $0.hasSuffix(".swift") }
        let code = try files.map { try String(contentsOf: sources.appendingPathComponent($0), encoding: .utf8) }
            .joined()
        // Those of traffic are put together from a subject and a column.
        let known = Self.names(in: code).union(["vpcctl_interface", "vpcctl_vpc"])
        let documented = try Set(Self.names(in: page("api.md")).map(Self.family))
        #expect(known.count > 15)
        #expect(documented.subtracting(known) == [])
        #expect(known.subtracting(documented) == [])
        #expect(try Set(Self.names(in: page("operations.md")).map(Self.family)).subtracting(known) == [])
    }

    private func page(_ name: String) throws -> String {
        try String(contentsOf: Self.repository.appendingPathComponent("docs/" + name), encoding: .utf8)
    }
}
