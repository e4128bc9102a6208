import IPAddressing
import VPCCompiler
import VPCModel
import VPCTopology

/// Follows packets, and remembers which hosts have seen the connection.
struct Walk {
    let topology: Topology
    let model: Model?
    /// What let the first packet of a connection pass on a host.
    var seen: [SeenConnection: Sides] = [:]
    /// Whose question a host answers: it does so in that interface's routing context.
    var asker = Journey.Sender.interface(0)
    /// What NAT gateways have made of first packets.
    var translations: [Translation] = []
    /// What load balancers have made of them.
    var balanced: [BalancedFlow] = []

    init(topology: Topology, model: Model?) {
        self.topology = topology
        self.model = model
    }

    // MARK: Journeys

    mutating func journey(of packet: Packet, from sender: Journey.Sender, isAnswer: Bool = false) -> Journey {
        var way = Way(packet: packet, isAnswer: isAnswer)
        let verdict: TraceVerdict
        switch sender {
        case .interface(let index): verdict = leave(index, &way)
        case .host(let host): verdict = answer(by: host, &way)
        case .external(let network): verdict = comeIn(from: network, &way)
        }
        return Journey(packet: packet, arrival: way.packet, sender: sender, steps: way.steps, verdict: verdict)
    }

    /// What those that the packet reached send back.
    mutating func answers(to journey: Journey) -> [Journey] {
        let answer = journey.arrival.answer
        switch journey.verdict {
        case .delivered(let interface): return [self.journey(of: answer, from: .interface(interface), isAnswer: true)]
        case .deliveredToGateways(let gateways), .dependsOnGateway(let gateways, _):
            return gateways.map { self.journey(of: answer, from: .interface($0), isAnswer: true) }
        case .answeredByHost(let host):
            asker = journey.sender
            return [self.journey(of: answer, from: .host(host), isAnswer: true)]
        case .sentOut(let network): return [self.journey(of: answer, from: .external(network), isAnswer: true)]
        case .staysInGuest, .dropped, .unreachable, .blackhole: return []
        }
    }

    func otherVPC(_ target: Int, _ from: Int) -> TraceStep {
        let interface = topology.interfaces[target]
        let text =
            "\(interface.name) is in VPC \(topology.vpcs[interface.vpc].name): in VPC "
            + "\(topology.vpcs[topology.interfaces[from].vpc].name) its address \(interface.address) means something else"
        return TraceStep(
            host: topology.interfaces[from].host, stage: .interface, verdict: .note, text: text,
            resource: reference(interface), path: ["spec", "subnet"])
    }

    // MARK: Stages

    private mutating func leave(_ index: Int, _ way: inout Way) -> TraceVerdict {
        let interface = topology.interfaces[index]
        let subnet = topology.subnets[interface.subnet]
        let packet = way.packet
        way.host = interface.host
        way.add(
            .interface, .note,
            "\(interface.name) (\(interface.address), subnet \(subnet.name), VPC \(topology.vpcs[interface.vpc].name))"
                + " sends \(packet)", reference(interface))
        if topology.interfaces.contains(where: { $0.hasItself(packet.destination) && isSameGuest($0, interface) }) {
            way.add(.delivery, .note, "\(packet.destination) is the guest's own address: nothing leaves it", nil)
            return .staysInGuest
        }
        guard checkSource(of: interface, &way) else { return .dropped }
        if !isRoutable(packet.destination) {
            way.add(.route, .deny, "\(packet.destination) is no address that is forwarded", nil)
            return .unreachable
        }
        if topology.hasGateway(packet.destination, inContextOf: interface) { return ask(interface.host, &way) }
        if let verdict = balance(index, &way) { return verdict }
        return forward(in: interface.context(topology), from: index, &way)
    }

    /// Routing, and for each way that it may take what is decided there.
    /// - Parameter port: the interface that sent it; nil for the host itself.
    mutating func forward(in context: RoutingContext, from port: Int?, _ way: inout Way) -> TraceVerdict {
        let destination = way.packet.destination
        let route = topology.route(to: destination, in: context)
        let resource = topology.resource(of: context)
        let name = topology.name(of: context)
        switch route {
        case .local(let index):
            let target = topology.interfaces[index]
            if index == port, !isTurnedToSender(way) {
                way.add(
                    .route, .deny,
                    "\(name): \(destination) is \(place(of: destination, at: target)) itself, and ARP is not answered: what"
                        + " is delegated to a guest is for the guest to route", reference(target), ["spec", "prefixes"])
                return .unreachable
            }
            way.add(
                .route, .allow,
                "\(name): \(destination) is \(place(of: destination, at: target)) on \(hostName(target.host))",
                reference(target))
            return transit(to: index, from: port, &way) ? .delivered(index) : .dropped
        case .nobody(let cidr):
            way.add(
                .route, .deny, "\(name): no interface has \(destination), which is inside the VPC's \(cidr)",
                ResourceReference(.vpc, topology.vpcs[context.vpc].name), ["spec", "cidrs"])
            return .unreachable
        case .none:
            way.add(.route, .deny, "\(name): no route to \(destination)", resource)
            return .unreachable
        case .custom(let route):
            let path = self.path(ofRoute: route.destination, in: context)
            guard !route.nextHops.isEmpty else {
                way.add(.route, .deny, "\(name): \(route.destination) is a blackhole", resource, path)
                return .blackhole
            }
            return follow(route, in: context, path, from: port, &way)
        }
    }

