import IPAddressing
import VPCCompiler
import VPCModel
import VPCTopology

/// What leaves for external networks, and what comes from there.
extension Walk {
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
                : "\(name): \(route.destination) goes to NAT gateway \(gateway.name) on \(hostName(host))",
            isItself ? reference(gateway) : resource, isItself ? ["spec", "address"] : path)
        if let port, !judge(from: port, to: nil, &way) { return .dropped }
        enterTunnel(toGatewayOf: gateway, on: host, &way)
        if isItself { return ask(gateway, host, &way) }
        return sendOut(by: number, &way)
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

    private mutating func sendOut(by number: Int, _ way: inout Way) -> TraceVerdict {
        let gateway = topology.natGateways[number]
        let (source, destination) = (way.packet.source, way.packet.destination)
        let vpc = topology.vpcs[gateway.vpc]
        if let cidr = vpc.cidrs.first(where: { $0.contains(destination) }) {
            // A route of a part of the VPC leads here.
            guard let target = topology.interface(at: destination, inVPC: gateway.vpc) else {
                way.add(
                    .route, .deny, "no interface has \(destination), which is inside the VPC's \(cidr)",
                    ResourceReference(.vpc, vpc.name), ["spec", "cidrs"])
                return .unreachable
            }
            way.add(
                .route, .allow, "\(destination) is in the VPC: NAT gateway \(gateway.name) sends it there as it is",
                reference(gateway))
            return arrive(at: target, &way) ? .delivered(target) : .dropped
        }
        if let block = Conventions.unroutable.first(where: { $0.contains(destination) }) {
            way.add(
                .route, .deny, "NAT gateways send nothing to \(block)", reference(gateway))
            return .unreachable
        }
        let elastic = elasticIP(of: source, inVPC: gateway.vpc)
        let block = topology.portBlock(of: source, byNATGateway: number)
        let outside = elastic?.address ?? block?.address ?? gateway.publicAddress(of: source)
        if let elastic, elastic.mode == .passThrough {
            way.add(.translation, .note, "\(source) is elastic IP \(elastic.name): it stays", reference(elastic))
        } else if let elastic {
            way.add(
                .translation, .allow, "\(source) becomes \(outside), elastic IP \(elastic.name)", reference(elastic),
                ["spec", "address"])
        } else if gateway.dividesPorts {
            guard translatePorts(of: number, &way) else { return .dropped }
        } else {
            way.add(
                .translation, .allow, "\(source) becomes \(outside), of NAT gateway \(gateway.name)",
                reference(gateway), ["spec", "addresses"])
        }
        translated = Translation(inside: source, outside: outside)
        let network = topology.externalNetworks[gateway.network]
        way.add(
            .delivery, .allow, "sent to \(network.nextHop), the router of external network \(network.name)",
            ResourceReference(.externalNetwork, network.name), ["spec", "nextHop"])
        return .sentOut(gateway.network)
    }

    /// By a gateway that has ports of addresses, for itself or for each inside address.
    private func translatePorts(of number: Int, _ way: inout Way) -> Bool {
        let (gateway, source) = (topology.natGateways[number], way.packet.source)
        let path: FieldPath = ["spec", gateway.portsPerInterface == nil ? "shared" : "portsPerInterface"]
        switch way.packet.content {
        case .tcp, .udp, .icmp: break
        default:
            way.add(
                .translation, .deny, "NAT gateway \(gateway.name) has ports only, which \(way.packet.traffic) has not",
                reference(gateway), path, counter: RuleCounter.untranslated)
            return false
        }
        let block = topology.portBlock(of: source, byNATGateway: number)
        guard let ports = gateway.portsPerInterface == nil ? gateway.pool.ports.first : block else {
            way.add(
                .translation, .deny,
                "\(source) is in no subnet whose route table leads to NAT gateway \(gateway.name): it has no ports of it",
                reference(gateway), path, counter: RuleCounter.untranslated)
            return false
        }
        way.add(
            .translation, .allow,
            "\(source) becomes \(ports.address), one of the ports \(ports.ports.lowerBound) to"
                + " \(ports.ports.upperBound), of NAT gateway \(gateway.name)", reference(gateway), path)
        return true
    }

    /// The answer from outside.
    mutating func answer(from network: Int, _ way: inout Way) -> TraceVerdict {
        way.host = topology.host(ofNetwork: network)
        let name = topology.externalNetworks[network].name
        way.add(
            .interface, .note, "external network \(name) sends \(way.packet)",
            ResourceReference(.externalNetwork, name))
        guard let translated, translated.outside == way.packet.destination else { return .dropped }
        way.add(
            .translation, .allow,
            "an answer of a connection that was translated: \(translated.outside) becomes \(translated.inside) again",
            nil)
        way.packet.destination = translated.inside
        guard let target = topology.interface(at: translated.inside, inVPC: topology.interfaces[asker].vpc) else {
            way.add(.route, .deny, "no interface has \(translated.inside)", nil)
            return .unreachable
        }
        return arrive(at: target, &way) ? .delivered(target) : .dropped
    }

    /// Out of the VRF of a gateway, to an interface of the VPC: always by the tunnel.
    private mutating func arrive(at target: Int, _ way: inout Way) -> Bool {
        let interface = topology.interfaces[target]
        enterTunnel(to: interface, isGateway: false, &way)
        return judge(from: nil, to: target, &way) && deliver(to: interface, isGateway: false, &way)
    }

    private func enterTunnel(toGatewayOf gateway: ResolvedNATGateway, on host: Int, _ way: inout Way) {
        way.add(
            .tunnel, .note,
            "GRE from \(topology.hosts[way.host].underlayAddress) to \(topology.hosts[host].underlayAddress)"
                + " (\(hostName(host))), key \(gateway.key) (NAT gateway \(gateway.name))",
            ResourceReference(.host, hostName(host)))
        way.host = host
    }

    /// The one by which something with this address leaves; nil: by the NAT gateway's own.
    private func elasticIP(of source: IPAddress, inVPC vpc: Int) -> ResolvedElasticIP? {
        topology.elasticIPs.first { elastic in
            guard elastic.gateway != nil, let interface = elastic.interface.map({ topology.interfaces[$0] }) else {
                return false
            }
            let inside = elastic.mode == .passThrough ? elastic.address : interface.address
            return interface.vpc == vpc && inside == source
        }
    }

    private func reference(_ elastic: ResolvedElasticIP) -> ResourceReference {
        ResourceReference(.elasticIP, elastic.name)
    }

    private func reference(_ gateway: ResolvedNATGateway) -> ResourceReference {
        ResourceReference(.natGateway, gateway.name)
    }
}

extension ResolvedNATGateway {
    /// Whether it has ports of addresses rather than addresses.
    fileprivate var dividesPorts: Bool {
        if case .shared = pool { true } else { portsPerInterface != nil }
    }
}

/// What became of an address on its way out.
struct Translation {
    var inside: IPAddress
    var outside: IPAddress
}
