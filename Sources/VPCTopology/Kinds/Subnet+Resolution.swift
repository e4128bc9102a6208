internal import VPCModel

extension Subnet: ResolvableResource {
    static let resolution = [ResolutionStep(.subnets) { $0.resolveSubnets() }]

    static var elements: KeyPath<Topology, Slots<ResolvedSubnet>> { \.subnets }
}
