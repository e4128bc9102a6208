import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let bandwidths = FirewallFamily(
        "egress_rates", "ingress_rates", "eip_egress_rates", "eip_ingress_rates", "over_egress", "over_ingress",
        "over_eip_egress", "over_eip_ingress", tightens: [])
    static let gatewayRatesOfBytes = FirewallFamily(
        "rate", of: .one(.natGateway), isDirected: true, roles: ["", "#"], tightens: [])
    static let elasticRatesOfBytes = FirewallFamily(
        "eip_rate", of: .one(.elasticIP), isDirected: true, roles: ["", "#"], tightens: [])
}

extension RuleCounter {
    /// Of packets that were more than a NAT gateway's bandwidth.
    public static func over(natGateway name: String, _ direction: TrafficDirection) -> FirewallName {
        FirewallName(.gatewayRatesOfBytes, name, direction: direction)
    }

    /// Of packets that were more than an elastic IP's bandwidth.
    public static func over(elasticIP name: String, _ direction: TrafficDirection) -> FirewallName {
        FirewallName(.elasticRatesOfBytes, name, direction: direction)
    }
}

/// What may pass a NAT gateway or an elastic IP in a second: limits with names, which maps find by the devices and the address
/// inside, so that one is changed without touching a rule.
struct Bandwidths: HostFeature {
    let names = [FirewallFamily.bandwidths, .gatewayRatesOfBytes, .elasticRatesOfBytes]

    /// By the VRF: what leaves by the uplink.
    private static let egress = RateMap(
        "egress_rates", counters: "over_egress", of: [.interfaceName], at: [.iifname])
    /// By the leg: what has come in by it.
    private static let ingress = RateMap(
        "ingress_rates", counters: "over_ingress", of: [.interfaceName], at: [.sdifname])
    private static let elasticEgress = RateMap(
        "eip_egress_rates", counters: "over_eip_egress", of: [.interfaceName, .ipv4Address], at: [.iifname, .ipSource])
    /// Of stateless ones by the uplink and the public address: nothing has translated it yet.
    private static let elasticIngress = RateMap(
        "eip_ingress_rates", counters: "over_eip_ingress", of: [.interfaceName, .ipv4Address],
        at: [.iifname, .ipDestination])

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        switch piece {
        case .context(let key):
            guard let number = key.natGateway, let context = host.contexts[key] else { return }
            let gateway = host.topology.natGateways[number]
            let name = { FirewallName(.gatewayRatesOfBytes, gateway.name, direction: $0) }
            if let rate = gateway.limits.bandwidth.egress {
                Self.egress.add(rate, name(.egress), piece.origin, to: &part, NFKey(context.device))
            }
            if let rate = gateway.limits.bandwidth.ingress {
                Self.ingress.add(
                    rate, name(.ingress), piece.origin, to: &part, NFKey(Conventions.leg(context.table).near))
            }
        case .elasticIP(let number):
            guard let own = host.elasticIP(number) else { return }
            addRates(of: own, piece.origin, to: &part)
        default: break
        }
    }

    private func addRates(of own: HostCompiler.ElasticIPHere, _ origin: Origin, to part: inout Part) {
        let inside = own.elastic.mode == .passThrough ? own.elastic.address : own.interface.address
        let name = { FirewallName(.elasticRatesOfBytes, own.elastic.name, direction: $0) }
        if let rate = own.elastic.bandwidth.egress {
            Self.elasticEgress.add(rate, name(.egress), origin, to: &part, NFKey(own.context.device, inside))
        }
        if let rate = own.elastic.bandwidth.ingress {
            let place =
                own.elastic.mode == .stateless
                ? NFKey(own.uplink.device, own.elastic.address) : NFKey(own.context.device, inside)
            Self.elasticIngress.add(rate, name(.ingress), origin, to: &part, place)
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        let capped = host.traits.capped
        let isLeaving = NFStatement.match(.oifgroup, LinkGroups.uplink)
        let isArriving = NFStatement.match(.oifgroup, LinkGroups.overlayTransmit)
        if capped.contains(.elasticIPs) {
            Self.elasticEgress.declare(in: &firewall)
            Self.elasticIngress.declare(in: &firewall)
            firewall.rules(at: FromGatewayVRF.elasticRates) { chain in
                chain.rule(isLeaving, Self.elasticEgress.isOver, Self.elasticEgress.drop)
                chain.rule(isArriving, Self.elasticIngress.isOver, Self.elasticIngress.drop)
            }
        }
        if capped.contains(.stateless) {
            firewall.rule(
                at: Forwarded.external, .match(.iifgroup, LinkGroups.uplink), Self.elasticIngress.isOver,
                Self.elasticIngress.drop)
        }
        if capped.contains(.gateways) {
            Self.egress.declare(in: &firewall)
            Self.ingress.declare(in: &firewall)
            firewall.rules(at: FromGatewayVRF.rates) { chain in
                chain.rule(isLeaving, Self.egress.isOver, Self.egress.drop)
                chain.rule(isArriving, Self.ingress.isOver, Self.ingress.drop)
            }
        }
    }
}

/// A map of limits by something of a packet, and one of counters of what was over them.
private struct RateMap {
    let limits: NFSet
    let counters: NFSet
    let fields: [NFField]

    init(_ name: String, counters: String, of key: [NFType], at fields: [NFField]) {
        limits = NFSet(name, of: key, to: .limit, grows: true)
        self.counters = NFSet(counters, of: key, to: .counter, grows: true)
        self.fields = fields
    }

    func declare(in firewall: inout Firewall) {
        firewall.filter.sets += [limits, counters]
        firewall.filter.chain(counters.name, origin: firewall.origin) { chain in
            chain.rule(.counter(map: counters.name, fields))
            chain.rule(.drop)
        }
    }

    var isOver: NFStatement { .limit(map: limits.name, fields) }
    var drop: NFStatement { .goto(counters.name) }

    func add(_ rate: Bitrate, _ name: FirewallName, _ origin: Origin, to part: inout Part, _ place: NFKey) {
        let object = name.with(role: "\(rate.bitsPerSecond)").description
        // The kernel lets pass a second's worth at once.
        let limit = NFLimit(rate.bitsPerSecond / 8, burst: 0, unit: .bytes, isOver: true)
        part.filter.objects.append(NFObject(object, .limit(limit), origin: origin))
        part.filter.counters.append(NFCounter(name.description, origin: origin))
        part.rows(of: limits) { $0.add(key: place, object: object, origin: origin) }
        part.rows(of: counters) { $0.add(key: place, object: name.description, origin: origin) }
    }
}

/// For what a host has bandwidths.
struct CappedTraffic: OptionSet, Sendable {
    let rawValue: Int
    static let gateways = CappedTraffic(rawValue: 1)
    static let elasticIPs = CappedTraffic(rawValue: 2)
    static let stateless = CappedTraffic(rawValue: 4)

    init(rawValue: Int) { self.rawValue = rawValue }

    init(_ elastic: ResolvedElasticIP) {
        if elastic.bandwidth == Bandwidth() {
            self = []
        } else {
            self = elastic.mode == .stateless ? [.elasticIPs, .stateless] : .elasticIPs
        }
    }
}
