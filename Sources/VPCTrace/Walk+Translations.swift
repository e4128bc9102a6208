import IPAddressing
import VPCCompiler
import VPCModel
import VPCTopology

/// What a NAT gateway has made of the first packet of a connection, in its own zone.
struct Translation {
    /// A number of `Topology.natGateways`.
    var gateway: Int
    var before: Packet
    var after: Packet
}

/// What NAT gateways make of packets.
extension Walk {
    /// Of one that came by the tunnel.
    mutating func passOut(by number: Int, _ way: inout Way) -> TraceVerdict {
        let elastic = elasticIP(of: way.packet.source, by: number)
        if let elastic, elastic.mode != .nat { return route(by: number, as: .untracked(elastic), &way) }
        if turnBack(at: number, &way) { return route(by: number, as: .known, &way) }
        guard canBegin(at: number, &way) else { return .dropped }
        let first = way.packet
        let isTurned = turnDestination(at: number, &way)
        return route(by: number, as: .first(first, isTurned: isTurned, elastic), &way)
    }

    /// Of one that came by the uplink.
    mutating func passIn(by number: Int, _ way: inout Way) -> TraceVerdict {
        if turnBack(at: number, &way) { return route(by: number, as: .known, &way) }
        guard canBegin(at: number, &way) else { return .dropped }
        let first = way.packet
        guard turnDestination(at: number, &way) else {
            let gateway = topology.natGateways[number]
            way.add(
                .connection, .deny,
                "\(first.destination) is of NAT gateway \(gateway.name): only answers come in", reference(gateway),
                ["spec", "addresses"], counter: RuleCounter.unsolicited)
            return .dropped
        }
        translations.append(Translation(gateway: number, before: first, after: way.packet))
        return route(by: number, as: .known, &way)
    }

    /// What connection tracking knows of a packet when it is routed.
    private enum Passage {
        /// What is to be translated is.
        case known
        /// Its source has still to become another one, for what leaves, and for what was turned to the VPC itself.
        case first(Packet, isTurned: Bool, ResolvedElasticIP?)
        case untracked(ResolvedElasticIP)
    }

    // MARK: Connections

    /// An answer of a connection that was translated here.
    private func turnBack(at number: Int, _ way: inout Way) -> Bool {
        guard way.isAnswer,
            let known = translations.first(where: { $0.gateway == number && $0.after.answer == way.packet })
        else { return false }
        let answer = known.before.answer
        var changes: [String] = []
        if answer.source != way.packet.source { changes.append("\(way.packet.source) becomes \(answer.source) again") }
        if answer.destination != way.packet.destination {
            changes.append("\(way.packet.destination) becomes \(answer.destination) again")
        }
        way.translate(
            to: answer,
            "an answer of a connection that was translated: " + changes.joined(separator: ", "),
            reference(topology.natGateways[number]))
        return true
    }

    private func canBegin(at number: Int, _ way: inout Way) -> Bool {
        if way.unknownState == .new { return true }
        let gateway = topology.natGateways[number]
        way.add(
            .connection, .deny, "NAT gateway \(gateway.name): " + way.strayReason, reference(gateway),
            counter: RuleCounter.externalInvalid)
        return false
    }

    /// Of gateways that share an address, the one that a packet from outside is for: by its port, or by what it answers.
    func owner(of way: Way, among owners: [Int]) -> Int? {
        let packet = way.packet
        let known = way.isAnswer ? translations.first { owners.contains($0.gateway) && $0.after.answer == packet } : nil
        if let known { return known.gateway }
        guard let port = packet.content.ports?.destination else { return owners.first }
        return owners.first { number in
            let gateway = topology.natGateways[number]
            if case .addresses = gateway.pool { return true }
            return gateway.forward(of: packet) != nil || gateway.pool.ports.contains { $0.ports.contains(port) }
        }
    }

    /// What is for a public address or port of the VPC becomes what is for the interface that has it.
    private func turnDestination(at number: Int, _ way: inout Way) -> Bool {
        turnElasticIP(at: number, &way) || turnPortForward(at: number, &way)
    }

    private func turnPortForward(at number: Int, _ way: inout Way) -> Bool {
        let gateway = topology.natGateways[number]
        guard let forward = gateway.forward(of: way.packet) else { return false }
        let interface = topology.interfaces[forward.interface]
        var packet = way.packet
        packet.destination = interface.address
        packet.content.change(destinationPort: forward.interfacePort)
        way.translate(
            to: packet,
            "\(forward.address) port \(forward.port) becomes \(interface.address) port \(forward.interfacePort) of"
                + " \(interface.name), a port forward of NAT gateway \(gateway.name)", reference(gateway),
            ["spec", "portForwards"])
        return true
    }

    private func turnElasticIP(at number: Int, _ way: inout Way) -> Bool {
        let elastic = topology.elasticIPs.first {
            $0.mode == .nat && $0.gateway == number && $0.address == way.packet.destination
        }
        guard let elastic, let interface = elastic.interface.map({ topology.interfaces[$0] }) else { return false }
        var packet = way.packet
        packet.destination = interface.address
        way.translate(
            to: packet,
            "\(elastic.address) becomes \(interface.address) of \(interface.name), elastic IP \(elastic.name)",
            reference(elastic), ["spec", "address"])
        return true
    }

    // MARK: Routing

