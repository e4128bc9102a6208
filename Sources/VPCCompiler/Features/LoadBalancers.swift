public import IPAddressing
import KernelModel
import KernelNames
import NFTables
public import VPCModel
public import VPCTopology

extension FirewallFamily {
    static let loadBalancers = FirewallFamily(
        "balancers", "balancer_addresses", "balance", "balanced_#", "balanced_#_source", "own_targets", "not_balanced",
        tightens: [])
}

/// Addresses of load balancers in their VPCs: what a guest sends to one becomes what is for a target, on the guest's own
/// host and before anybody judges it. So groups and ACLs see the guest and the target, as if there were no balancer, and the
/// target's host knows of none.
///
/// Which target is a hash's choice among places (``MaglevTable``), which all hosts fill alike: elements of data, whose change
/// costs the kernel no check of rules. A connection keeps its target, whatever becomes of the places.
struct LoadBalancers: HostFeature {
    let names = [FirewallFamily.loadBalancers]

    // An address means something in its VPC alone.
    /// By zone.
    private static let balancers = NFSet("balancers", of: .zone, .ipv4Address, grows: true)
    /// By routing context.
    private static let addresses = NFSet("balancer_addresses", of: .interfaceName, .ipv4Address, grows: true)
    /// The port of a target here, its address, and the balancer's.
    private static let ownTargets = NFSet("own_targets", of: .interfaceName, .ipv4Address, .ipv4Address, grows: true)

    /// IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h.
    private static let isTranslated = NFStatement.match(.ctStatus, masked: 1 << 5, .notEqual, 0)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .balancer(let number) = piece else { return }
        let balancer = host.topology.loadBalancers[number]
        guard let address = balancer.inside?.address else { return }
        let (zone, origin) = (host.zone(ofVPC: balancer.vpc), piece.origin)
        part.rows(of: Self.balancers) { $0.add(zone, address, origin: origin) }
        // So that guests of the same subnet are answered when they ask for it by ARP, and what nobody takes gets to the host.
        for context in host.contexts(withBalancersOf: balancer.vpc) {
            let own = Address(device: context.device, address: address, prefixLength: 32)
            part.addresses.append(Attributed(own, from: origin))
            part.rows(of: Self.addresses) { $0.add(context.device, address, origin: origin) }
        }
        for service in host.topology.services(of: balancer, host.facts.liveness) {
            let transport = NFProtocol(service.ipProtocol.rawValue)
            let targets = service.targets.map { NFKey($0.address, NFPort($0.port)) }
            part.rows(of: service.sharing.places) { set in
                service.forEachPlace { place, target in
                    set.add(
                        zone, address, transport, NFPort(service.port), NFMark(place), data: targets[target],
                        origin: origin)
                }
            }
        }
        addOwnTargets(of: balancer, address, origin, to: &part, host)
    }

    private func addOwnTargets(
        of balancer: ResolvedLoadBalancer, _ address: IPAddress, _ origin: Origin, to part: inout Part,
        _ host: HostCompiler
    ) {
        let groups = host.topology.targetGroups
        for interface in Set(balancer.targetGroups.flatMap { groups[$0].targets.map(\.interface) }).sorted()
        where host.isAttachedHere(interface) {
            part.rows(of: Self.ownTargets) { set in
                for own in host.topology.interfaces[interface].addresses {
                    set.add(host.portName(interface), own, address, origin: origin)
                }
            }
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        guard host.traits.hasBalancers else { return }
        firewall.counters(RuleCounter.notBalanced.description)
        firewall.filter.sets += [Self.balancers, Self.addresses, Self.ownTargets]
        let sharings = host.traits.sharings.sorted()
        firewall.filter.sets += sharings.map(\.places)
        firewall.rule(
            at: NATBeforeRouting.balanced, .match(.iifgroup, LinkGroups.guest),
            .match(.ctZone, .ipDestination, in: Self.balancers.name), .goto("balance"))
        firewall.filter.chain("balance", origin: firewall.origin) { chain in
            for sharing in sharings {
                chain.rule(
                    .translate(
                        .destination, .addressAndPort, map: sharing.places.name,
                        [.ctZone, .ipDestination, .ipProtocol, .destinationPort], by: sharing.hash,
                        of: sharing.hashed))
            }
        }
        firewall.rules(at: GuestToHost.unbalanced) { chain in
            // Nobody takes it; or it belongs to a connection that was ended.
            let isRefused: [NFStatement] = [
                .match(.iifname, .ipDestination, in: Self.addresses.name),
                .counter(RuleCounter.notBalanced.description),
            ]
            chain.rule([.match(.l4proto, NFProtocol.tcp)] + isRefused + [.reject(.tcpReset)])
            chain.rule(isRefused + [.reject(.unreachable(.port))])
        }
        // Who is his own target would take what comes from himself for forged, and would answer past the balancer.
        firewall.rule(
            at: NATAfterRouting.ownTargets, .match(.oifgroup, LinkGroups.guest), Self.isTranslated,
            .match(.oifname, .ipSource, .ctOriginalDestination, in: Self.ownTargets.name),
            .translate(.source, to: .ctOriginalDestination))
    }
}

