internal import VPCModel

extension SecurityGroup: ResolvableResource {
    static let resolution = [
        ResolutionStep(.policiesOfInterfaces) { $0.resolveSecurityGroups() },
        ResolutionStep(.sizes) { $0.checkPolicySizes() },
    ]

    static func name(at position: Int, in topology: Topology) -> String? { topology.securityGroups[position].name }
}
