internal import VPCModel

extension Subnet: ResolvableResource {
    static let resolution = [ResolutionStep(.subnets) { $0.resolveSubnets() }]

    static func name(at position: Int, in topology: Topology) -> String? { topology.subnets[position].name }
}
