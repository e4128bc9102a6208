import Foundation
import TestSupport
import Testing
import VPCManifest
import VPCModel

/// What `-f` arguments name.
@Suite(.timeLimit(minutes: 10)) struct SourceTests {
    static func vpc(_ name: String, _ id: Int) -> String {
        "apiVersion: vpcctl.dev/v1\nkind: VPC\nmetadata: {name: \(name)}\nspec: {id: \(id), cidrs: [10.0.0.0/8]}\n"
    }

    private func names(_ set: ManifestSet) -> [String] { set.model.vpcs.map(\.metadata.name) }

    @Test func filesAreReadInTheGivenOrder() throws {
        let directory = try TemporaryDirectory()
        let a = try directory.write("a.yaml", Self.vpc("a", 1))
        let b = try directory.write("b.txt", Self.vpc("b", 2))
        let set = ManifestSet.load(paths: [b, a])
        #expect(findings(set) == [])
        #expect(names(set) == ["b", "a"])
        #expect(set.sources.map(\.name) == [b, a])
    }

    /// A file that was changed long ago is another one when it has other times; of a new one that is not sure.
    @Test func filesThatAreKnownAreNotRead() throws {
        let old = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden").path
        let directory = try TemporaryDirectory()
        let new = try directory.write("a.yaml", Self.vpc("a", 1))
        let first = ManifestFiles(paths: [old, new])
        #expect(first.files.count > 1)
        #expect(first.files.allSatisfy { ($0.stamp == nil) == ($0.name == new) && $0.bytes != nil })

        var known: [String: FileStamp] = [:]
        for file in first.files { known[file.name] = file.stamp }
        let second = ManifestFiles(paths: [old, new], known: known)
        #expect(second.files.map(\.name) == first.files.map(\.name))
        #expect(second.files.allSatisfy { ($0.bytes == nil) == ($0.name != new) })
        #expect(second.sources.map(\.name) == [new])
        // That of another file.
        let stamp = known[first.files[0].name]
        let third = ManifestFiles(paths: [first.files[1].name], known: [first.files[1].name: try #require(stamp)])
        #expect(third.files.first?.bytes == first.files[1].bytes)
    }

    @Test func directoriesAreReadSortedAndRecursively() throws {
        let directory = try TemporaryDirectory()
        try directory.write("b/x.yml", Self.vpc("bx", 1))
        try directory.write(
            "b/deep/y.json",
            #"{"apiVersion":"vpcctl.dev/v1","kind":"VPC","metadata":{"name":"by"},"spec":{"id":2,"cidrs":["10.0.0.0/8"]}}"#
        )
        try directory.write("a.yaml", Self.vpc("a", 3))
        try directory.write("c.yaml", Self.vpc("c", 4))
        for other in ["README.md", "c.yaml~", "d.yaml.bak", ".hidden.yaml", ".git/e.yaml", "yaml"] {
            try directory.write(other, "not: [a manifest")
        }
        for path in [directory.path, directory.path + "/"] {
            let set = ManifestSet.load(paths: [path])
            #expect(findings(set) == [])
            #expect(names(set) == ["a", "by", "bx", "c"])
            #expect(set.sources.first?.name == directory.path + "/a.yaml")
        }
    }

    /// The layout of a mounted ConfigMap, a link to a file, and a circle.
    @Test func linksAreFollowedOnce() throws {
        let directory = try TemporaryDirectory()
        let outside = try directory.write("outside/o.yaml", Self.vpc("o", 9))
        try directory.write("set/..2024/a.yaml", Self.vpc("a", 1))
        let files = FileManager.default
        try files.createSymbolicLink(atPath: directory.path + "/set/..data", withDestinationPath: "..2024")
        try files.createSymbolicLink(atPath: directory.path + "/set/a.yaml", withDestinationPath: "..data/a.yaml")
        try files.createSymbolicLink(atPath: directory.path + "/set/again.yaml", withDestinationPath: "a.yaml")
        try files.createSymbolicLink(atPath: directory.path + "/set/circle", withDestinationPath: "../set")
        try files.createSymbolicLink(atPath: directory.path + "/set/o", withDestinationPath: "../outside")
        try files.createSymbolicLink(atPath: directory.path + "/set/dead", withDestinationPath: "nowhere")
        let set = ManifestSet.load(paths: [directory.path + "/set", outside, directory.path + "/set"])
        #expect(findings(set) == [])
        #expect(names(set) == ["a", "o"])
    }

    @Test func aDashIsStandardInput() throws {
        let pipe = Pipe()
        let text = Self.vpc("a", 1) + "---\n" + Self.vpc("b", 0)
        pipe.fileHandleForWriting.write(Data(text.utf8))
        try pipe.fileHandleForWriting.close()
        let set = ManifestSet.load(paths: ["-", "-"], standardInput: pipe.fileHandleForReading.fileDescriptor)
        #expect(set.diagnostics.map(\.description).first?.hasPrefix("<stdin>:9:12: error: VPC b: spec.id") == true)
        #expect(names(set) == ["a"])
    }

    /// More than the first buffer, from something that has no size.
    @Test func longStreamsAreReadToTheEnd() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/fifo"
        #expect(mkfifo(path, 0o600) == 0)
        let text = (1...4000).map { Self.vpc("v\($0)", $0) }.joined(separator: "---\n")
        let writer = Thread {
            try? FileHandle(forWritingTo: URL(fileURLWithPath: path)).write(contentsOf: Data(text.utf8))
        }
        writer.start()
        let set = ManifestSet.load(paths: [path])
        #expect(findings(set) == [])
        #expect(set.model.vpcs.count == 4000)
    }

    @Test func missingFilesAreErrors() throws {
        let set = ManifestSet.load(paths: ["/nowhere/at/all.yaml"])
        #expect(
            set.diagnostics.map(\.description) == [
                "error: /nowhere/at/all.yaml: no such file or directory [unreadable]"
            ])
        // Any resource may have been in there.
        #expect(set.model.gaps.mayHold(ResourceReference(.subnet, "x")))
        #expect(!set.isValid)
    }

    @Test func anEmptyPathIsToldWhatToName() {
        let set = ManifestSet.load(paths: [""])
        #expect(set.diagnostics.map(\.hint) == ["name a file, a directory or -"])
        #expect(ManifestSet.load(paths: ["/nowhere"]).diagnostics.map(\.hint) == [nil])
    }

    /// It can be opened; its first page cannot be read.
    @Test func failedReadsAreErrors() {
        #expect(
            ManifestSet.load(paths: ["/proc/self/mem"]).diagnostics.map(\.description)
                == ["error: /proc/self/mem: input/output error [unreadable]"])
    }

    @Test func deadLinksWithAManifestsNameAreErrors() throws {
        let directory = try TemporaryDirectory()
        try FileManager.default.createSymbolicLink(atPath: directory.path + "/a.yaml", withDestinationPath: "nowhere")
        #expect(findings(.load(paths: [directory.path])) == ["unreadable"])
    }

    @Test func directoriesWithoutManifestsAreErrors() throws {
        let directory = try TemporaryDirectory()
        try directory.write("sub/notes.txt", "")
        let other = try directory.write("b.txt", Self.vpc("b", 2))
        let set = ManifestSet.load(paths: [other, directory.path])
        #expect(findings(set) == ["no-manifests"])
        #expect(names(set) == ["b"])
    }

    @Test func noArgumentsAreAnEmptySet() {
        #expect(findings(.load(paths: [])) == ["empty-set"])
    }

    @Test func largeFilesAreErrors() throws {
        let directory = try TemporaryDirectory()
        let text = Self.vpc("a", 1)
        let path = try directory.write("a.yaml", text)
        var limits = ManifestLimits()
        limits.fileSize = text.utf8.count
        #expect(findings(.load(paths: [path], limits: limits)) == [])
        limits.fileSize -= 1
        #expect(findings(.load(paths: [path], limits: limits)) == ["file-too-large"])
        // Endless ones too.
        #expect(findings(.load(paths: ["/dev/zero"], limits: limits)) == ["file-too-large"])
    }
}

