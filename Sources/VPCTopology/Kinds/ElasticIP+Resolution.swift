internal import IPAddressing
internal import VPCModel

extension ElasticIP: ResolvableResource {
    static let resolution = [ResolutionStep(.policiesOfSubnets) { $0.resolveElasticIPs() }]

    static func elements(of topology: Topology) -> Slots<ResolvedElasticIP> { topology.elasticIPs }
    static func elements<Result>(
        _ topology: inout Topology, _ body: (inout Slots<ResolvedElasticIP>) -> Result
    ) -> Result {
        body(&topology.elasticIPs)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedElasticIP>) -> Result
    ) -> Result {
        body(&change.elasticIPs)
    }

    init(_ resolved: ResolvedElasticIP, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name),
            externalNetwork: topology.externalNetworks[resolved.network].name,
            address: resolved.hasChosenAddress ? nil : resolved.address,
            interface: resolved.interface.map { topology.interfaces[$0].name }, mode: resolved.mode,
            bandwidth: resolved.bandwidth)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let own = resolver.topology.elasticIPs[number]
        resolver.index.publicAddresses.set(own.address, NumberedResource(kind: .elasticIP, number: number))
        guard let interface = own.interface else { return }
        resolver.index.elasticIPsOfInterface.insert(number, to: interface)
        if let passed = own.passedThrough { resolver.give(passed, to: interface) }
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let own = resolver.topology.elasticIPs[number]
        if resolver.index.publicAddresses[own.address] == NumberedResource(kind: .elasticIP, number: number) {
            resolver.index.publicAddresses[own.address] = nil
        }
        guard let interface = own.interface else { return }
        resolver.index.elasticIPsOfInterface.remove(number, from: interface)
        if let passed = own.passedThrough { resolver.take(passed, from: interface) }
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] { [] }

    func concerned(by new: ElasticIP, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        // That it leads to an instance is the balancer's word.
        let interface = resolver.topology.elasticIPs[number].interface.map { resolver.topology.interfaces[$0].name }
        return interface.map { BalancerInstance.owner(ofInterface: $0) == nil } ?? true ? [] : nil
    }
}

extension ResolvedElasticIP {
    /// What the guest has itself; nil where the address is translated, or not in use.
    var passedThrough: FurtherDestination? {
        guard mode == .passThrough, gateway != nil else { return nil }
        return FurtherDestination(IPPrefix(address), isDelegated: false, isPublic: true)
    }
}

