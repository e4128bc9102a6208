internal import VPCModel

extension NetworkInterface: ResolvableResource {
    static let resolution = [ResolutionStep(.interfaces) { $0.resolveInterfaces() }]

    static func name(at position: Int, in topology: Topology) -> String? { topology.interfaces[position].name }
}
