import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let gatewayBounds = FirewallFamily(
        "gateway_rates", "gateway_refusals", "idle_timeouts", "gateway_begins", "gateway_refused", tightens: [])
    static let gatewayRefusals = FirewallFamily("gateway_refused", of: .one(.natGateway), tightens: [])
    static let gatewayRates = FirewallFamily("begins", of: .one(.natGateway), roles: ["#"], tightens: [])
    static let idleTimeouts = FirewallFamily(
        "idle", of: .one(.natGateway), roles: ["tcp_#", "udp_#", "icmp_#"], tightens: [])
}

extension RuleCounter {
    /// Of the first packets that a NAT gateway's bound, or its rate, has refused.
    public static func refused(natGateway name: String) -> FirewallName { FirewallName(.gatewayRefusals, name) }
}

/// How many connections a NAT gateway has, how fast they begin, and when they are forgotten. They are bounded as those of a
/// VPC are (``ConnectionBounds``), and by the same set: who looks after the host counts them by zone.
///
/// All of it is asked about what has a way and a translation, by the first packet alone, which is when a connection's
/// timeout can be set. What nobody lets in takes nothing of the rate.
struct GatewayBounds: HostFeature {
    let names = [FirewallFamily.gatewayBounds, .gatewayRefusals, .gatewayRates, .idleTimeouts]

    private static let rates = NFSet("gateway_rates", of: .zone, to: .limit, grows: true)
    private static let counters = NFSet("gateway_refusals", of: .zone, to: .counter, grows: true)
    private static let timeouts = NFSet("idle_timeouts", of: .zone, .internetProtocol, to: .timeout, grows: true)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .context(let key) = piece, let number = key.natGateway, let context = host.contexts[key] else {
            return
        }
        let (gateway, zone, origin) = (host.topology.natGateways[number], host.zone(of: context.table), context.origin)
        let counter = RuleCounter.refused(natGateway: gateway.name).description
        part.filter.counters.append(NFCounter(counter, origin: origin))
        part.rows(of: Self.counters) { $0.add(zone, counter: counter, origin: origin) }
        let rate = gateway.limits.newConnectionsPerSecond ?? ConnectionBound.beginsPerSecond
        // Objects cannot be changed: another value is another object.
        let name = FirewallName(.gatewayRates, gateway.name, role: "\(rate)").description
        let share = ConnectionBound.beginsPerSecond / ConnectionBound.beginsAtOnce
        let limit = NFLimit(UInt64(rate), burst: UInt32(max(rate / share, 1)), isOver: true)
        part.filter.objects.append(NFObject(name, .limit(limit), origin: origin))
        part.rows(of: Self.rates) { $0.add(zone, object: name, origin: origin) }
        addTimeouts(of: gateway, zone, origin, to: &part)
    }

    private func addTimeouts(
        of gateway: ResolvedNATGateway, _ zone: NFZone, _ origin: Origin, to part: inout Part
    ) {
        let idle = gateway.limits.idleTimeouts
        let times: [(NFProtocol, String, Duration)] = [
            (.icmp, "icmp", idle.icmp), (.tcp, "tcp", idle.tcp), (.udp, "udp", idle.udp),
        ]
        for (number, word, time) in times {
            let seconds = UInt32(time.components.seconds)
            let name = FirewallName(.idleTimeouts, gateway.name, role: "\(word)_\(seconds)").description
            part.filter.objects.append(
                NFObject(name, .timeout(.idle(number, seconds: seconds)), origin: origin))
            part.rows(of: Self.timeouts) { $0.add(zone, number, object: name, origin: origin) }
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        guard host.traits.hasNATGateways else { return }
        firewall.filter.sets += [Self.rates, Self.counters, Self.timeouts]
        firewall.rule(at: NATAfterRouting.begins, .match(.iifgroup, LinkGroups.gatewayVRF), .jump("gateway_begins"))
        firewall.filter.chain("gateway_begins", origin: firewall.origin) { chain in
            chain.rule(.match(.ctZone, in: ConnectionBound.setName), .goto("gateway_refused"))
            chain.rule(.limit(map: Self.rates.name, .ctZone), .goto("gateway_refused"))
            chain.rule(.timeout(map: Self.timeouts.name, .ctZone, .l4proto))
        }
        firewall.filter.chain("gateway_refused", origin: firewall.origin) { chain in
            chain.rule(.counter(map: Self.counters.name, .ctZone))
            chain.rule(.drop)
        }
    }
}
