internal import VPCModel

extension SecurityGroup: ResolvableResource {
    static let resolution = [
        ResolutionStep(.policiesOfInterfaces) { $0.resolveSecurityGroups() },
        ResolutionStep(.sizes) { $0.checkPolicySizes() },
    ]

    static var elements: KeyPath<Topology, Slots<ResolvedSecurityGroup>> { \.securityGroups }
}
