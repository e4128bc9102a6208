package import VPCModel

extension Probe: ResolvableResource {
    static let resolution = [ResolutionStep(.expectations) { $0.resolveProbes() }]

    static func elements(of topology: Topology) -> Slots<ResolvedProbe> { topology.probes }
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<ResolvedProbe>) -> Result) -> Result {
        body(&topology.probes)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedProbe>) -> Result
    ) -> Result {
        body(&change.probes)
    }

    init(_ resolved: ResolvedProbe, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name), from: topology.interfaces[resolved.from].name,
            to: resolved.toInterface.map { .interface(topology.interfaces[$0].name) } ?? .address(resolved.toAddress),
            transport: resolved.transport, expect: resolved.expect)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let probe = resolver.topology.probes[number]
        resolver.index.probesOfInterface.insert(number, to: probe.from)
        guard let target = probe.toInterface else { return }
        resolver.index.probesOfInterface.insert(number, to: target)
        if let abroad = probe.placeAbroad(in: resolver.topology) {
            resolver.index.probesAbroad.insert(number, to: abroad)
        }
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let probe = resolver.topology.probes[number]
        resolver.index.probesOfInterface.remove(number, from: probe.from)
        guard let target = probe.toInterface else { return }
        resolver.index.probesOfInterface.remove(number, from: target)
        if let abroad = probe.placeAbroad(in: resolver.topology) {
            resolver.index.probesAbroad.remove(number, from: abroad)
        }
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] { [] }

    func concerned(by new: Probe, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? { [] }
}

extension ResolvedProbe {
    /// Where in the sender's VPC its address is, if it is meant for an interface of another VPC.
    fileprivate func placeAbroad(in topology: Topology) -> TopologyIndex.Place? {
        guard let toInterface else { return nil }
        let vpc = topology.interfaces[from].vpc
        return topology.interfaces[toInterface].vpc == vpc ? nil : TopologyIndex.Place(vpc: vpc, address: toAddress)
    }
}

extension ResolvedProbe: ResolvedResource {
    package static var kind: ResourceKind { .probe }
    @usableFromInline package var resourceName: String { name }

    @usableFromInline
    package func isBefore(_ other: ResolvedProbe, _ vpcs: Slots<ResolvedVPC>) -> Bool { name < other.name }

    package mutating func renumber(_ numbers: TopologyNumbers) {
        from = numbers.interfaces[from]
        toInterface = toInterface.map { numbers.interfaces[$0] }
    }
}
