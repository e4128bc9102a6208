import Foundation
import TestSupport
import Testing
import VPCModel

@testable import VPCManifest

/// Whatever the bytes, reading ends, and says either what they mean or what is wrong with them.
@Suite(.timeLimit(minutes: 10)) struct RobustnessTests {
    static let manifest = """
        # A comment.
        apiVersion: vpcctl.dev/v1
        kind: RouteTable
        metadata: {name: &n egress, labels: {"a b": 'it''s', é蓝😀: "\\u00e9\\n"}}
        spec:
          vpc: blue
          routes:
            - destination: 0.0.0.0/0
              nextHops: &h
                - {interface: fw-a, weight: 3}
                - interface: !!str fw-b
            - {destination: 192.168.66.0/24, blackhole: true}
            - {destination: 10.9.0.0/16, nextHops: *h}
        ---
        apiVersion: vpcctl.dev/v1
        kind: List
        items:
        - {"kind": "Host", "metadata": {"name": "h1"}, "spec": {"underlay": {"address": "172.31.0.1"}}}
        - <<: {kind: VPC}
          metadata: {name: blue, annotations: {note: '}
            }'}}
        """

    private func check(_ bytes: [UInt8], sourceLocation: Testing.SourceLocation = #_sourceLocation) {
        let set = ManifestSet([ManifestSource(name: "x.yaml", bytes: bytes)])
        #expect(set.isValid == set.model.gaps.isEmpty, sourceLocation: sourceLocation)
        #expect(!set.isValid || !set.model.resources.isEmpty, sourceLocation: sourceLocation)
        let lines = set.sources[0].bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for diagnostic in set.diagnostics {
            #expect(!diagnostic.rendered().isEmpty)
            guard let location = diagnostic.location else { continue }
            // The place is in the text, or just behind it.
            #expect(location.position.line >= 1 && location.position.column >= 1)
            #expect(location.indent <= location.excerpt.unicodeScalars.count && location.width >= 1)
            #expect(location.position.line <= lines.count + bytes.count(where: { $0 == UInt8(ascii: "\r") }))
        }
        // Every resource is found again, in its own document.
        for resource in set.model.resources {
            let name = set.locations(of: [(resource.reference, ["metadata", "name"])])[0]
            #expect(name != nil)
        }
    }

    @Test func randomBytesAreJudged() {
        var random = Dice(seed: 23)
        for length in 0..<2000 {
            check((0..<length % 200).map { _ in UInt8.random(in: 0...255, using: &random) })
        }
    }

    @Test func randomCharactersOfYAMLAreJudged() {
        var random = Dice(seed: 29)
        let alphabet =
            Array("{}[]:,-#&*!|>'\"%@` \n\n  \t?<~ab1=.\r".utf8) + Array("---\n".utf8) + [0xC3, 0xA9, 0xEF, 0xBB, 0xBF]
        for length in 0..<3000 {
            check((0..<length % 100).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &random)] })
        }
    }

    @Test func truncatedDocumentsAreJudged() {
        let bytes = Array(Self.manifest.utf8)
        for length in 0...bytes.count { check(Array(bytes[..<length])) }
        for start in 0...bytes.count { check(Array(bytes[start...])) }
    }

    @Test func damagedDocumentsAreJudged() {
        var random = Dice(seed: 31)
        let bytes = Array(Self.manifest.utf8)
        for _ in 0..<3000 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<damaged.count, using: &random)
                switch Int.random(in: 0...3, using: &random) {
                case 0: damaged[place] = UInt8.random(in: 0...255, using: &random)
                case 1: damaged.remove(at: place)
                case 2: damaged.insert(UInt8.random(in: 9...126, using: &random), at: place)
                default:
                    damaged.replaceSubrange(
                        place..., with: damaged[Int.random(in: 0..<damaged.count, using: &random)...])
                }
                if damaged.isEmpty { break }
            }
            check(damaged)
        }
    }

    /// Every path into a document leads somewhere in it.
    @Test func everyPathIsFound() {
        let set = ManifestSet(text: Self.manifest)
        #expect(findings(set) == ["missing-field 19:3"])
        var random = Dice(seed: 37)
        let components: [FieldPath.Component] = [
            "spec", "routes", "nextHops", "interface", "weight", "destination", "metadata", "name", "labels", "a b", 0,
            1, 2, -1, "underlay",
        ]
        let references = [
            ResourceReference(.routeTable, "egress"), ResourceReference(.host, "h1"), ResourceReference(.vpc, "blue"),
        ]
        for _ in 0..<2000 {
            let path = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                components[Int.random(in: 0..<components.count, using: &random)]
            }
            for reference in references {
                let position = set.locate(reference, FieldPath(path))
                #expect(position != nil, "\(reference) \(FieldPath(path))")
            }
        }
    }
}

