internal import VPCModel

extension NetworkInterface: ResolvableResource {
    static let resolution = [ResolutionStep(.interfaces) { $0.resolveInterfaces() }]

    static var elements: KeyPath<Topology, Slots<ResolvedInterface>> { \.interfaces }
}
