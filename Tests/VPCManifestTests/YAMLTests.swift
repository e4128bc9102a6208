import TestSupport
import Testing
import VPCManifest
import VPCModel

/// What YAML itself offers and forbids.
@Suite(.timeLimit(minutes: 10)) struct YAMLTests {
    static let vpc =
        "apiVersion: vpcctl.dev/v1\nkind: VPC\nmetadata: {name: blue}\nspec: {id: 1, cidrs: [10.0.0.0/8]}\n"

    // MARK: Documents

    @Test func severalDocumentsAreOneModel() {
        let set = ManifestSet(
            text: "%YAML 1.2\n---\n\(Self.vpc)...\n# nothing\n---\n---\nnull\n--- ~\n---\n"
                + Self.vpc.replacing("blue", with: "red"))
        #expect(findings(set) == [])
        #expect(set.model.vpcs.map(\.metadata.name) == ["blue", "red"])
    }

    /// Documents of one file are of one make: the first says which.
    @Test func theVersionIsInheritedWithinAFile() {
        let rest = "kind: VPC\nmetadata: {name: red}\nspec: {id: 2, cidrs: [10.0.0.0/8]}\n"
        #expect(findings(Self.vpc + "---\n" + rest) == [])
        let apart = ManifestSet([
            ManifestSource(name: "a.yaml", text: Self.vpc), ManifestSource(name: "b.yaml", text: rest),
        ])
        #expect(findings(apart) == ["missing-field 1:1"])
        // One error for a file that has none at all.
        #expect(findings(rest + "---\n" + rest.replacing("red", with: "blue")) == ["missing-field 1:1"])
    }

    @Test(arguments: ["", "\n\n", "# only a comment\n", "---\n---\n", "null", "\u{FEFF}", "---\n# nothing\n...\n"])
    func nothingIsAnError(_ text: String) {
        let set = ManifestSet(text: text)
        #expect(findings(set) == ["empty-set"])
        #expect(set.diagnostics[0].hint?.contains("nothing is deleted") == true)
        #expect(!set.model.gaps.isEmpty)
    }

    @Test func listsHoldResources() {
        let set = ManifestSet(
            text: """
                apiVersion: vpcctl.dev/v1
                kind: List
                items:
                - kind: VPC
                  metadata: {name: blue}
                  spec: {id: 1, cidrs: [10.0.0.0/8]}
                - kind: VPC
                  metadata: {name: red}
                  spec: {id: 0, cidrs: [10.0.0.0/8]}
                - text
                """)
        #expect(findings(set) == ["out-of-range 9:14", "wrong-type 10:3"])
        #expect(set.diagnostics[0].path == ["spec", "id"])
        #expect(set.model.vpcs.map(\.metadata.name) == ["blue"])
        #expect(set.locate(ResourceReference(.vpc, "blue"), ["spec", "id"])?.description == "manifest.yaml:6:14")
        #expect(set.locate(ResourceReference(.vpc, "red"))?.description == "manifest.yaml:7:3")
    }

    @Test(arguments: [
        ("apiVersion: vpcctl.dev/v1\nkind: List\n", ["missing-field 1:1"]),
        ("apiVersion: vpcctl.dev/v1\nkind: List\nitems: {}\n", ["wrong-type 3:1"]),
        ("apiVersion: vpcctl.dev/v1\nkind: List\nitems: []\nspec: {}\n", ["unknown-field 4:1"]),
    ])
    func brokenListsAreErrors(_ text: String, _ expected: [String]) {
        #expect(findings(text) == expected)
    }

    // MARK: Names

    @Test func namesAreUniquePerKindInTheWholeSet() {
        let set = ManifestSet([
            ManifestSource(name: "a.yaml", text: Self.vpc),
            ManifestSource(
                name: "b.yaml",
                text: document("Host", "blue", "spec: {underlay: {address: 10.0.0.1}}") + "\n---\n" + Self.vpc),
        ])
        #expect(findings(set) == ["duplicate-name 8:18"])
        #expect(
            set.diagnostics[0].rendered() == """
                b.yaml:8:18: error: VPC blue: there is another VPC of this name [duplicate-name]
                metadata: {name: blue}
                                 ^~~~
                hint: names are unique per kind in all files of a set
                a.yaml:3:18: note: the first one is here
                metadata: {name: blue}
                                 ^~~~

                """)
        #expect(set.model.vpcs.count == 1)
    }

    /// The second of two is reported also where the first has errors of its own.
    @Test func aBrokenDocumentKeepsItsName() {
        #expect(
            findings(Self.vpc.replacing("id: 1", with: "id: x") + "---\n" + Self.vpc) == [
                "wrong-type 4:12", "duplicate-name 8:18",
            ])
    }

    // MARK: Anchors and merge keys

    @Test func aliasesRepeatAnchors() throws {
        let set = ManifestSet(
            text: document(
                "RouteTable", "a",
                """
                spec:
                  vpc: &v blue
                  routes:
                  - {destination: 10.1.0.0/16, nextHops: &hops [{interface: x}, {interface: *v, weight: 2}]}
                  - {destination: 10.2.0.0/16, nextHops: *hops}
                """))
        #expect(findings(set) == [])
        let routes = try #require(set.model.routeTables.first).routes
        #expect(routes[0].target == .nextHops([NextHop(interface: "x"), NextHop(interface: "blue", weight: 2)]))
        #expect(routes[1].target == routes[0].target)
    }

    /// An alias is where the value is used; what is inside is where it was written.
    @Test func errorsInAliasesAreWhereTheyCanBeCorrected() {
        #expect(
            findings(
                document(
                    "RouteTable", "a",
                    """
                    spec:
                      vpc: blue
                      routes:
                      - {destination: &d 10.1.0.1/16, nextHops: &hops [{interface: X}]}
                      - {destination: *d, nextHops: *hops}
                    """))
                == ["host-bits 7:19", "invalid-name 7:64", "invalid-name 7:64", "host-bits 8:19"])
    }

    @Test func mergeKeysFillWhatIsNotSet() throws {
        let set = ManifestSet(
            text: document(
                "RouteTable", "a",
                """
                spec:
                  vpc: blue
                  routes:
                  - destination: 10.1.0.0/16
                    nextHops:
                    - &x {interface: x, weight: 7}
                    - {<<: *x, interface: y}
                    - {interface: z, <<: [{weight: 3}, *x]}
                    - {<<: {<<: {weight: 4}, interface: u}}
                """))
        #expect(findings(set) == [])
        #expect(
            set.model.routeTables.first?.routes.first?.target
                == .nextHops([
                    NextHop(interface: "x", weight: 7), NextHop(interface: "y", weight: 7),
                    NextHop(interface: "z", weight: 3),
                    NextHop(interface: "u", weight: 4),
                ]))
        #expect(
            set.locate(
                ResourceReference(.routeTable, "a"), ["spec", "routes", 0, "nextHops", 3, "interface"])?.description
                == "manifest.yaml:12:41")
    }

    @Test func mergedLabelsFillWhatIsNotSet() {
        let set = ManifestSet(
            text: Self.vpc.replacing("{name: blue}", with: "{name: blue, labels: {a: x, <<: {a: y, b: z}, \"<<\": q}}"))
        #expect(findings(set) == [])
        #expect(set.model.vpcs.first?.metadata.labels == ["a": "x", "b": "z", "<<": "q"])
    }

    @Test(arguments: [
        ("{<<: 7, interface: x}", ["merge-key 6:69"]),
        ("{<<: [{weight: 1}, x], interface: x}", ["merge-key 6:83"]),
        ("{<<: {wait: 7}, interface: x}", ["unknown-field 6:70"]),
        ("{interface: x, interface: y}", ["duplicate-key 6:79"]),
    ])
    func wrongMergesAreErrors(_ hop: String, _ expected: [String]) {
        let text = document(
            "RouteTable", "a",
            "spec:\n  vpc: b\n  routes: [{destination: 10.1.0.0/16, nextHops: [              \(hop)]}]")
        #expect(findings(text) == expected)
    }

    @Test(arguments: [
        ("a: *b", "undefined-alias 1:4"),
        ("a: &a [*a]", "alias-expansion 1:8"),
        ("a: &a {b: {c: *a}}", "alias-expansion 1:15"),
        ("a: &a 1\n---\nb: *a", "undefined-alias 3:4"),
    ])
    func brokenAliasesAreErrors(_ text: String, _ expected: String) {
        #expect(findings(text).contains(expected))
    }

    /// Nine levels of nine aliases: 10^8 nodes from 300 bytes.
    @Test func billionLaughsAreStopped() {
        var text = "a: &a [x,x,x,x,x,x,x,x,x]\n"
        for (name, inner) in zip("bcdefghij", "abcdefghi") {
            text += "\(name): &\(name) [" + Array(repeating: "*\(inner)", count: 9).joined(separator: ",") + "]\n"
        }
        #expect(findings(text) == ["alias-expansion 7:8"])
        // Many small bombs are no way around it; the second here meets the limit of the file.
        let many = ManifestSet(text: Array(repeating: text, count: 1000).joined(separator: "---\n"))
        #expect(many.diagnostics.map(\.rule) == ["alias-expansion", "alias-expansion"])
    }

    // MARK: Tags

    @Test(arguments: [
        ("!!float 1", "wrong-type 4:12"), ("!!str 1", "wrong-type 4:12"), ("! 1", "wrong-type 4:12"),
        ("!local 1", "unsupported-tag 4:12"), ("!!binary aGk=", "unsupported-tag 4:12"), ("!!map {}", "wrong-type 4:8"),
        ("!!seq {}", "unsupported-tag 4:12"), ("!!int x", "out-of-range 4:12"), ("!!null x", "missing-field 4:12"),
        ("!!bool true", "wrong-type 4:12"),
    ])
    func tagsMeanWhatTheySay(_ value: String, _ expected: String) {
        #expect(findings(Self.vpc.replacing("id: 1", with: "id: \(value)")) == [expected])
    }

    // MARK: Syntax

    @Test(
        arguments: [
            ("a: [1, 2", "syntax 1:9", nil), ("a: b: c", "syntax 1:5", "quote a value that contains \": \""),
            ("a: b\n\tc: d", "syntax 2:1", "tabs"), ("a: \"x", "syntax 1:6", nil), ("a: 'x\n", "syntax 2:1", nil),
            ("a: @x", "syntax 1:4", "begins with @"), ("a: \"\\q\"", "syntax 1:5", nil), ("%FOO", "syntax 1:5", nil),
            ("a: b\n c: d", "syntax 2:3", nil), ("{\"a\": 1}\n{\"b\": 2}", "syntax 2:1", "separate documents"),
            ("a: \"\\ud800\"", "syntax 1:7", nil), ("a: }", "syntax 1:4", nil), ("\ta: b", "syntax 1:1", "tabs"),
            ("a: b\u{1}", "syntax 1:5", "escape"), ("&a", "empty-set", nil), ("a: |x\n", "syntax 1:5", nil),
        ] as [(String, String, String?)])
    func libyamlsComplaintsHaveAPlace(_ text: String, _ expected: String, _ hint: String?) throws {
        let set = ManifestSet(text: text)
        #expect(findings(set).last == expected)
        if let hint { #expect(set.diagnostics.last?.hint?.contains(hint) == true) }
    }

    /// One unreadable document does not hide the errors of the others.
    @Test func readingGoesOnAtTheNextDocument() {
        let set = ManifestSet(
            text:
                "\(Self.vpc)---\na: [\n---\na: \"x\n---\n- @\n---\nkind: VPC\nmetadata: {name: red}\nspec: {id: 0, cidrs: [10.0.0.0/8]}\n"
        )
        #expect(findings(set) == ["syntax 7:1", "syntax 9:1", "syntax 10:3", "out-of-range 14:12"])
        #expect(set.model.vpcs.map(\.metadata.name) == ["blue"])
        #expect(set.model.gaps.mayHold(ResourceReference(.host, "anything")))
    }

    // MARK: Characters

    @Test func aByteOrderMarkIsSkipped() {
        let set = ManifestSet(text: "\u{FEFF}" + Self.vpc.replacing("id: 1", with: "id: x"))
        #expect(findings(set) == ["wrong-type 4:12"])
        #expect(findings("\u{FEFF}apiVersion: v1\nkind: List\nitems: []") == ["api-version 1:13"])
    }

    @Test func otherEncodingsAreErrors() {
        func findings(_ bytes: [UInt8]) -> [String] {
            VPCManifestTests.findings(ManifestSet([ManifestSource(name: "a.yaml", bytes: bytes)]))
        }
        #expect(findings([0xFF, 0xFE, 0x61, 0x00]) == ["not-utf8"])
        #expect(findings([0xFE, 0xFF, 0x00, 0x61]) == ["not-utf8"])
        #expect(findings(Array("a: b\nc: \u{e9}".utf8) + [0xE9, 0x0A]) == ["not-utf8 2:5"])
        #expect(findings(Array("a: b\nc: d".utf8) + [0xC3]) == ["not-utf8 2:5"])
        // After a byte order mark, and after a document that could not be read; libyaml reads 16 kB ahead.
        #expect(findings([0xEF, 0xBB, 0xBF] + Array("é: é\nb: ".utf8) + [0xFF]) == ["not-utf8 2:4"])
        let padding = "# " + String(repeating: "é", count: 100_000)
        #expect(
            findings(Array("é: [\n---\n\(padding)\né: é\nb: ".utf8) + [0xFF]) == ["syntax 2:1", "not-utf8 5:4"])
        // Overlong, surrogate, beyond the last plane.
        for bytes: [UInt8] in [[0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80]] {
            #expect(findings(Array("a: ".utf8) + bytes + Array("x".utf8)) == ["not-utf8 1:4"])
        }
    }

    /// Editors end lines at LF, CR LF and CR; libyaml also at U+0085, U+2028 and U+2029.
    @Test func linesAreCountedAsEditorsDo() {
        let lines = Self.vpc.replacing("id: 1", with: "id: x")
        #expect(findings(lines.replacing("\n", with: "\r\n")) == ["wrong-type 4:12"])
        #expect(findings(lines.replacing("\n", with: "\r")) == ["wrong-type 4:12"])
        #expect(
            findings(lines.replacing("{name: blue}", with: "{name: blue, labels: {a: \"\u{2028}\u{85}\"}}")) == [
                "wrong-type 4:12"
            ])
        // Columns are characters.
        #expect(
            findings(lines.replacing("spec: {id", with: "spec: {\"é蓝😀\": 1, id")) == [
                "unknown-field 4:8", "wrong-type 4:22",
            ])
    }

    // MARK: Limits

    @Test func depthIsLimited() {
        let open = { String(repeating: "[", count: $0) + String(repeating: "]", count: $0) }
        #expect(findings(open(64)) == ["wrong-type 1:1"])
        #expect(findings(open(65)) == ["too-deep 1:65"])
        #expect(findings(String(repeating: "{a: ", count: 100_000)) == ["too-deep 1:257"])
        #expect(findings(String(repeating: "- ", count: 100_000)) == ["too-deep 1:129"])
    }

    @Test func errorsAreLimited() {
        var limits = ManifestLimits()
        limits.errors = 5
        let documents = (1...4).map {
            "---\napiVersion: vpcctl.dev/v1\nkind: VPC\nmetadata: {name: v\($0)}\nspec: {a: 1, b: 2}\n"
        }
        let set = ManifestSet([ManifestSource(name: "a.yaml", text: documents.joined())], limits: limits)
        #expect(set.diagnostics.count == 6)
        #expect(set.diagnostics.last?.message == "too many errors: stopped after 5")
        #expect(set.located([]).last?.rule == "too-many-errors")
        #expect(set.model.gaps.mayHold(ResourceReference(.vpc, "v4")))
        // In one document.
        let fields = (1...100).map { "f\($0): 1\n" }.joined()
        let one = ManifestSet([ManifestSource(name: "a.yaml", text: fields)], limits: limits)
        #expect(one.diagnostics.count == 6)
    }
}
