import Foundation
import KernelModel
import KernelNames
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
        for (index, host) in topology.hosts.numbered {
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
            let scrambled = try #require(Topology.resolve(set.model, numbering: topology.scrambled).topology)
            let number = try #require(scrambled.hosts.firstIndex { $0.metadata.name == host.metadata.name })
            let same = text(of: scrambled.compiled(for: number, facts: facts).intent, scrambled)
            #expect(same == recorded, "\(name) compiled for \(host.metadata.name) with other numbers")
        }
    }
}

extension Topology {
    /// With what there is under other numbers, some of which nobody has: only good to take numbers from.
    fileprivate var scrambled: Topology {
        var result = Topology()
        result.hosts = hosts.scrambled
        result.vpcs = vpcs.scrambled
        result.subnets = subnets.scrambled
        result.routeTables = routeTables.scrambled
        result.interfaces = interfaces.scrambled
        result.securityGroups = securityGroups.scrambled
        result.acls = acls.scrambled
        return result
    }
}

extension Slots {
    fileprivate var scrambled: Slots {
        var result = Slots()
        for element in shuffled() { result.add(element) }
        // Of the two the first is found by its name.
        if let last = result.last { result.add(last) }
        return result
    }
}
