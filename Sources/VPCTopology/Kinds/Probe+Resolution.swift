internal import IPAddressing
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

    static func enter(_ number: Int, _ resolver: inout Resolver) { set(number, isThere: true, &resolver) }

    static func leave(_ number: Int, _ resolver: inout Resolver) { set(number, isThere: false, &resolver) }

    private static func set(_ number: Int, isThere: Bool, _ resolver: inout Resolver) {
        let probe = resolver.topology.probes[number]
        resolver.index.probesOfInterface.set(number, to: probe.from, isThere)
        guard let target = probe.toInterface else { return }
        resolver.index.probesOfInterface.set(number, to: target, isThere)
        if let abroad = probe.placeAbroad(in: resolver.topology) {
            resolver.index.probesAbroad.set(number, to: abroad, isThere)
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

extension Resolver {
    fileprivate mutating func resolveProbes() {
        for probe in model.probes.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            let reference = probe.reference
            let from = number(of: NetworkInterface.self, probe.from, for: reference, ["spec", "from"])
            var target: Int?
            let address: IPAddress
            switch probe.to {
            case .address(let literal):
                address = literal
            case .interface(let name):
                target = number(of: NetworkInterface.self, name, for: reference, ["spec", "to"])
                guard let target else { continue }
                address = topology.interfaces[target].address
            }
            guard let from else { continue }
            if let target { check(probe, from: from, to: target) }
            let resolved = ResolvedProbe(
                name: probe.metadata.name, from: from, toInterface: target, toAddress: address,
                transport: probe.transport, expect: probe.expect)
            Probe.enter(place(Probe.self, probe.metadata.name, resolved), &self)
        }
    }

    private mutating func check(_ probe: Probe, from: Int, to: Int) {
        guard from != to else {
            report(
                "probe-to-itself", "it sends from \(probe.from) to \(probe.from)",
                hint: "name two different interfaces",
                at: probe.reference, ["spec", "to"])
            return
        }
        let (sender, receiver) = (topology.interfaces[from], topology.interfaces[to])
        guard sender.vpc != receiver.vpc else { return }
        if probe.expect == .allow {
            report(
                "probe-other-vpc",
                "\(receiver.name) is in VPC \(topology.vpcs[receiver.vpc].name), \(sender.name) in"
                    + " \(topology.vpcs[sender.vpc].name): VPCs do not reach each other",
                hint: "write expect: deny, or probe an interface of the same VPC", at: probe.reference,
                ["spec", "expect"])
        } else if let namesake = interface(at: receiver.address, inVPC: sender.vpc) {
            warn(
                "probe-ambiguous",
                "\(receiver.address) of \(receiver.name) is, in the sender's VPC, the address of \(namesake.name)",
                hint: "that interface will answer; choose a target whose address the sender's VPC does not have",
                at: probe.reference, ["spec", "to"])
        }
    }

    private func interface(at address: IPAddress, inVPC vpc: Int) -> ResolvedInterface? {
        topology.interface(at: address, inVPC: vpc).map { topology.interfaces[$0] }
    }
}

extension ResolvedProbe: ResolvedResource, NamedAlone {
    package static var kind: ResourceKind { .probe }

    package mutating func renumber(_ numbers: TopologyNumbers) {
        from = numbers.interfaces[from]
        toInterface = toInterface.map { numbers.interfaces[$0] }
    }
}