extension Resolver {
    fileprivate mutating func resolveElasticIPs() {
        var choice = PublicAddressChoice(model.elasticIPs)
        for elastic in model.elasticIPs.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            let reference = elastic.reference
            let network = number(
                of: ExternalNetwork.self, elastic.externalNetwork, for: reference, ["spec", "externalNetwork"])
            let interface = elastic.interface.flatMap {
                number(of: NetworkInterface.self, $0, for: reference, ["spec", "interface"])
            }
            guard let network, elastic.interface == nil || interface != nil else {
                giveUp(elastic)
                continue
            }
            guard let address = elastic.address ?? choose(for: elastic, network, &choice) else {
                giveUp(elastic)
                continue
            }
            checkPublic(address, of: reference, network, ["spec", "address"])
            var resolved = ResolvedElasticIP(
                name: elastic.metadata.name, network: network, address: address, interface: interface,
                gateway: nil, mode: elastic.mode)
            resolved.bandwidth = elastic.bandwidth
            resolved.hasChosenAddress = elastic.address == nil
            if let interface = resolved.interface {
                resolved.gateway = gateway(of: elastic, address, interface, network)
                check(elastic, address, interface, network)
            }
            ElasticIP.enter(place(ElasticIP.self, elastic.metadata.name, resolved), &self)
        }
    }

    /// The NAT gateway by which an interface's packets leave for a network; where there is none, nobody is reached by the
    /// address: an answer would leave elsewhere.
    private mutating func gateway(
        of elastic: ElasticIP, _ address: IPAddress, _ interface: Int, _ network: Int
    ) -> Int? {
        let subnet = topology.subnets[topology.interfaces[interface].subnet]
        if let gateway = topology.defaultNATGateway(of: interface), topology.natGateways[gateway].network == network {
            return gateway
        }
        warn(
            "elastic-ip-without-way",
            "nobody is reached by \(address): what \(topology.interfaces[interface].name) sends does not leave by"
                + " external network \(elastic.externalNetwork)",
            hint:
                "give the subnet \(subnet.name) a route table with a route to 0.0.0.0/0 whose next hop is a NAT gateway"
                + " of that network", at: elastic.reference, ["spec", "interface"],
            related: Diagnostic.Related(
                "the subnet is here", at: ResourceReference(.subnet, subnet.name), ["spec"]))
        return nil
    }

    private mutating func check(_ elastic: ElasticIP, _ address: IPAddress, _ interface: Int, _ network: Int) {
        if let first = index.elasticIPsOfInterface[interface].min() {
            let other = ResourceReference(.elasticIP, topology.elasticIPs[first].name)
            report(
                "duplicate-elastic-ip", "\(topology.interfaces[interface].name) has another elastic IP",
                hint: "an interface has one: by which would its packets leave?", at: elastic.reference,
                ["spec", "interface"], related: Diagnostic.Related("it is here", at: other, ["spec", "interface"]))
        }
        let vpc = topology.vpcs[topology.interfaces[interface].vpc]
        if elastic.mode == .passThrough, let cidr = vpc.cidrs.block(containing: address) {
            report(
                "elastic-ip-inside-vpc", "\(address) is inside \(cidr) of VPC \(vpc.name) itself",
                hint: "use mode nat", at: elastic.reference, ["spec", "address"],
                related: Diagnostic.Related(
                    "the VPC's blocks are here", at: ResourceReference(.vpc, vpc.name), ["spec", "cidrs"]))
        }
        if elastic.mode == .stateless {
            if let gateway = index.natGatewaysOfInterface[interface].min() {
                reportStateless(interface, gateway, at: elastic.reference, ["spec", "mode"])
            }
            checkStateless(elastic, network)
        }
    }

    private mutating func checkStateless(_ elastic: ElasticIP, _ network: Int) {
        if topology.externalNetworks[network].uplinks.contains(where: { $0.mode == .ipvlan }) {
            // An ipvlan gets what is for its own addresses alone, and what is for those the host takes for itself.
            report(
                "not-supported", "mode stateless does not go with an uplink of mode ipvlan",
                hint: "use mode nat or passThrough, or macvlan for the uplink", at: elastic.reference,
                ["spec", "mode"],
                related: Diagnostic.Related(
                    "the uplink is here", at: ResourceReference(.externalNetwork, elastic.externalNetwork),
                    ["spec", "gateways"]))
        }
        warn(
            "stateless-errors",
            "ICMP errors about its packets are not translated, so TCP does not find out about paths with a smaller MTU",
            hint: "use mode nat, or give the interface an MTU that fits every path", at: elastic.reference,
            ["spec", "mode"])
    }

    // MARK: Addresses that guests have themselves

    fileprivate mutating func give(_ address: FurtherDestination, to number: Int) {
        if !topology.interfaces[number].further.contains(address) {
            note(number)
            topology.interfaces[number].further.append(address)
            topology.interfaces[number].further.sort { $0.prefix < $1.prefix }
        }
        _ = topology.enter(Destination(address.prefix, of: number))
    }

    fileprivate mutating func take(_ address: FurtherDestination, from number: Int) {
        guard topology.interfaces[number].further.contains(address) else { return }
        note(number)
        topology.interfaces[number].further.removeAll { $0 == address }
        let vpc = topology.interfaces[number].vpc
        topology.furtherOfVPC[vpc].removeAll { $0.prefix == address.prefix && $0.interface == number }
    }

    /// What an interface was before.
    private mutating func note(_ number: Int) {
        let former = topology.interfaces[number]
        NetworkInterface.record(&change) { part in
            if part.changed[number] == nil, part.removed[number] == nil, !part.added.contains(number) {
                part.changed[number] = former
            }
        }
    }
}
