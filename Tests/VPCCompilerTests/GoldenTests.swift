import Foundation
import KernelModel
import TestSupport
import Testing
import VPCCompiler
import VPCManifest
import VPCTopology

/// Every folder of Golden is a case: `manifest.yaml` compiled for each of its hosts gives `HOST.txt`.
/// `UPDATE_GOLDEN=1 swift test --filter VPCCompilerTests` writes the files anew; read the difference.
@Suite(.timeLimit(minutes: 10)) struct GoldenTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
    static let cases = try! FileManager.default.contentsOfDirectory(atPath: folder.path()).sorted()

    @Test(arguments: cases) func intentIsAsRecorded(_ name: String) throws {
        let folder = Self.folder.appending(path: name)
        let set = ManifestSet.load(paths: [folder.appending(path: "manifest.yaml").path()])
        #expect(set.diagnostics.isEmpty)
        let topology = try #require(Topology.resolve(set.model).topology)
        try #require(!topology.hosts.isEmpty)
        for (index, host) in topology.hosts.enumerated() {
            let device = InterfaceName("u0")!
            let paths = topology.hosts.map(\.underlayAddress).sorted().map {
                Path(destination: $0, devices: [device], mtu: 1500)
            }
            let facts = HostFacts(underlayDevice: device, underlayMTU: 1500, paths: paths)
            let compiled = text(of: topology.compiled(for: index, facts: facts).intent, topology)
            let file = folder.appending(path: "\(host.metadata.name).txt")
            if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil {
                try compiled.write(to: file, atomically: true, encoding: .utf8)
            }
            let recorded = try String(contentsOf: file, encoding: .utf8)
            #expect(compiled == recorded, "\(name) compiled for \(host.metadata.name)")
        }
    }
}
