internal import VPCModel

extension VPC: ResolvableResource {
    static let resolution = [ResolutionStep(.hostsAndVPCs) { $0.resolveVPCs() }]

    static var elements: KeyPath<Topology, Slots<ResolvedVPC>> { \.vpcs }
}