    private mutating func route(by number: Int, as passage: Passage, _ way: inout Way) -> TraceVerdict {
        let gateway = topology.natGateways[number]
        let destination = way.packet.destination
        let vpc = topology.vpcs[gateway.vpc]
        if let target = topology.interface(at: destination, inVPC: gateway.vpc) {
            if case .first(let first, let isTurned, let elastic) = passage,
                !turn(first, isTurned, elastic, by: number, &way)
            {
                return .dropped
            }
            return arrive(at: target, &way)
        }
        if let cidr = vpc.cidrs.first(where: { $0.contains(destination) }) {
            way.add(
                .route, .deny, "no interface has \(destination), which is inside the VPC's \(cidr)",
                ResourceReference(.vpc, vpc.name), ["spec", "cidrs"])
            return .unreachable
        }
        if let block = Conventions.unroutable.first(where: { $0.contains(destination) }) {
            way.add(.route, .deny, "NAT gateways send nothing to \(block)", reference(gateway))
            return .unreachable
        }
        switch passage {
        case .known: break
        case .untracked(let elastic): giveAddress(of: elastic, &way)
        case .first(let first, _, let elastic):
            guard giveAddress(of: elastic, or: number, &way) else { return .dropped }
            translations.append(Translation(gateway: number, before: first, after: way.packet))
        }
        return leave(for: gateway.network, &way)
    }

    /// What stays in the VPC: where its destination has become another one, its answer has to come back here.
    private mutating func turn(
        _ first: Packet, _ isTurned: Bool, _ elastic: ResolvedElasticIP?, by number: Int, _ way: inout Way
    ) -> Bool {
        let gateway = topology.natGateways[number]
        guard isTurned else {
            way.add(
                .route, .allow,
                "\(way.packet.destination) is in the VPC: NAT gateway \(gateway.name) sends it there as it is",
                reference(gateway))
            return true
        }
        guard giveAddress(of: elastic, or: number, &way) else { return false }
        translations.append(Translation(gateway: number, before: first, after: way.packet))
        return true
    }

    // MARK: Sources

    /// - Returns: false where the packet has none.
    private func giveAddress(of elastic: ResolvedElasticIP?, or number: Int, _ way: inout Way) -> Bool {
        if let elastic {
            giveAddress(of: elastic, &way)
            return true
        }
        let gateway = topology.natGateways[number]
        if gateway.dividesPorts { return givePort(by: number, &way) }
        var packet = way.packet
        packet.source = gateway.publicAddress(of: packet.source)
        way.translate(
            to: packet, "\(way.packet.source) becomes \(packet.source), of NAT gateway \(gateway.name)",
            reference(gateway), ["spec", "addresses"])
        return true
    }

    /// By a gateway that has ports of addresses, for itself or for each inside address. Which one it is going to be is not known.
    private func givePort(by number: Int, _ way: inout Way) -> Bool {
        let (gateway, source) = (topology.natGateways[number], way.packet.source)
        let path: FieldPath = ["spec", gateway.portsPerInterface == nil ? "shared" : "portsPerInterface"]
        switch way.packet.content {
        case .tcp, .udp, .icmp: break
        case .sctp:
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
        var packet = way.packet
        packet.source = ports.address
        if let own = packet.content.ports?.source, !ports.ports.contains(own) {
            packet.content.change(sourcePort: ports.ports.lowerBound)
        }
        way.translate(
            to: packet,
            "\(source) becomes \(ports.address), one of the ports \(ports.ports.lowerBound) to"
                + " \(ports.ports.upperBound), of NAT gateway \(gateway.name)", reference(gateway), path)
        return true
    }

    private func giveAddress(of elastic: ResolvedElasticIP, _ way: inout Way) {
        let resource = reference(elastic)
        guard elastic.mode != .passThrough else {
            way.add(
                .translation, .note, "\(elastic.address) is elastic IP \(elastic.name): it stays", resource,
                ["spec", "mode"])
            return
        }
        var packet = way.packet
        packet.source = elastic.address
        way.translate(
            to: packet, "\(way.packet.source) becomes \(elastic.address), elastic IP \(elastic.name)", resource,
            ["spec", "address"])
    }

    /// The one by which something with this address leaves; nil: by the NAT gateway's own.
    private func elasticIP(of source: IPAddress, by gateway: Int) -> ResolvedElasticIP? {
        topology.elasticIPs.first { elastic in
            guard elastic.gateway == gateway, let interface = elastic.interface.map({ topology.interfaces[$0] }) else {
                return false
            }
            return source == (elastic.mode == .passThrough ? elastic.address : interface.address)
        }
    }
}

extension ResolvedNATGateway {
    /// Whether it has ports of addresses rather than addresses.
    fileprivate var dividesPorts: Bool {
        if case .shared = pool { true } else { portsPerInterface != nil }
    }

    /// The one that a packet for one of its addresses meets.
    fileprivate func forward(of packet: Packet) -> ResolvedPortForward? {
        guard let port = packet.content.ports?.destination else { return nil }
        return portForwards.first {
            $0.address == packet.destination && $0.transport.ipProtocol == packet.ipProtocol && $0.port == port
        }
    }
}

extension Packet.Content {
    mutating func change(sourcePort: UInt16? = nil, destinationPort: UInt16? = nil) {
        guard let ports else { return }
        let (source, destination) = (sourcePort ?? ports.source, destinationPort ?? ports.destination)
        switch self {
        case .icmp: break
        case .tcp: self = .tcp(sourcePort: source, destinationPort: destination)
        case .udp: self = .udp(sourcePort: source, destinationPort: destination)
        case .sctp: self = .sctp(sourcePort: source, destinationPort: destination)
        }
    }
}
