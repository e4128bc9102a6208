internal import VPCModel

extension Host: ResolvableResource {
    static let resolution = [ResolutionStep(.hostsAndVPCs) { $0.resolveHosts() }]

    static var elements: KeyPath<Topology, Slots<Host>> { \.hosts }
}