/// How connections are shared: by how many places, and what of a packet chooses among them.
struct Sharing: Hashable, Comparable, Sendable {
    var size: UInt32
    var affinity: LoadBalancer.Affinity

    /// Equal on all hosts, and known to everybody.
    private static let seed: UInt32 = 0x6C62_6C62

    static func < (left: Sharing, right: Sharing) -> Bool {
        (left.size, left.affinity.rawValue) < (right.size, right.affinity.rawValue)
    }

    /// Whose connections, to what, and the place; the target.
    var places: NFSet {
        let name = FirewallName(.loadBalancers, role: "balanced_\(size)" + (affinity == .source ? "_source" : ""))
        return NFSet(
            name.description, of: .zone, .ipv4Address, .internetProtocol, .internetService, .mark,
            to: .values(.ipv4Address, .internetService), grows: true)
    }

    var hash: NFHash { NFHash(modulus: size, seed: Self.seed) }

    var hashed: [NFField] {
        switch affinity {
        case .none: [.ipSource, .sourcePort]
        case .source: [.ipSource]
        }
    }

    /// The place of what comes from there, as the kernel chooses it.
    func place(of source: IPAddress, _ port: UInt16) -> UInt32 {
        let word = source.v4.bigEndian
        let hash =
            switch affinity {
            case .none: JenkinsHash.of(word, UInt32(port.bigEndian), seed: Self.seed)
            case .source: JenkinsHash.of(word, seed: Self.seed)
            }
        return JenkinsHash.scaled(hash, to: size)
    }
}

/// What a listener of a load balancer leads to.
public struct BalancedService: Sendable {
    public var ipProtocol: IPProtocol
    public var port: UInt16
    /// A number of `Topology.targetGroups`.
    public var group: Int
    /// In the order of their names; at least one.
    public var targets: [Target]
    let sharing: Sharing
    private let places: [UInt16]

    public struct Target: Sendable, Hashable {
        /// A number of `Topology.interfaces`.
        public var interface: Int
        public var address: IPAddress
        public var port: UInt16
    }

    /// Nil where the group has no targets that can be used.
    init?(
        _ listener: ResolvedLoadBalancer.Listener, _ affinity: LoadBalancer.Affinity, in topology: Topology,
        _ known: KnownLiveness
    ) {
        guard let number = listener.rules.first?.targetGroup else { return nil }
        let group = topology.targetGroups[number]
        let usable = group.usableTargets(known, in: topology)
        if usable.isEmpty { return nil }
        (ipProtocol, port, self.group) = (listener.transport.ipProtocol, listener.port, number)
        targets = usable.map {
            Target(interface: $0.interface, address: topology.interfaces[$0.interface].address, port: group.port)
        }
        // By all there are, so that who falls ill leaves the others their places.
        sharing = Sharing(size: MaglevTable.size(for: group.targets.count), affinity: affinity)
        places = MaglevTable.places(
            sharing.size,
            among: usable.map { .init(name: topology.interfaces[$0.interface].name, weight: $0.weight) })
    }

    /// The target of a connection that begins there, and its place among how many.
    public func target(
        from source: IPAddress, port: UInt16
    ) -> (target: Target, place: UInt32, size: UInt32) {
        let place = sharing.place(of: source, port)
        return (targets[Int(places[Int(place)])], place, sharing.size)
    }

    /// In the order in which the kernel's keys are: numbers of the machine, least significant byte first.
    fileprivate func forEachPlace(_ body: (UInt32, Int) -> Void) {
        for low in 0..<256 {
            for place in stride(from: low, to: places.count, by: 256) { body(UInt32(place), Int(places[place])) }
        }
    }
}

extension Topology {
    /// What the listeners of a load balancer lead to, by protocol and port; those without targets lead nowhere.
    public func services(
        of balancer: ResolvedLoadBalancer, _ known: KnownLiveness = KnownLiveness()
    ) -> [BalancedService] {
        balancer.listeners.sorted {
            ($0.transport.ipProtocol, $0.port) < ($1.transport.ipProtocol, $1.port)
        }.compactMap { BalancedService($0, balancer.affinity, in: self, known) }
    }

    /// How the listeners of a load balancer share connections.
    func sharings(of balancer: ResolvedLoadBalancer) -> [Sharing] {
        let groups = targetGroups
        return balancer.targetGroups.compactMap { number in
            let count = groups[number].targets.count
            return count == 0 ? nil : Sharing(size: MaglevTable.size(for: count), affinity: balancer.affinity)
        }
    }
}