    /// From the sending host's policies to the target's port.
    /// - Parameter gateways: of a custom route, all its next hops.
    /// - Returns: whether it gets there.
    mutating func transit(
        to target: Int, among gateways: [Int] = [], from port: Int?, _ way: inout Way
    ) -> Bool {
        let isGateway = !gateways.isEmpty
        let interface = topology.interfaces[target]
        let isLocal = interface.host == way.host
        if let port {
            let behind = isGateway ? gateways : [target]
            guard judge(from: port, to: isLocal ? target : nil, relayedTo: behind, &way) else { return false }
        } else if isLocal {
            // The host's own packets are not forwarded, so not judged.
            return deliver(to: interface, isGateway: isGateway, &way)
        }
        if !isLocal {
            enterTunnel(to: interface, isGateway: isGateway, &way)
            guard judge(from: nil, to: target, &way) else { return false }
        }
        return deliver(to: interface, isGateway: isGateway, &way)
    }

    func deliver(to interface: ResolvedInterface, isGateway: Bool, _ way: inout Way) -> Bool {
        var text = "delivered to \(interface.name)"
        if isGateway { text += ", a gateway: what becomes of the packet is its decision" }
        if isGateway, interface.sourceDestCheck { text += "; it cannot forward it, its sourceDestCheck is on" }
        finishBalancing(inVPC: interface.vpc, &way)
        way.add(.delivery, .allow, text, reference(interface))
        return true
    }

    /// One host's policies, in the order of its forward chain.
    /// - Parameters:
    ///   - port: the interface of this host that sent the packet, if it came from here.
    ///   - target: the interface of this host that receives it, if it stays here.
    ///   - receivers: whom the route leads to, here or elsewhere.
    mutating func judge(
        from port: Int?, to target: Int?, relayedTo receivers: [Int] = [], _ way: inout Way
    ) -> Bool {
        if let port, !passesACL(of: port, .egress, &way) { return false }
        if let port, isOpen(port), !passesRelay(from: port, to: receivers, &way) { return false }
        if let target, !passesACL(of: target, .ingress, &way) { return false }
        let own = port ?? target
        let connection = own.map { SeenConnection(way, vpc: topology.interfaces[$0].vpc) }
        let known = connection.flatMap { seen[$0] }
        let state = way.isAnswer && known != nil ? .established : way.unknownState
        let isSent = way.isAnswer && port.map { hasBeenAsked($0, known) } ?? true
        let isAwaited = way.isAnswer && target.map { awaits($0, way.packet, known) } ?? true
        if isSent, isAwaited, known != nil, way.isAnswer {
            way.add(.connection, .allow, "an answer of a connection that was allowed: security groups let it pass", nil)
            return true
        }
        if let port, !isSent, !passesGroups(of: port, .egress, state, &way) { return false }
        if let target, !isAwaited, !passesGroups(of: target, .ingress, state, &way) { return false }
        if !way.isAnswer, state == .new, let connection {
            remember(connection, way.packet, from: port, to: target)
        }
        return true
    }

    // MARK: Words

    func reference(_ interface: ResolvedInterface) -> ResourceReference {
        ResourceReference(.networkInterface, interface.name)
    }

    /// `web1`, `in 10.0.1.32/28 of web1`.
    func place(of address: IPAddress, at interface: ResolvedInterface) -> String {
        interface.prefixes.first { $0.contains(address) }.map { "in \($0) of \(interface.name)" } ?? interface.name
    }

    func hostName(_ host: Int) -> String { topology.hosts[host].metadata.name }

    // MARK: Facts

    func isSameGuest(_ one: ResolvedInterface, _ other: ResolvedInterface) -> Bool {
        if one.name == other.name { return true }
        guard one.host == other.host, case .namespace(let left, _) = one.attachment,
            case .namespace(let right, _) = other.attachment
        else { return false }
        return left == right
    }

    /// Not: this network, loopback, multicast, limited broadcast.
    private func isRoutable(_ address: IPAddress) -> Bool {
        let first = address.v4 >> 24
        return address.family == .ipv4 && first != 0 && first != 127 && !(224..<240).contains(first)
            && address.v4 != .max
    }
}

/// A packet on its way.
struct Way {
    /// As it is by now.
    var packet: Packet
    let isAnswer: Bool
    var host = 0
    var gateway: Int?
    private(set) var steps: [TraceStep] = []

    init(packet: Packet, isAnswer: Bool) {
        self.packet = packet
        self.isAnswer = isAnswer
    }

    /// Why it belongs to no connection.
    var strayReason: String {
        isAnswer
            ? "this host has not seen the connection's beginning, its answer belongs to none"
            : "\(packet.traffic) belongs to no connection, and begins none"
    }

    mutating func add(
        _ stage: TraceStep.Stage, _ verdict: TraceStep.Verdict, _ text: String, _ resource: ResourceReference?,
        _ path: FieldPath = [], counter: FirewallName? = nil
    ) {
        steps.append(
            TraceStep(
                host: host, stage: stage, verdict: verdict, text: text, resource: resource, path: path,
                counter: counter, gateway: gateway))
    }

    /// The packet becomes another one.
    mutating func translate(
        to packet: Packet, _ text: String, _ resource: ResourceReference?, _ path: FieldPath = []
    ) {
        self.packet = packet
        add(.translation, .allow, text, resource, path)
        steps[steps.count - 1].translated = packet
    }
}
