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
        let from: Sender =
            switch resolved.from {
            case .interface(let number): .interface(topology.interfaces[number].name)
            case .external(let address): .external(address)
            }
        let address = resolved.toAddress
        self.init(
            metadata: Metadata(name: resolved.name), from: from,
            to: resolved.toInterface.map { .interface(topology.interfaces[$0].name) }
                ?? (resolved.isToExternal ? .external(address) : .address(address)),
            transport: resolved.transport, expect: resolved.expect)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) { set(number, isThere: true, &resolver) }

    static func leave(_ number: Int, _ resolver: inout Resolver) { set(number, isThere: false, &resolver) }

    private static func set(_ number: Int, isThere: Bool, _ resolver: inout Resolver) {
        let probe = resolver.topology.probes[number]
        guard let from = probe.from.interface else { return }
        resolver.index.probesOfInterface.set(number, to: from, isThere)
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
        guard let toInterface, let from = from.interface else { return nil }
        let vpc = topology.interfaces[from].vpc
        return topology.interfaces[toInterface].vpc == vpc ? nil : TopologyIndex.Place(vpc: vpc, address: toAddress)
    }
}

extension Resolver {
    fileprivate mutating func resolveProbes() {
        for probe in model.probes.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            switch probe.from {
            case .interface(let name): resolve(probe, fromInterface: name)
            case .external(let source): resolve(probe, fromOutside: source)
            }
        }
    }

    private mutating func resolve(_ probe: Probe, fromInterface name: String) {
        let reference = probe.reference
        let from = number(of: NetworkInterface.self, name, for: reference, ["spec", "from"])
        var (target, isToExternal) = (Int?.none, false)
        let address: IPAddress
        switch probe.to {
        case .address(let literal): address = literal
        case .external(let literal): (address, isToExternal) = (literal, true)
        case .interface(let name):
            target = number(of: NetworkInterface.self, name, for: reference, ["spec", "to"])
            guard let target else { return }
            address = topology.interfaces[target].address
        }
        guard let from else { return }
        if let target { check(probe, from: from, to: target) }
        enter(probe, .interface(from), target, address, isToExternal)
    }

    private mutating func enter(
        _ probe: Probe, _ from: ResolvedProbe.Sender, _ target: Int?, _ address: IPAddress, _ isToExternal: Bool
    ) {
        let resolved = ResolvedProbe(
            name: probe.metadata.name, from: from, toInterface: target, toAddress: address, isToExternal: isToExternal,
            transport: probe.transport, expect: probe.expect)
        Probe.enter(place(Probe.self, probe.metadata.name, resolved), &self)
    }

    private mutating func resolve(_ probe: Probe, fromOutside source: IPAddress) {
        let path: FieldPath = ["spec", "to"]
        switch probe.to {
        case .interface(let name):
            // A name that does not exist is the first thing to say.
            guard number(of: NetworkInterface.self, name, for: probe.reference, path) != nil else { return }
            report(
                "probe-from-outside", "from outside nobody reaches \(name) but by a public address",
                hint: "name the address of its ElasticIP", at: probe.reference, path)
        case .external(let address):
            report(
                "probe-from-outside", "\(address) is outside as well", hint: "name a public address of a pool",
                at: probe.reference, path)
        case .address(let address):
            guard topology.network(ofPublic: address) != nil else {
                report(
                    "probe-from-outside",
                    "\(address) is in no pool of an ExternalNetwork: nobody outside sends what is for it here",
                    hint: "name a public address of a pool, such as that of an ElasticIP", at: probe.reference, path)
                return
            }
            enter(probe, .external(source), nil, address, false)
        }
    }

    private mutating func check(_ probe: Probe, from: Int, to: Int) {
        guard from != to else {
            let name = topology.interfaces[from].name
            report(
                "probe-to-itself", "it sends from \(name) to \(name)",
                hint: "name two different interfaces",
                at: probe.reference, ["spec", "to"])
            return
        }
        let (sender, receiver) = (topology.interfaces[from], topology.interfaces[to])
        guard sender.vpc != receiver.vpc, !topology.arePeers(sender.vpc, receiver.vpc) else { return }
        if probe.expect == .allow {
            report(
                "probe-other-vpc",
                "\(receiver.name) is in VPC \(topology.vpcs[receiver.vpc].name), \(sender.name) in"
                    + " \(topology.vpcs[sender.vpc].name): VPCs without a peering do not reach each other",
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
        if case .interface(let number) = from { from = .interface(numbers.interfaces[number]) }
        toInterface = toInterface.map { numbers.interfaces[$0] }
    }
}
