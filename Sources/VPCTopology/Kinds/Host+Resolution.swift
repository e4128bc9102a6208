internal import VPCModel

extension Host: ResolvableResource {
    static let resolution = [ResolutionStep(.hostsAndVPCs) { $0.resolveHosts() }]

    static func name(at position: Int, in topology: Topology) -> String? { topology.hosts[position].metadata.name }
}
