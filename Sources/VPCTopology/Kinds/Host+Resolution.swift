internal import IPAddressing
public import VPCModel

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
            + resolver.topology.externalNetworks.numbered.filter { network in
                network.element.uplinks.contains { $0.host == number }
            }.map { NumberedResource(kind: .externalNetwork, number: $0.number) }
    }

    /// Devices of interfaces are no underlay's.
    func concerned(by new: Host, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        underlayDevice == new.underlayDevice ? [] : Self.referrers(to: number, resolver)
    }
}

extension Resolver {
    fileprivate mutating func resolveHosts() {
        let hosts = model.hosts
        var numbers = [Int](repeating: -1, count: hosts.count)
        for index in hosts.indices.sorted(by: { hosts[$0].metadata.name < hosts[$1].metadata.name }) {
            numbers[index] = place(Host.self, hosts[index].metadata.name, hosts[index])
        }
        topology.makeRoomForHosts()
        for (host, number) in zip(hosts, numbers) {
            let address = host.underlayAddress
            let path: FieldPath = ["spec", "underlay", "address"]
            if let (_, use) = IPPrefix.reserved.first(where: { $0.block.contains(address) }) {
                report(
                    "underlay-address", "\(address) is a \(use) address",
                    hint: "give an address that other hosts can reach",
                    at: host.reference, path)
            }
            if let first = index.underlays[address] {
                report(
                    "duplicate-underlay-address", "the underlay address \(address) is that of another host",
                    hint: "two hosts with one address would receive each other's packets", at: host.reference, path,
                    related: Diagnostic.Related("the other host is here", at: topology.hosts[first].reference, path))
            } else {
                Host.enter(number, &self)
            }
            checkEndpoints(against: host)
        }
    }
}

extension Resolver {
    /// Of networks that were there before the host.
    private mutating func checkEndpoints(against host: Host) {
        let address = host.underlayAddress
        guard let network = topology.externalNetworks.first(where: { $0.pair?.endpoint == address }) else { return }
        report(
            "endpoint-address", "the underlay address \(address) is the endpoint of ExternalNetwork \(network.name)",
            hint: "whoever is active of its gateways has that address: choose another one", at: host.reference,
            ["spec", "underlay", "address"])
    }
}

extension Host: TopologyElement {
    @usableFromInline package var resourceName: String { metadata.name }

    @usableFromInline package func isBefore(_ other: Host, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        metadata.name < other.metadata.name
    }
}