/// From a resource and a path to a place.
@Suite(.timeLimit(minutes: 10)) struct LocationTests {
    static let set = ManifestSet([
        ManifestSource(name: "a.yaml", text: "# first\n" + SourceTests.vpc("blue", 1)),
        ManifestSource(
            name: "b.yaml",
            text: """
                # second

                apiVersion: vpcctl.dev/v1
                kind: RouteTable
                metadata:
                  name: egress
                spec:
                  vpc: blue
                  routes:
                    - destination: 0.0.0.0/0
                      nextHops:
                        - interface: fw-a
                          weight: 3
                        - {interface: "fw-b"}
                --- {kind: Host, metadata: {name: h1}, spec: {underlay: {address: 172.31.0.1}}}
                """),
    ])

    @Test(
        arguments: [
            ([], "b.yaml:3:1"),
            (["kind"], "b.yaml:4:7"),
            (["metadata"], "b.yaml:5:1"),
            (["metadata", "name"], "b.yaml:6:9"),
            // What is not there: the key of what it would be in.
            (["metadata", "labels", "a"], "b.yaml:5:1"),
            (["status"], "b.yaml:3:1"),
            (["spec", "routes"], "b.yaml:9:3"),
            (["spec", "routes", 0], "b.yaml:10:7"),
            (["spec", "routes", 7, "destination"], "b.yaml:9:3"),
            (["spec", "routes", 0, "destination"], "b.yaml:10:20"),
            (["spec", "routes", 0, "destination", "deeper"], "b.yaml:10:7"),
            (["spec", "routes", 0, "nextHops"], "b.yaml:11:7"),
            (["spec", "routes", 0, "nextHops", 0, "weight"], "b.yaml:13:19"),
            (["spec", "routes", 0, "nextHops", 1], "b.yaml:14:11"),
            (["spec", "routes", 0, "nextHops", 1, "interface"], "b.yaml:14:23"),
            (["spec", "routes", 0, "nextHops", 1, "weight"], "b.yaml:14:11"),
            (["spec", "routes", "destination"], "b.yaml:9:3"),
            (["spec", 0], "b.yaml:7:1"),
        ] as [(FieldPath, String)])
    func fieldsAreFound(_ path: FieldPath, _ expected: String) {
        #expect(findings(Self.set) == [])
        #expect(Self.set.locate(ResourceReference(.routeTable, "egress"), path)?.description == expected)
    }

    @Test func resourcesAreFoundInTheirSources() {
        #expect(Self.set.locate(ResourceReference(.vpc, "blue"), ["spec", "id"])?.description == "a.yaml:5:12")
        #expect(Self.set.locate(ResourceReference(.host, "h1"))?.description == "b.yaml:15:5")
        #expect(
            Self.set.locate(ResourceReference(.host, "h1"), ["spec", "underlay", "address"])?.description
                == "b.yaml:15:67")
        #expect(Self.set.locate(ResourceReference(.subnet, "blue")) == nil)
    }

    /// Documents at the same byte of different sources are different documents.
    @Test func sourcesAreToldApart() {
        let set = ManifestSet(
            (1...3).map { ManifestSource(name: "\($0).yaml", text: "\n" + SourceTests.vpc("v\($0)", $0)) })
        let places = set.locations(of: (1...3).map { (ResourceReference(.vpc, "v\($0)"), ["spec", "id"]) })
        #expect(places.map { $0?.position.description } == ["1.yaml:5:12", "2.yaml:5:12", "3.yaml:5:12"])
        #expect(places.map { $0?.excerpt.prefix(13) } == ["spec: {id: 1,", "spec: {id: 2,", "spec: {id: 3,"])
    }

    /// Dashes that end no document: within a line, indented, or more than three.
    @Test(arguments: ["\n", "\r\n", "\r"]) func onlyMarkersEndDocuments(_ lineEnd: String) {
        let text = """
            ---
            apiVersion: vpcctl.dev/v1
            kind: VPC
            metadata:
              name: blue
              annotations:
                a: b --- c
                d: |
                  ---
                  ----
                e: "f
            ----
            ---g"
            spec: {id: 1, cidrs: [10.0.0.0/8]}
            ---
            kind: VPC
            metadata: {name: red}
            spec: {id: 2, cidrs: [10.0.0.0/8]}
            """
        let set = ManifestSet(text: text.replacing("\n", with: lineEnd))
        #expect(findings(set) == [])
        #expect(set.locate(ResourceReference(.vpc, "blue"), ["spec", "id"])?.description == "manifest.yaml:14:12")
        #expect(set.locate(ResourceReference(.vpc, "red"), ["spec", "id"])?.description == "manifest.yaml:18:12")
    }

    /// Diagnostics of later stages get their places, each source in its order.
    @Test func diagnosticsAreSortedByPlace() {
        let table = ResourceReference(.routeTable, "egress")
        let diagnostics = [
            Diagnostic(rule: "three", "third", at: table, ["spec", "vpc"]),
            Diagnostic(
                .warning, rule: "four", "fourth", hint: "do", at: table,
                ["spec", "routes", 0, "nextHops", 0, "interface"],
                related: Diagnostic.Related("see", at: ResourceReference(.vpc, "blue"), ["spec", "cidrs", 0])),
            Diagnostic(rule: "one", "nowhere", at: ResourceReference(.vpc, "unknown")),
            Diagnostic(rule: "two", "second", at: ResourceReference(.vpc, "blue"), ["spec", "id"]),
        ]
        let located = Self.set.located(diagnostics)
        #expect(
            located.map(\.description) == [
                "error: nowhere [one]", "a.yaml:5:12: error: second [two]", "b.yaml:8:8: error: third [three]",
                "b.yaml:12:22: warning: fourth [four]",
            ])
        #expect(
            located[3].rendered() == """
                b.yaml:12:22: warning: fourth [four]
                        - interface: fw-a
                                     ^~~~
                hint: do
                a.yaml:5:23: note: see
                spec: {id: 1, cidrs: [10.0.0.0/8]}
                                      ^~~~~~~~~~

                """)
    }
}

