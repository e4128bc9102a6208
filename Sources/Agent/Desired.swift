import VPCManifest
import VPCModel
import VPCTopology

/// What the host shall be. Without its manifests: they are on the disk, and of a hundred thousand interfaces they take half
/// of the memory.
struct Desired {
    var revision: Revision
    var resourceCount: Int
    var topology: Topology
    /// Of the topology.
    var index: TopologyIndex
    /// A number of `topology.hosts`.
    var host: Int

    var hostName: String { topology.hosts[host].metadata.name }
}
