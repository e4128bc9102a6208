internal import VPCModel

extension NetworkACL: ResolvableResource {
    static let resolution = [ResolutionStep(.policiesOfSubnets) { $0.resolveACLs() }]

    static var elements: KeyPath<Topology, Slots<ResolvedACL>> { \.acls }
}
