internal import VPCModel

extension Probe: ResolvableResource {
    static let resolution = [ResolutionStep(.expectations) { $0.resolveProbes() }]

    static var elements: KeyPath<Topology, Slots<ResolvedProbe>> { \.probes }
}
