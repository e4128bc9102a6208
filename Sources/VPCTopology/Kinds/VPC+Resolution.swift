internal import VPCModel

extension VPC: ResolvableResource {
    static let resolution = [ResolutionStep(.hostsAndVPCs) { $0.resolveVPCs() }]

    static func name(at position: Int, in topology: Topology) -> String? { topology.vpcs[position].name }
}
