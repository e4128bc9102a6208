import IPAddressing
import VPCCompiler
import VPCModel
import VPCTopology

extension Walk {
    /// What is for the host itself: it answers pings, and nothing else.
    func ask(_ host: Int, _ way: inout Way) -> TraceVerdict {
        let packet = way.packet
        if packet.content == Packet.echoRequest {
            way.add(.host, .allow, "\(packet.destination) is a subnet's gateway: the host answers pings itself", nil)
            return .answeredByHost(host)
        }
        if case .udp(_, 67) = packet.content, case .interface(let number) = asker,
            topology.subnets[topology.interfaces[number].subnet].servesDHCP
        {
            way.add(.host, .allow, "the host's daemon answers what is asked by DHCP", nil)
            return .answeredByHost(host)
        }
        way.add(
            .host, .deny, "\(packet.destination) is a subnet's gateway: of what is for it the host takes pings only",
            nil, counter: RuleCounter.toHost)
        return .dropped
    }

    /// The host's own packet: policies are for what is forwarded.
    mutating func answer(by host: Int, _ way: inout Way) -> TraceVerdict {
        way.host = host
        let name = topology.hosts[host].metadata.name
        way.add(
            .host, .note, "host \(name) answers: \(way.packet)",
            ResourceReference(.host, name))
        switch asker {
        case .interface(let asker): return forward(in: topology.interfaces[asker].context(topology), from: nil, &way)
        case .external(let network): return answer(to: network, &way)
        // Hosts ask nobody.
        case .host: return .dropped
        }
    }
}
