internal import IPAddressing
internal import VPCModel

extension NATGateway: ResolvableResource {
    static let resolution = [
        ResolutionStep(.interfaces) { $0.resolveNATGateways() },
        ResolutionStep(.policiesOfSubnets) {
            $0.resolvePortForwards()
            $0.checkPortBlocks()
        },
    ]

    static func elements(of topology: Topology) -> Slots<ResolvedNATGateway> { topology.natGateways }
    static func elements<Result>(
        _ topology: inout Topology, _ body: (inout Slots<ResolvedNATGateway>) -> Result
    ) -> Result {
        body(&topology.natGateways)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedNATGateway>) -> Result
    ) -> Result {
        body(&change.natGateways)
    }

    init(_ resolved: ResolvedNATGateway, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name), subnet: topology.subnets[resolved.subnet].name,
            address: resolved.address, externalNetwork: topology.externalNetworks[resolved.network].name,
            pool: resolved.pool, portsPerInterface: resolved.portsPerInterface,
            portForwards: resolved.portForwards.map {
                PortForward(
                    address: $0.address, transport: $0.transport, port: $0.port,
                    interface: topology.interfaces[$0.interface].name, interfacePort: $0.interfacePort)
            }, limits: resolved.limits, logsTranslations: resolved.logsTranslations)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let gateway = resolver.topology.natGateways[number]
        // Who is there keeps it: of two of one there is a complaint.
        resolver.index.natGateways.set(gateway.key, number)
        resolver.index.natGatewayPlaces.set(gateway.place, number)
        let own = NumberedResource(kind: .natGateway, number: number)
        switch gateway.pool {
        case .addresses(let addresses):
            for address in addresses { resolver.index.publicAddresses.set(address, own) }
        case .shared(let shared): resolver.index.natGatewaysSharing.insert(number, to: shared.address)
        }
        if gateway.portsPerInterface != nil { resolver.index.natGatewaysWithBlocks.insert(number) }
        enterForwards(of: number, &resolver)
    }

    /// Those of its port forwards that are resolved by now.
    static func enterForwards(of number: Int, _ resolver: inout Resolver) {
        for forward in resolver.topology.natGateways[number].portForwards {
            resolver.index.natGatewaysOfInterface.insert(number, to: forward.interface)
        }
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let gateway = resolver.topology.natGateways[number]
        if resolver.index.natGateways[gateway.key] == number { resolver.index.natGateways[gateway.key] = nil }
        if resolver.index.natGatewayPlaces[gateway.place] == number {
            resolver.index.natGatewayPlaces[gateway.place] = nil
        }
        let own = NumberedResource(kind: .natGateway, number: number)
        for address in gateway.addresses where resolver.index.publicAddresses[address] == own {
            resolver.index.publicAddresses[address] = nil
        }
        for address in gateway.addresses { resolver.index.natGatewaysSharing.remove(number, from: address) }
        resolver.index.natGatewaysWithBlocks.remove(number)
        for forward in gateway.portForwards {
            resolver.index.natGatewaysOfInterface.remove(number, from: forward.interface)
        }
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.index.routeTablesOfNATGateway[number].map { NumberedResource(kind: .routeTable, number: $0) }
    }

    func concerned(by new: NATGateway, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        (subnet, address, externalNetwork) == (new.subnet, new.address, new.externalNetwork)
            ? [] : Self.referrers(to: number, resolver)
    }
}

extension PublicPool {
    fileprivate var sorted: PublicPool {
        if case .addresses(let addresses) = self { .addresses(addresses.sorted()) } else { self }
    }
}

extension ResolvedNATGateway {
    var place: TopologyIndex.Place { TopologyIndex.Place(vpc: vpc, address: address) }
}

