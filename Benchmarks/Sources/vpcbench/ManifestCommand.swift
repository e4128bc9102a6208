import Glibc
import KernelModel
import VPCCompiler
import VPCManifest
import VPCTopology

/// Writes a manifest to standard output.
func generate(_ network: Network, _ format: Network.Format) {
    var pending: [UInt8] = []
    network.write(format) { piece in
        pending.append(contentsOf: piece.utf8)
        if pending.count >= 1 << 20 { flush(&pending) }
    }
    flush(&pending)
}

private func flush(_ bytes: inout [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
        let written = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
        if written <= 0 { fail("cannot write the manifest") }
        rest = rest.dropFirst(written)
    }
    bytes.removeAll(keepingCapacity: true)
}

/// From a file to the plan of a host that has nothing yet.
func measureManifest(_ path: String) {
    let set = timed("parse") { ManifestSet.load(paths: [path]) }
    let intent = Stages.intent(Stages.topology(set))
    let plan = Stages.plan("plan", intent, from: KernelSnapshot())
    note("changes", Double(plan.counts.total))
}
