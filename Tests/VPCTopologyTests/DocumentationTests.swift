import Foundation
import TestSupport
import Testing
import VPCManifest
import VPCTopology

/// docs/manifest.md says what is so.
@Suite(.timeLimit(minutes: 10)) struct DocumentationTests {
    static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static func text() throws -> String {
        try String(contentsOf: repository.appendingPathComponent("docs/manifest.md"), encoding: .utf8)
    }

    /// The fenced blocks of a language.
    static func blocks(_ language: String) throws -> [String] {
        try text().components(separatedBy: "```" + language + "\n").dropFirst().compactMap {
            $0.components(separatedBy: "```").first
        }
    }

    @Test func theExamplesAreRight() throws {
        let blocks = try Self.blocks("yaml") + Self.blocks("json")
        #expect(blocks.count == 15)
        for block in blocks {
            let set = ManifestSet(text: block.contains("apiVersion") ? block : "apiVersion: vpcctl.dev/v1\n" + block)
            #expect(set.diagnostics.map(\.description) == [], "\(block)")
        }
        let whole = ManifestSet(text: try #require(blocks.first))
        let resolution = Topology.resolve(whole.model)
        #expect(resolution.topology != nil)
        #expect(resolution.diagnostics == [])
    }

    /// No example has even a warning.
    @Test func theExampleFilesAreRight() throws {
        let folder = Self.repository.appendingPathComponent("Examples")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".yaml") }
        #expect(names.count >= 5)
        for name in names {
            let set = ManifestSet.load(paths: [folder.appendingPathComponent(name).path])
            let resolution = Topology.resolve(set.model)
            #expect(set.located(resolution.diagnostics).map(\.description) == [], "\(name)")
            #expect(resolution.topology != nil, "\(name)")
        }
    }

    /// The error that is shown is the one that is printed.
    @Test func theShownErrorIsPrinted() throws {
        let block = try #require(try Self.blocks("console").first { $0.contains("$ cat wrong.yaml") })
        let parts = block.components(separatedBy: "$ ")
        let source = try #require(parts.first { $0.hasPrefix("cat wrong.yaml\n") }).dropFirst("cat wrong.yaml\n".count)
        let printed = try #require(parts.first { $0.hasPrefix("vpcctl validate") })
        let set = ManifestSet([ManifestSource(name: "wrong.yaml", text: String(source))])
        let located = set.located(Topology.resolve(set.model).diagnostics)
        #expect("vpcctl validate -f wrong.yaml\n" + located.map { $0.rendered() }.joined() == printed)
    }

    /// Every rule in the sources has its line in the table, and the table has no others.
    @Test func everyRuleIsListed() throws {
        var rules: Set<String> = []
        for directory in ["VPCManifest", "VPCTopology"] {
            let folder = Self.repository.appendingPathComponent("Sources/" + directory)
            for file in try FileManager.default.subpathsOfDirectory(atPath: folder.path)
            where file.hasSuffix(".swift") {
                let code = try String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)
                for match in code.matches(of: /(?:report\(|warn\(|rule:)\s*"([a-z0-9-]+)"/) {
                    rules.insert(String(match.1))
                }
            }
        }
        #expect(rules.count > 50)
        let table = try #require(
            try Self.text().components(separatedBy: "### All of them").last?.components(separatedBy: "## Limits").first)
        var listed: Set<String> = []
        for line in table.split(separator: "\n") where line.hasPrefix("| `") {
            guard let cell = line.split(separator: "|").first else { continue }
            listed.formUnion(cell.matches(of: /`([a-z0-9-]+)`/).map { String($0.1) })
        }
        #expect(rules.subtracting(listed) == [])
        #expect(listed.subtracting(rules) == [])
    }
}
