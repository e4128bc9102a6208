import Foundation
import VPCManifest
import VPCModel

/// What a text's diagnostics are and where: `rule line:column`.
func findings(_ text: String) -> [String] { findings(ManifestSet(text: text)) }

func findings(_ set: ManifestSet) -> [String] {
    set.diagnostics.map { diagnostic in
        diagnostic.rule + (diagnostic.position.map { " \($0.line):\($0.column)" } ?? "")
    }
}

/// A document; its spec begins in line 4.
func document(_ kind: String, _ name: String, _ spec: String) -> String {
    """
    apiVersion: vpcctl.dev/v1
    kind: \(kind)
    metadata: {name: \(name)}
    \(spec)
    """
}

/// A directory that is gone after the test.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("manifests-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file, making its directories.
    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        let file = path + "/" + name
        let directory = (file as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        return file
    }
}
