public import VPCManifest
public import VPCModel
public import VPCTopology

/// Valid manifests, what they resolve to, and where each resource stands.
public struct ResolvedManifests: Sendable {
    public var set: ManifestSet
    public var topology: Topology

    public init(_ set: ManifestSet, _ topology: Topology) {
        self.set = set
        self.topology = topology
    }

    /// `blue.yaml:12:1: NetworkInterface/web1`.
    public func place(of resource: ResourceReference) -> String {
        guard let position = set.locate(resource) else { return resource.description }
        return "\(position): \(resource)"
    }
}
