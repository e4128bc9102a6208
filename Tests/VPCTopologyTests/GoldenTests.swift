import Foundation
import TestSupport
import Testing
import VPCManifest
import VPCTopology

/// Rendered diagnostics of whole sets: Golden/NAME.yaml, and what is to be printed in Golden/NAME.txt.
///
/// `UPDATE_GOLDEN=1 swift test --filter GoldenTests` writes what is printed now; read the difference before it is
/// committed.
@Suite(.timeLimit(minutes: 10)) struct TopologyGoldenTests {
    @Test(arguments: ["rules", "security", "edge", "guests", "outside", "peering", "pairs", "balancers"])
    func isPrinted(_ name: String) throws {
        let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")
        let input = directory.appendingPathComponent(name + ".yaml")
        let output = directory.appendingPathComponent(name + ".txt")
        let set = ManifestSet([ManifestSource(name: name + ".yaml", bytes: Array(try Data(contentsOf: input)))])
        let printed = set.located(Topology.resolve(set.model).diagnostics).map { $0.rendered() }.joined()
        if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil {
            try Data(printed.utf8).write(to: output)
        }
        #expect(try printed == String(contentsOf: output, encoding: .utf8))
    }
}
