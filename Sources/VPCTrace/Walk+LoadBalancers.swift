import IPAddressing
import VPCCompiler
import VPCModel
import VPCTopology

/// What a guest's host has made of the first packet of a connection to a load balancer, in the zone of the VPC.
struct BalancedFlow {
    var host: Int
    /// A number of `Topology.vpcs`.
    var vpc: Int
    /// A number of `Topology.loadBalancers`.
    var balancer: Int
    var before: Packet
    /// With the target in the place of the balancer.
    var judged: Packet
    /// As it leaves the host: where the target is who asks, with the balancer's address for his.
    var after: Packet
}

/// Load balancers: on the sender's host, before anybody judges.
extension Walk {
    /// What becomes of a packet for a load balancer where it gets to nobody; nil where it goes on, to a target if it was for
    /// a balancer.
    mutating func balance(_ index: Int, _ way: inout Way) -> TraceVerdict? {
        let vpc = topology.interfaces[index].vpc
        if turnBack(inVPC: vpc, &way) { return nil }
        let first = way.packet
        guard !way.isAnswer, way.unknownState == .new,
            let number = topology.loadBalancer(at: first.destination, inVPC: vpc)
        else { return nil }
        let balancer = topology.loadBalancers[number]
        guard let ports = first.content.ports, first.ipProtocol != .sctp,
            let service = topology.services(of: balancer).first(where: {
                $0.ipProtocol == first.ipProtocol && $0.port == ports.destination
            })
        else { return refuse(balancer, &way) }
        let (target, place, size) = service.target(from: first.source, port: ports.source)
        let interface = topology.interfaces[target.interface]
        var judged = first
        judged.destination = target.address
        judged.content.change(destinationPort: target.port)
        let listener = balancer.listeners.firstIndex {
            $0.transport.ipProtocol == first.ipProtocol && $0.port == ports.destination
        }
        way.translate(
            to: judged,
            "\(first.destination) port \(ports.destination) becomes \(target.address) port \(target.port) of"
                + " \(interface.name), which has place \(place) of \(size) of load balancer \(balancer.name), chosen by the"
                + " source \(balancer.affinity == .source ? "address" : "address and port")",
            reference(balancer), ["spec", "listeners", .index(listener ?? 0)])
        var after = judged
        if target.interface == index, interface.hasItself(first.source) { after.source = first.destination }
        balanced.append(
            BalancedFlow(
                host: way.host, vpc: vpc, balancer: number, before: first, judged: judged, after: after))
        return nil
    }

    /// Nobody listens, or there is no target.
    private func refuse(_ balancer: ResolvedLoadBalancer, _ way: inout Way) -> TraceVerdict {
        if way.packet.content == Packet.echoRequest {
            way.add(
                .host, .allow,
                "\(way.packet.destination) is load balancer \(balancer.name): the host answers pings itself",
                reference(balancer))
            return .answeredByHost(way.host)
        }
        let isListening = balancer.listeners.contains {
            $0.transport.ipProtocol == way.packet.ipProtocol && $0.port == way.packet.content.ports?.destination
        }
        way.add(
            .host, .deny,
            "load balancer \(balancer.name) "
                + (isListening
                    ? "has no target for \(way.packet.traffic)" : "does not listen to \(way.packet.traffic)"),
            reference(balancer), ["spec", "listeners"], counter: RuleCounter.notBalanced)
        return .dropped
    }

    /// What a target answers that was asked by itself.
    private func turnBack(inVPC vpc: Int, _ way: inout Way) -> Bool {
        guard way.isAnswer,
            let known = balanced.first(where: {
                $0.host == way.host && $0.vpc == vpc && $0.after != $0.judged && $0.after.answer == way.packet
            })
        else { return false }
        way.translate(
            to: known.judged.answer,
            "an answer of a balanced connection: \(way.packet.destination) becomes \(known.judged.source) again",
            reference(topology.loadBalancers[known.balancer]))
        return true
    }

    /// What is written into a packet when it leaves for a port of its host.
    func finishBalancing(inVPC vpc: Int, _ way: inout Way) {
        for known in balanced where known.host == way.host && known.vpc == vpc {
            let balancer = reference(topology.loadBalancers[known.balancer])
            if way.isAnswer, known.judged.answer == way.packet {
                way.translate(
                    to: known.before.answer,
                    "an answer of a balanced connection: \(way.packet.source) becomes \(known.before.destination) again",
                    balancer)
                return
            }
            if !way.isAnswer, known.judged == way.packet, known.after != known.judged {
                way.translate(
                    to: known.after,
                    "the target is who asks: \(way.packet.source) becomes \(known.after.source), so that it answers"
                        + " to the balancer", balancer)
                return
            }
        }
    }

    /// Whether a packet has been turned to whoever sent it.
    func isTurnedToSender(_ way: Way) -> Bool {
        balanced.contains { known in
            known.host == way.host
                && (way.isAnswer
                    ? known.after != known.judged && known.judged.answer == way.packet : known.judged == way.packet)
        }
    }

    private func reference(_ balancer: ResolvedLoadBalancer) -> ResourceReference {
        ResourceReference(.loadBalancer, balancer.name)
    }
}
