import Foundation
import Testing
import VPCModel

@testable import VPCManifest

/// docs/manifest.md and docs/openapi.json say what the kinds declare.
///
/// `UPDATE_GOLDEN=1` writes the tables of docs/manifest.md anew; read the difference before it is committed.
@Suite(.timeLimit(minutes: 10)) struct KindDocumentationTests {
    static let docs = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().appending(path: "docs")

    static let manual = docs.appending(path: "manifest.md")

    /// The first table of fields behind a heading.
    struct Table {
        var range: Range<String.Index>
        static let header = "| field | type | default | |\n|---|---|---|---|\n"

        init?(under heading: String, in text: String) {
            guard let heading = text.range(of: "\n\(heading)\n"),
                let header = text.range(of: Self.header, range: heading.upperBound..<text.endIndex)
            else { return nil }
            // It belongs to the heading before it.
            let between = text[heading.upperBound..<header.lowerBound]
            if between.contains("\n## ") || between.contains("\n### ") { return nil }
            let end = text.range(of: "\n\n", range: header.upperBound..<text.endIndex)?.lowerBound ?? text.endIndex
            range = header.upperBound..<end
        }
    }

    static let headings =
        ResourceKind.allCases.map { ("## \($0.rawValue)", $0.inManifests.descriptions) }
        + [("### Traffic", TrafficMatch.descriptions)]

    @Test(.serialized, arguments: headings.map(\.0)) func everyFieldIsListed(_ heading: String) throws {
        var text = try String(contentsOf: Self.manual, encoding: .utf8)
        let fields = try #require(Self.headings.first { $0.0 == heading }).1
        let rows = fields.flatMap { $0.rows() }.joined(separator: "\n")
        let table = try #require(Table(under: heading, in: text), "no table under \(heading)")
        let written = text[table.range]
        #expect(written == rows)
        if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil {
            text.replaceSubrange(table.range, with: rows)
            try Data(text.utf8).write(to: Self.manual, options: .atomic)
        }
    }

    @Test func everyKindIsInTheContents() throws {
        let text = try String(contentsOf: Self.manual, encoding: .utf8)
        let contents = try #require(text.components(separatedBy: "\n## ").first)
        for kind in ResourceKind.allCases {
            #expect(contents.contains("[\(kind.rawValue)](#\(kind.rawValue.lowercased()))"))
        }
    }

    /// Wherever the document of the API lists kinds, it lists these.
    @Test func theAPIKnowsTheKinds() throws {
        let kinds = ResourceKind.allCases.map(\.rawValue)
        let document = try StructuredValue(json: Array(Data(contentsOf: Self.docs.appending(path: "openapi.json"))))
        let lists = document.lists(under: "enum").map { $0.compactMap(\.text) }.filter { $0.contains("Subnet") }
        #expect(lists.count == 4)
        for list in lists { #expect(list == kinds) }
    }
}

extension ManifestResource {
    fileprivate static var descriptions: [FieldDescription] { spec.descriptions }
}

extension StructuredValue {
    /// The lists that are members of this name, however deep.
    fileprivate func lists(under name: String) -> [[StructuredValue]] {
        switch self {
        case .object(let members):
            members.flatMap { member -> [[StructuredValue]] in
                if member.name == name, case .list(let elements) = member.value { return [elements] }
                return member.value.lists(under: name)
            }
        case .list(let elements): elements.flatMap { $0.lists(under: name) }
        default: []
        }
    }
}
