internal import VPCModel

extension Probe: ResolvableResource {
    static let resolution = [ResolutionStep(.expectations) { $0.resolveProbes() }]

    static func name(at position: Int, in topology: Topology) -> String? { nil }
}