/// How diagnostics look beyond what the golden files show.
@Suite(.timeLimit(minutes: 10)) struct RenderingTests {
    static func diagnostic(_ excerpt: String, _ indent: Int, _ width: Int) -> LocatedDiagnostic {
        LocatedDiagnostic(
            rule: "r", message: "m", hint: "h",
            location: SourceSpan(
                position: SourcePosition(file: "f", line: 1, column: indent + 1), excerpt: excerpt, indent: indent,
                width: width))
    }

    @Test func coloursAreTheCallersChoice() {
        let diagnostic = Self.diagnostic("a: b", 3, 1)
        #expect(diagnostic.rendered() == "f:1:4: error: m [r]\na: b\n   ^\nhint: h\n")
        #expect(
            diagnostic.rendered(style: .colored)
                == "\u{1B}[1mf:1:4:\u{1B}[0m \u{1B}[1;31merror:\u{1B}[0m \u{1B}[1mm\u{1B}[0m [r]\na: b\n   \u{1B}[1;32m^\u{1B}[0m\n"
                + "\u{1B}[1;36mhint:\u{1B}[0m h\n")
    }

    @Test(arguments: [
        ("a:\tb", 3, 1, "a:\tb\n  \t^\n"), ("蓝: b", 3, 1, "蓝: b\n    ^\n"), ("a: 蓝网", 3, 2, "a: 蓝网\n   ^~~~\n"),
        ("e\u{301}: b", 4, 1, "e\u{301}: b\n   ^\n"), ("a", 1, 1, "a\n ^\n"), ("", 0, 1, ""),
        ("\u{1B}[31m: b", 7, 1, "\u{FFFD}[31m: b\n       ^\n"), ("a\u{202E}: b", 4, 1, "a\u{FFFD}: b\n    ^\n"),
    ])
    func theCaretIsBelowThePlace(_ excerpt: String, _ indent: Int, _ width: Int, _ expected: String) {
        #expect(
            Self.diagnostic(excerpt, indent, width).rendered()
                == "f:1:\(indent + 1): error: m [r]\n\(expected)hint: h\n")
    }

    @Test func programsGetTheSame() throws {
        let set = ManifestSet(text: document("VPC", "a", "spec: {id: 1, id: 2, cidrs: [10.0.0.0/8]}"))
        #expect(
            StructuredValue(try #require(set.diagnostics.first)).yaml == """
                severity: error
                rule: duplicate-key
                message: "VPC a: spec.id is set twice"
                hint: "remove one of them"
                resource:
                  kind: VPC
                  name: a
                path: spec.id
                file: manifest.yaml
                line: 4
                column: 15
                notes:
                - message: "it is first set here"
                  file: manifest.yaml
                  line: 4
                  column: 8

                """)
        #expect(
            StructuredValue(try #require(ManifestSet(text: "").diagnostics.first)).json.hasPrefix(
                "{\n  \"hint\": \"an empty set"))
    }

    @Test func messagesCannotDriveTheTerminal() {
        let diagnostic = LocatedDiagnostic(rule: "r", message: "a\u{1B}[2J\nb", hint: "\u{9B}x")
        #expect(diagnostic.rendered() == "error: a\u{FFFD}[2J\u{FFFD}b [r]\nhint: \u{FFFD}x\n")
    }

    @Test(arguments: [
        ("plain value # comment", 11), ("[a, b]", 2), ("\"a \\\" b\" # c", 8), ("'it''s'", 7), ("a:b", 3),
        ("{y: z}", 2),
        ("''", 2), ("1.5   ", 3),
    ])
    func theUnderlineCoversTheScalarOrTheKey(_ value: String, _ width: Int) throws {
        let set = ManifestSet(text: document("VPC", "a", "spec:\n  cidrs: [10.0.0.0/8]\n  id: \(value)"))
        let location = try #require(set.diagnostics.first?.location)
        #expect(location.position.line == 6)
        #expect(location.width == width)
    }

    @Test(arguments: [
        ("{id: a b, x: 1}", 3), ("{id: a\t}", 1), ("{id: a]}", 1), ("{id: *b}", 2), ("{\"id\":\"a\"}", 3),
    ])
    func theUnderlineEndsWithinFlowStyle(_ spec: String, _ width: Int) throws {
        let set = ManifestSet(text: document("VPC", "a, labels: {x: &b y}", "spec: \(spec)"))
        let location = try #require(set.diagnostics.first { $0.rule != "missing-field" }?.location)
        #expect(location.width == width)
    }

    @Test func longLinesAreCutAroundThePlace() throws {
        let padding = String(repeating: "p", count: 1000)
        for (before, after) in [(padding, ""), ("", padding), (padding, padding), ("", "")] {
            let text =
                "{apiVersion: vpcctl.dev/v1, kind: VPC, metadata: {name: a, annotations: {b: \"\(before)\"}}, spec: {id: 0, cidrs: [10.0.0.0/8]}} # \(after)"
            let location = try #require(ManifestSet(text: text).diagnostics.first?.location)
            let scalars = Array(location.excerpt.unicodeScalars)
            #expect(scalars[location.indent] == "0")
            #expect(scalars.count <= 163)
            #expect((scalars.first == "…") == !(before + after).isEmpty)
            #expect((scalars.last == "…") == !after.isEmpty)
        }
    }
}