/// Large inputs of every shape that could tempt a step to cost more than its share. What is reported is counted: a
/// problem per pair would be seen.
@Suite(.timeLimit(minutes: 10)) struct ScalingTests {
    struct Shape: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var text: @Sendable (Int) -> String
    }

    static let shapes = [
        Shape(testDescription: "valid documents") { count in
            (0..<count).map { "---\n" + SourceTests.vpc("v\($0)", $0 + 1) }.joined()
        },
        Shape(testDescription: "documents with errors") { count in
            (0..<count).map { "---\n" + SourceTests.vpc("v\($0)", 0) }.joined()
        },
        Shape(testDescription: "documents of one name") { count in
            (0..<count).map { "---\n" + SourceTests.vpc("v", $0 + 1) }.joined()
        },
        Shape(testDescription: "unreadable documents") { count in
            // Long enough that a document is not in the reader's buffer together with all others.
            String(repeating: "---\na: [\n# \(String(repeating: "x", count: 100))\n", count: count)
        },
        Shape(testDescription: "items of a list, with errors") { count in
            "apiVersion: vpcctl.dev/v1\nkind: List\nitems:\n"
                + (0..<count).map { "- {kind: VPC, metadata: {name: v\($0)}, spec: {id: 0, cidrs: [10.0.0.0/8]}}\n" }
                .joined()
        },
        Shape(testDescription: "one line, with errors beyond ASCII") { count in
            "{apiVersion: vpcctl.dev/v1, kind: List, items: ["
                + (0..<count).map { "{kind: VPC, metadata: {name: v\($0)}, spec: {é: 0, id: 1, cidrs: [10.0.0.0/8]}}," }
                .joined() + "]}"
        },
        Shape(testDescription: "elements of a list, with errors") { count in
            document(
                "RouteTable", "a",
                "spec:\n  vpc: b\n  routes:\n"
                    + String(repeating: "  - {destination: x, blackhole: true}\n", count: count))
        },
        Shape(testDescription: "labels, with errors") { count in
            document("VPC", "a", "spec: {id: 1, cidrs: [10.0.0.0/8]}").replacing(
                "{name: a}", with: "\n  name: a\n  labels:\n" + (0..<count).map { "    l\($0): 1\n" }.joined())
        },
        Shape(testDescription: "items of a list, with fields that are set twice") { count in
            "apiVersion: vpcctl.dev/v1\nkind: List\nitems:\n"
                + (0..<count).map {
                    "- {kind: VPC, metadata: {name: v\($0)}, spec: {id: 1, id: 1, cidrs: [10.0.0.0/8]}}\n"
                }
                .joined()
        },
        Shape(testDescription: "unknown fields") { count in (0..<count).map { "f\($0): 1\n" }.joined() },
        Shape(testDescription: "aliases") { count in
            document(
                "RouteTable", "a",
                "spec:\n  vpc: b\n  routes:\n  - &r {destination: 10.0.0.1/8, blackhole: true}\n"
                    + String(repeating: "  - *r\n", count: count))
        },
    ]

    @Test(arguments: shapes) func everyProblemIsReportedOnceAndInOrder(_ shape: Shape) {
        let count = 2000
        var limits = ManifestLimits()
        limits.errors = .max
        let set = ManifestSet([ManifestSource(name: "x.yaml", text: shape.text(count))], limits: limits)
        #expect(set.diagnostics.count <= count + 4)
        #expect(set.diagnostics.allSatisfy { $0.position != nil })
        let places = set.diagnostics.compactMap(\.position).map { ($0.line, $0.column) }
        #expect(zip(places, places.dropFirst()).allSatisfy { $0 <= $1 })
    }

    @Test(arguments: shapes) func everyPlaceIsFound(_ shape: Shape) {
        let count = 2000
        var limits = ManifestLimits()
        limits.errors = .max
        let set = ManifestSet([ManifestSource(name: "x.yaml", text: shape.text(count))], limits: limits)
        let (vpcs, table) = (
            (0..<count).map { ResourceReference(.vpc, "v\($0)") }, ResourceReference(.routeTable, "a")
        )
        let diagnostics = (0..<count).reversed().flatMap { number in
            [
                Diagnostic(rule: "a", "a", at: vpcs[number], ["spec", "cidrs", 0]),
                Diagnostic(rule: "b", "b", at: table, ["spec", "routes", .index(number), "destination"]),
            ]
        }
        let located = set.located(diagnostics)
        #expect(located.count == set.diagnostics.count + diagnostics.count)
        // A resource that is there has a place, and so has each of its fields.
        let placed = located.filter { $0.rule == "a" }.map { $0.position != nil }
        #expect(Set(placed).count == 1 || shape.testDescription == "documents of one name")
    }
}
