internal import VPCModel

extension NetworkACL: ResolvableResource {
    static let resolution = [ResolutionStep(.policiesOfSubnets) { $0.resolveACLs() }]

    static func name(at position: Int, in topology: Topology) -> String? { topology.acls[position].name }
}
