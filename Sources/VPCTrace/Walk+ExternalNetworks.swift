import IPAddressing
import VPCCompiler
import VPCModel
import VPCTopology

/// What leaves for external networks by NAT gateways, and what comes from there. What a gateway makes of a packet is in
/// `Walk+Translations.swift`.
extension Walk {
    // MARK: From a VPC

    /// By a NAT gateway.
    mutating func followOut(
        by number: Int, _ route: ResolvedRoute, in context: RoutingContext, _ path: FieldPath, from port: Int?,
        _ way: inout Way
    ) -> TraceVerdict {
        let gateway = topology.natGateways[number]
        let host = topology.host(of: gateway)
        let (name, resource) = (topology.name(of: context), topology.resource(of: context))
        let isItself = way.packet.destination == gateway.address
        way.add(
            .route, .allow,
            isItself
                ? "\(name): \(gateway.address) is NAT gateway \(gateway.name) itself, on \(hostName(host))"
                : "\(name): \(route.destination) goes to NAT gateway \(gateway.name) on \(place(ofNetwork: gateway.network))",
            isItself ? reference(gateway) : resource, isItself ? ["spec", "address"] : path)
        if let port, !judge(from: port, to: nil, &way) { return .dropped }
        enterTunnel(toGatewayOf: gateway, on: host, &way)
        if isItself { return ask(gateway, host, &way) }
        return passOut(by: number, &way)
    }

    /// To the gateway's own address.
    private func ask(_ gateway: ResolvedNATGateway, _ host: Int, _ way: inout Way) -> TraceVerdict {
        if way.packet.content == Packet.echoRequest {
            way.add(.host, .allow, "NAT gateway \(gateway.name) answers pings itself", reference(gateway))
            return .answeredByHost(host)
        }
        way.add(
            .host, .deny, "of what is for itself NAT gateway \(gateway.name) takes pings only", reference(gateway),
            counter: RuleCounter.toNATGateway)
        return .dropped
    }

    private func enterTunnel(toGatewayOf gateway: ResolvedNATGateway, on host: Int, _ way: inout Way) {
        way.add(
            .tunnel, .note,
            "GRE from \(topology.hosts[way.host].underlayAddress) to \(topology.hosts[host].underlayAddress)"
                + " (\(hostName(host))), key \(gateway.key) (NAT gateway \(gateway.name))",
            ResourceReference(.host, hostName(host)))
        way.host = host
    }

    /// By the uplink. The provider sends back what is for the addresses that it has given.
    mutating func leave(for number: Int, _ way: inout Way) -> TraceVerdict {
        let network = topology.externalNetworks[number]
        let destination = way.packet.destination
        way.add(
            .delivery, .allow, "sent to \(network.nextHop), the router of external network \(network.name)",
            ResourceReference(.externalNetwork, network.name), ["spec", "nextHop"])
        guard network.gives(destination), let pool = network.pools.first(where: { $0.contains(destination) }),
            destination != network.uplinkAddress
        else { return .sentOut(number) }
        way.add(
            .delivery, .allow, "\(destination) is in \(pool), the network's own: the router sends it back",
            ResourceReference(.externalNetwork, network.name), ["spec", "pools"])
        return takeIn(from: number, &way)
    }

    // MARK: From outside

    mutating func comeIn(from number: Int, _ way: inout Way) -> TraceVerdict {
        way.host = topology.host(ofNetwork: number)
        let (name, isPair) = (topology.externalNetworks[number].name, topology.externalNetworks[number].pair != nil)
        way.add(
            .interface, .note,
            "external network \(name) sends \(way.packet)\(isPair ? " to \(place(ofNetwork: number))" : "")",
            ResourceReference(.externalNetwork, name))
        return takeIn(from: number, &way)
    }

    /// At the uplink: whose the address is.
    private mutating func takeIn(from number: Int, _ way: inout Way) -> TraceVerdict {
        let network = topology.externalNetworks[number]
        let destination = way.packet.destination
        if destination == network.uplinkAddress { return ask(uplinkOf: network, &way) }
        if let elastic = topology.elasticIPs.first(where: { $0.address == destination }) {
            return take(for: elastic, &way)
        }
        let owners = topology.natGateways.indices.filter { topology.natGateways[$0].addresses.contains(destination) }
        if let gateway = owner(of: way, among: owners) {
            return isFromInside(of: gateway, &way) ? .dropped : passIn(by: gateway, &way)
        }
        way.add(
            .route, .deny, "nobody has \(destination) of external network \(network.name)",
            ResourceReference(.externalNetwork, network.name), ["spec", "pools"])
        return .dropped
    }

