import Foundation
import TestSupport
import Testing
import VPCManifest

/// Rendered diagnostics of whole files: Golden/NAME.yaml or .json, and what is to be printed in Golden/NAME.txt.
///
/// `UPDATE_GOLDEN=1 swift test --filter GoldenTests` writes what is printed now; read the difference before it is
/// committed.
@Suite(.timeLimit(minutes: 10)) struct GoldenTests {
    static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")

    static let inputs: [String] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return names.filter { !$0.hasSuffix(".txt") }.sorted()
    }()

    @Test func thereAreInputs() {
        #expect(Self.inputs.count >= 4)
    }

    @Test(arguments: inputs) func isPrinted(_ name: String) throws {
        let input = Self.directory.appendingPathComponent(name)
        let output = input.deletingPathExtension().appendingPathExtension("txt")
        // The name without the directory, which differs from machine to machine.
        let set = ManifestSet([ManifestSource(name: name, bytes: Array(try Data(contentsOf: input)))])
        let printed = set.diagnostics.map { $0.rendered() }.joined()
        if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil {
            try Data(printed.utf8).write(to: output)
        }
        #expect(try printed == String(contentsOf: output, encoding: .utf8))
    }
}
