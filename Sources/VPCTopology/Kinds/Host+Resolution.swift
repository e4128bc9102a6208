internal import VPCModel

extension Host: ResolvableResource {
    static let resolution = [ResolutionStep(.hostsAndVPCs) { $0.resolveHosts() }]

    static func elements(of topology: Topology) -> Slots<Host> { topology.hosts }
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<Host>) -> Result) -> Result {
        body(&topology.hosts)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<Host>) -> Result
    ) -> Result {
        body(&change.hosts)
    }

    init(_ resolved: Host, in topology: Topology) { self = resolved }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        resolver.index.underlays[resolver.topology.hosts[number].underlayAddress] = number
        resolver.topology.makeRoomForHosts()
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let address = resolver.topology.hosts[number].underlayAddress
        if resolver.index.underlays[address] == number { resolver.index.underlays[address] = nil }
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.topology.interfacesOfHost[number].map { NumberedResource(kind: .networkInterface, number: $0) }
    }

    /// Devices of interfaces are no underlay's.
    func concerned(by new: Host, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        underlayDevice == new.underlayDevice ? [] : Self.referrers(to: number, resolver)
    }
}
