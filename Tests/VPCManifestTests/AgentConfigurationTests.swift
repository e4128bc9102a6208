import Foundation
import TestSupport
import Testing
import VPCManifest

/// The daemon's configuration: what is read, and what is said about what cannot be.
@Suite(.timeLimit(minutes: 10)) struct AgentConfigurationTests {
    /// Rendered diagnostics: AgentGolden/NAME.yaml or .json, and what is to be printed in AgentGolden/NAME.txt, as with
    /// `GoldenTests`.
    static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("AgentGolden")

    static let inputs: [String] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return names.filter { !$0.hasSuffix(".txt") }.sorted()
    }()

    @Test func thereAreInputs() {
        #expect(Self.inputs.count >= 7)
    }

    @Test(arguments: inputs) func isPrinted(_ name: String) throws {
        let input = Self.directory.appendingPathComponent(name)
        let output = input.deletingPathExtension().appendingPathExtension("txt")
        let source = ManifestSource(name: name, bytes: Array(try Data(contentsOf: input)))
        let (configuration, diagnostics) = AgentConfiguration.read(source)
        let printed = diagnostics.map { $0.rendered() }.joined()
        if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil {
            try Data(printed.utf8).write(to: output)
        }
        #expect(configuration == nil)
        #expect(try printed == String(contentsOf: output, encoding: .utf8))
    }

    private func read(_ fields: String) -> (configuration: AgentConfiguration?, diagnostics: [LocatedDiagnostic]) {
        AgentConfiguration.read(
            ManifestSource(
                name: "vpcd.yaml", text: "apiVersion: vpcctl.dev/v1\nkind: AgentConfiguration\n" + fields))
    }

    @Test(arguments: ["", "host:\nmanifests: null\nsocket: {}\nlog:\n"])
    func whatIsLeftOutHasItsDefault(_ fields: String) throws {
        let (configuration, diagnostics) = read(fields)
        #expect(diagnostics == [])
        #expect(configuration == AgentConfiguration())
    }

    @Test func everyFieldIsRead() throws {
        let (configuration, diagnostics) = read(
            """
            host: h1
            manifests: /etc/vpcctl/manifests
            stateDirectory: /srv/vpcctl
            socket: {path: /run/other/vpcd.sock, group: netops}
            metrics: {listen: "[::1]:9469"}
            resyncSeconds: 60
            revisions: 7
            log: {format: json, level: debug}
            """)
        #expect(diagnostics == [])
        var expected = AgentConfiguration()
        expected.host = "h1"
        expected.manifests = "/etc/vpcctl/manifests"
        expected.stateDirectory = "/srv/vpcctl"
        expected.socket.path = "/run/other/vpcd.sock"
        expected.socket.group = "netops"
        expected.metricsListen = "[::1]:9469"
        expected.resyncSeconds = 60
        expected.revisions = 7
        expected.log.format = .json
        expected.log.level = .debug
        #expect(configuration == expected)
    }

    @Test(arguments: [("resyncSeconds", 10, 86_400), ("revisions", 2, 10_000)])
    func rangesHoldTheirBounds(_ field: String, _ lowest: Int, _ highest: Int) {
        for value in [lowest, highest] { #expect(read("\(field): \(value)").diagnostics == []) }
        for value in [lowest - 1, highest + 1, -lowest] {
            #expect(read("\(field): \(value)").diagnostics.map(\.rule) == ["out-of-range"])
        }
    }

    @Test func aSocketsPathFitsItsAddress() {
        let path = "/" + String(repeating: "s", count: 106)
        #expect(read("socket: {path: \(path)}").configuration?.socket.path == path)
        #expect(read("socket: {path: \(path)s}").diagnostics.map(\.rule) == ["out-of-range"])
    }

    @Test(
        arguments: [
            ("127.0.0.1:9469", "127.0.0.1", 9469), ("0.0.0.0:1", "0.0.0.0", 1), ("[::1]:65535", "::1", 65535),
        ])
    func addressesToListenOn(_ text: String, _ host: String, _ port: Int) {
        let address = ListenAddress(text)
        #expect(address?.host == host)
        #expect(address?.port == port)
    }

    @Test(
        arguments: [
            "", ":", "9469", ":9469", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:+80",
            "127.0.0.1:-1", "127.0.0.1: 80", "127.0.0.1:http", "localhost:80", "[127.0.0.1]:80", "::1:80", "::1",
            "[::1]", "[::1:80", "*:80",
        ])
    func whatIsNoAddressToListenOn(_ text: String) {
        #expect(ListenAddress(text) == nil)
        let (configuration, diagnostics) = read("metrics: {listen: \"\(text)\"}")
        #expect(configuration == nil)
        #expect(diagnostics.map(\.rule) == ["invalid-value"])
        #expect(diagnostics.first?.position.map { "\($0.line):\($0.column)" } == "3:19")
    }

    @Test func aFileThatIsNotThereIsNoDefault() throws {
        let directory = try TemporaryDirectory()
        for path in [directory.path + "/vpcd.yaml", directory.path] {
            let (configuration, diagnostics) = AgentConfiguration.load(path: path)
            #expect(configuration == nil)
            #expect(diagnostics.map(\.rule) == ["unreadable"])
            #expect(diagnostics.first?.message.hasPrefix(path) == true)
        }
        let path = try directory.write("vpcd.yaml", "apiVersion: vpcctl.dev/v1\nkind: AgentConfiguration\nhost: h2\n")
        #expect(AgentConfiguration.load(path: path).configuration?.host == "h2")
    }

    // MARK: What is shipped and written about it

    private static func file(_ path: String) throws -> String {
        let repository = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        return try String(contentsOf: repository.appendingPathComponent(path), encoding: .utf8)
    }

    /// As it is shipped it changes nothing, and what is commented out can be put into force as it stands.
    @Test func theShippedFileIsRight() throws {
        let text = try Self.file("packaging/vpcd.yaml")
        let shipped = AgentConfiguration.read(ManifestSource(name: "vpcd.yaml", text: text))
        #expect(shipped.diagnostics == [])
        #expect(shipped.configuration == AgentConfiguration())
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.hasPrefix("#") && !line.hasPrefix("# ") ? line.dropFirst() : line
        }
        let whole = AgentConfiguration.read(
            ManifestSource(name: "vpcd.yaml", text: lines.joined(separator: "\n")))
        #expect(whole.diagnostics == [])
        var expected = AgentConfiguration()
        expected.host = "h1"
        expected.manifests = "/etc/vpcctl/manifests"
        expected.metricsListen = "127.0.0.1:9469"
        #expect(whole.configuration == expected)
    }

    /// The block with all fields is valid and sets each that the table lists; the manual lists the same.
    @Test func theDocumentedFieldsAreThere() throws {
        let page = try Self.file("docs/operations.md")
        let section = try #require(page.components(separatedBy: "\n## Configure").dropFirst().first)
            .components(separatedBy: "\n## ")[0]
        let block = try #require(section.components(separatedBy: "```yaml\n").dropFirst().first)
            .components(separatedBy: "```")[0]
        let (configuration, diagnostics) = AgentConfiguration.read(ManifestSource(name: "vpcd.yaml", text: block))
        #expect(diagnostics == [])
        #expect(configuration?.host == "h1")
        let fields = section.components(separatedBy: "\n| `").dropFirst().compactMap { $0.split(separator: "`").first }
        #expect(fields.count == 14)
        let manual = try Self.file("packaging/man/vpcd.yaml.5")
        for field in fields {
            #expect(block.contains(field.split(separator: ".").last ?? ""), "\(field)")
            #expect(manual.contains("\n.It Cm \(field)\n"), "\(field)")
        }
    }
}