extension Resolver {
    fileprivate mutating func resolveNATGateways() {
        for gateway in model.natGateways.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            let reference = gateway.reference
            let subnet = number(of: Subnet.self, gateway.subnet, for: reference, ["spec", "subnet"])
            let network = number(
                of: ExternalNetwork.self, gateway.externalNetwork, for: reference, ["spec", "externalNetwork"])
            guard let subnet, let network else {
                giveUp(gateway)
                continue
            }
            let key = GatewayKey(natGatewayName: gateway.metadata.name)
            var resolved = ResolvedNATGateway(
                name: gateway.metadata.name, vpc: topology.subnets[subnet].vpc, subnet: subnet, network: network,
                address: gateway.address, pool: gateway.pool.sorted, portsPerInterface: gateway.portsPerInterface,
                key: key)
            resolved.limits = gateway.limits
            resolved.logsTranslations = gateway.logsTranslations
            checkAddress(of: gateway, resolved)
            switch gateway.pool {
            case .addresses(let addresses): checkPublic(addresses, of: gateway, network)
            case .shared(let shared): check(shared, of: gateway, network)
            }
            check(key, of: reference)
            NATGateway.enter(place(NATGateway.self, gateway.metadata.name, resolved), &self)
        }
    }

    private mutating func checkAddress(of gateway: NATGateway, _ resolved: ResolvedNATGateway) {
        let (address, subnet) = (gateway.address, topology.subnets[resolved.subnet])
        let (reference, path): (ResourceReference, FieldPath) = (gateway.reference, ["spec", "address"])
        let related = Diagnostic.Related(
            "the subnet is here", at: ResourceReference(.subnet, subnet.name), ["spec", "cidr"])
        if !subnet.cidr.hasPlace(for: address) || address == subnet.gateway {
            report(
                subnet.cidr.contains(address) ? "address-not-usable" : "address-outside-subnet",
                "\(address) is no address that something in subnet \(subnet.name) (\(subnet.cidr)) can have",
                hint: "choose one of \(subnet.cidr.firstUsable) to \(subnet.cidr.lastUsable), except the gateway"
                    + " \(subnet.gateway)", at: reference, path, related: related)
        }
        if let other = topology.interface(at: address, inVPC: resolved.vpc) {
            report(
                "duplicate-address", "the address \(address) is that of interface \(topology.interfaces[other].name)",
                hint: Self.uniqueAddresses, at: reference, path,
                related: Diagnostic.Related(
                    "the interface is here", at: ResourceReference(.networkInterface, topology.interfaces[other].name),
                    ["spec"]))
        }
        // Balancers come later, and say so where all is resolved.
        if index.balancerPlaces[resolved.place] != nil { isInDoubt = true }
        if let other = index.natGatewayPlaces[resolved.place] {
            reportGateway(address, other, at: reference, path)
        }
    }

    /// - Parameter number: Of the NAT gateway that has the address.
    mutating func reportGateway(_ address: IPAddress, _ number: Int, at resource: ResourceReference, _ path: FieldPath)
    {
        let other = topology.natGateways[number].name
        report(
            "duplicate-address", "the address \(address) is that of NAT gateway \(other)", hint: Self.uniqueAddresses,
            at: resource, path,
            related: Diagnostic.Related(
                "the NAT gateway is here", at: ResourceReference(.natGateway, other), ["spec", "address"]))
    }

    private mutating func checkPublic(_ addresses: [IPAddress], of gateway: NATGateway, _ network: Int) {
        if addresses.count > NATGateway.maximumAddresses {
            report(
                "too-many-addresses",
                "it has \(addresses.count) public addresses, more than \(NATGateway.maximumAddresses)",
                hint: "give the subnets of the VPC several NAT gateways", at: gateway.reference,
                ["spec", "addresses", .index(NATGateway.maximumAddresses)])
        }
        for (position, address) in addresses.enumerated() {
            let path: FieldPath = ["spec", "addresses", .index(position)]
            checkPublic(address, of: gateway.reference, network, path)
            if addresses[..<position].contains(address) {
                report(
                    "duplicate-public-address", "\(address) is named twice", hint: "remove one of them",
                    at: gateway.reference, path)
            }
        }
    }

    /// Whether a public address is one of the network's that nobody else uses.
    /// - Parameter isShared: Whether it is for several NAT gateways.
    mutating func checkPublic(
        _ address: IPAddress, of resource: ResourceReference, _ network: Int, _ path: FieldPath, isShared: Bool = false
    ) {
        let network = topology.externalNetworks[network]
        let pools = Diagnostic.Related(
            "the network's pools are here", at: ResourceReference(.externalNetwork, network.name), ["spec", "pools"])
        guard network.pools.contains(where: { $0.contains(address) }) else {
            report(
                "address-outside-pools", "\(address) is in none of the pools of ExternalNetwork \(network.name)",
                hint: "choose one of \(listed(network.pools.map(\.description)))", at: resource, path, related: pools)
            return
        }
        if address == network.nextHop || address == network.uplinkAddress {
            report(
                "duplicate-public-address",
                "\(address) is the \(address == network.nextHop ? "provider's router" : "address of the uplink")",
                hint: "choose another one of the pools", at: resource, path, related: pools)
        }
        let sharing = isShared ? nil : index.natGatewaysSharing[address].min()
        guard let user = index.publicAddresses[address] ?? sharing.map({ .init(kind: .natGateway, number: $0) }) else {
            return
        }
        let other = ResourceReference(user.kind, topology.name(of: user.kind, at: user.number) ?? "")
        report(
            "duplicate-public-address", "\(address) is in use by \(other)", hint: "a public address is used once",
            at: resource, path, related: Diagnostic.Related("it is here", at: other, ["spec"]))
    }

    /// Whether the ports of a shared address are whole blocks that nobody else has.
    private mutating func check(_ shared: PublicPorts, of gateway: NATGateway, _ network: Int) {
        checkPublic(shared.address, of: gateway.reference, network, ["spec", "shared", "address"], isShared: true)
        let path: FieldPath = ["spec", "shared", "ports"]
        let (first, next) = (Int(shared.ports.lowerBound), Int(shared.ports.upperBound) + 1)
        let (block, range) = (PublicPorts.block, "\(shared.ports.lowerBound)-\(shared.ports.upperBound)")
        if first < block {
            report(
                "shared-ports", "the ports \(range) begin below \(block)",
                hint: "ports below are for services: begin with \(block)", at: gateway.reference, path)
        } else if first % block != 0 || next % block != 0 {
            let fitting = first / block * block
            let end = (next + block - 1) / block * block - 1
            report(
                "shared-ports", "the ports \(range) are no whole blocks of \(block)", hint: "write \(fitting)-\(end)",
                at: gateway.reference, path)
        }
        for number in index.natGatewaysSharing[shared.address].sorted(by: { gatewayName($0) < gatewayName($1) }) {
            guard case .shared(let other) = topology.natGateways[number].pool, other.ports.overlaps(shared.ports)
            else { continue }
            report(
                "shared-ports",
                "the ports \(range) of \(shared.address) overlap \(other.ports.lowerBound)-\(other.ports.upperBound) of"
                    + " NAT gateway \(gatewayName(number))", hint: "give each gateway ports of its own",
                at: gateway.reference, path,
                related: Diagnostic.Related(
                    "the other ones are here", at: ResourceReference(.natGateway, gatewayName(number)), path))
        }
    }

    private func gatewayName(_ number: Int) -> String { topology.natGateways[number].name }

    private mutating func check(_ key: GatewayKey, of gateway: ResourceReference) {
        let other =
            index.natGateways[key].map { ResourceReference(.natGateway, topology.natGateways[$0].name) }
            ?? index.gateways[key].map { ResourceReference(.networkInterface, topology.interfaces[$0].name) }
        if let other { reportCollision(of: key, gateway, other) }
    }

    /// Keys are hashes of names: two that are equal cannot be told apart on the wire.
    mutating func reportCollision(of key: GatewayKey, _ resource: ResourceReference, _ other: ResourceReference) {
        report(
            "gateway-key-collision", "it has the key \(key), as \(other) has",
            hint: "rename one of them: the key is a hash of the name", at: resource, ["metadata", "name"],
            related: Diagnostic.Related("the other one is here", at: other, ["metadata", "name"]))
    }
}