    /// Whether it pretends to come from the VPC that it is for.
    private func isFromInside(of number: Int, _ way: inout Way) -> Bool {
        let (gateway, source) = (topology.natGateways[number], way.packet.source)
        guard let block = topology.insideBlocks(ofVPC: gateway.vpc).first(where: { $0.contains(source) }) else {
            return false
        }
        let name = topology.vpcs[gateway.vpc].name
        way.add(
            .sourceCheck, .deny, "\(source) is in \(block) of VPC \(name) or of a peer: nobody outside has it",
            ResourceReference(.vpc, name), ["spec", "cidrs"], counter: RuleCounter.insideSource)
        return true
    }

    private func ask(uplinkOf network: ResolvedExternalNetwork, _ way: inout Way) -> TraceVerdict {
        let resource = ResourceReference(.externalNetwork, network.name)
        if way.packet.content == Packet.echoRequest {
            way.add(
                .host, .allow, "\(network.uplinkAddress) is the uplink's own: it answers pings", resource,
                ["spec", "uplinkAddress"])
            return .answeredByHost(way.host)
        }
        way.add(
            .host, .deny, "\(network.uplinkAddress) is the uplink's own: of what is for it, it takes pings only",
            resource, ["spec", "uplinkAddress"])
        return .dropped
    }

    /// Of the uplink's own address. Where nothing is stateless the host has no way beyond the segment.
    mutating func answer(to number: Int, _ way: inout Way) -> TraceVerdict {
        let network = topology.externalNetworks[number]
        let hasDefault = topology.elasticIPs.contains {
            $0.network == number && $0.mode == .stateless && $0.gateway != nil
        }
        guard hasDefault || network.segment.contains(way.packet.destination) else {
            way.add(
                .route, .deny,
                "\(way.packet.destination) is not in \(network.segment), with which the uplink is connected: pings from"
                    + " elsewhere are not answered",
                ResourceReference(.externalNetwork, network.name), ["spec", "uplinkAddress"])
            return .unreachable
        }
        return leave(for: number, &way)
    }

    private mutating func take(for elastic: ResolvedElasticIP, _ way: inout Way) -> TraceVerdict {
        let resource = reference(elastic)
        guard let number = elastic.interface else {
            way.add(.route, .deny, "elastic IP \(elastic.name) is reserved: no interface has it", resource, ["spec"])
            return .dropped
        }
        let interface = topology.interfaces[number]
        guard let gateway = elastic.gateway else {
            way.add(
                .route, .deny,
                "elastic IP \(elastic.name): what \(interface.name) sends does not leave by this network",
                resource, ["spec", "interface"])
            return .dropped
        }
        if isFromInside(of: gateway, &way) { return .dropped }
        switch elastic.mode {
        case .nat: return passIn(by: gateway, &way)
        case .passThrough:
            way.add(
                .translation, .note,
                "\(elastic.address) is \(interface.name)'s, by elastic IP \(elastic.name): it stays",
                resource, ["spec", "mode"])
        case .stateless:
            var packet = way.packet
            packet.destination = interface.address
            way.translate(
                to: packet,
                "\(elastic.address) becomes \(interface.address) of \(interface.name), elastic IP"
                    + " \(elastic.name)", resource, ["spec", "address"])
        }
        return arrive(at: number, &way)
    }

    /// Out of the VRF of a gateway, to an interface of the VPC: always by the tunnel.
    mutating func arrive(at target: Int, _ way: inout Way) -> TraceVerdict {
        let interface = topology.interfaces[target]
        enterTunnel(to: interface, isGateway: false, &way)
        guard judge(from: nil, to: target, &way), deliver(to: interface, isGateway: false, &way) else {
            return .dropped
        }
        return .delivered(target)
    }

    // MARK: Words

    /// Of a pair the preferred gateway is followed: which one serves is not in the manifests.
    private func place(ofNetwork number: Int) -> String {
        let name = hostName(topology.host(ofNetwork: number))
        return topology.externalNetworks[number].pair == nil ? name : "\(name), the preferred one of two"
    }

    func reference(_ elastic: ResolvedElasticIP) -> ResourceReference {
        ResourceReference(.elasticIP, elastic.name)
    }

    func reference(_ gateway: ResolvedNATGateway) -> ResourceReference {
        ResourceReference(.natGateway, gateway.name)
    }
}
