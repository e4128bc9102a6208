import IPAddressing
import VPCCompiler
import VPCModel
import VPCTopology

/// Follows packets, and remembers which hosts have seen the connection.
struct Walk {
    let topology: Topology
    let model: Model?
    /// By host, what let the first packet of the connection pass there.
    private var seen: [Int: Sides] = [:]

    /// Whose policies have let a connection begin.
    private struct Sides: OptionSet {
        let rawValue: Int
        /// The originator's, whose own port it came from.
        static let originator = Sides(rawValue: 1)
        static let responder = Sides(rawValue: 2)
        /// Those of a gateway, that was given it by somebody else.
        static let gateway = Sides(rawValue: 4)
    }

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
        }
        return Journey(packet: packet, sender: sender, steps: way.steps, verdict: verdict)
    }

    /// What those that the packet reached send back.
    mutating func answers(to journey: Journey, from: Int) -> [Journey] {
        let answer = journey.packet.answer
        switch journey.verdict {
        case .delivered(let interface): return [self.journey(of: answer, from: .interface(interface), isAnswer: true)]
        case .deliveredToGateways(let gateways), .dependsOnGateway(let gateways, _):
            return gateways.map { self.journey(of: answer, from: .interface($0), isAnswer: true) }
        case .answeredByHost(let host):
            asker = from
            return [self.journey(of: answer, from: .host(host), isAnswer: true)]
        case .staysInGuest, .dropped, .unreachable, .blackhole: return []
        }
    }

    /// Whose question a host answers: it does so in that interface's routing context.
    private var asker = 0

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
        if topology.interfaces.contains(where: { $0.address == packet.destination && isSameGuest($0, interface) }) {
            way.add(.delivery, .note, "\(packet.destination) is the guest's own address: nothing leaves it", nil)
            return .staysInGuest
        }
        guard checkSource(of: interface, &way) else { return .dropped }
        if !isRoutable(packet.destination) {
            way.add(.route, .deny, "\(packet.destination) is no address that is forwarded", nil)
            return .unreachable
        }
        if topology.hasGateway(packet.destination, inContextOf: interface) { return ask(interface.host, &way) }
        return forward(in: interface.context(topology), from: index, &way)
    }

    /// A guest speaks for its own address only, unless it forwards others' packets.
    private func checkSource(of interface: ResolvedInterface, _ way: inout Way) -> Bool {
        let source = way.packet.source
        if !interface.sourceDestCheck {
            way.add(
                .sourceCheck, .allow, "sourceDestCheck is off: \(interface.name) may send for any address",
                reference(interface), ["spec", "sourceDestCheck"])
            return true
        }
        if source == interface.address {
            way.add(.sourceCheck, .allow, "\(source) is the address of \(interface.name)", reference(interface))
            return true
        }
        way.add(
            .sourceCheck, .deny,
            "\(source) is not the address of \(interface.name) (\(interface.address)), and its sourceDestCheck is on",
            reference(interface), ["spec", "sourceDestCheck"], counter: RuleCounter.spoofed)
        return false
    }

    /// What is for the host itself: it answers pings, and nothing else.
    private func ask(_ host: Int, _ way: inout Way) -> TraceVerdict {
        let packet = way.packet
        if packet.content == Packet.echoRequest {
            way.add(.host, .allow, "\(packet.destination) is a subnet's gateway: the host answers pings itself", nil)
            return .answeredByHost(host)
        }
        way.add(
            .host, .deny, "\(packet.destination) is a subnet's gateway: of what is for it the host takes pings only",
            nil, counter: RuleCounter.toHost)
        return .dropped
    }

    /// The host's own packet: policies are for what is forwarded.
    private mutating func answer(by host: Int, _ way: inout Way) -> TraceVerdict {
        way.host = host
        let name = topology.hosts[host].metadata.name
        way.add(
            .host, .note, "host \(name) answers: \(way.packet)",
            ResourceReference(.host, name))
        return forward(in: topology.interfaces[asker].context(topology), from: nil, &way)
    }

    /// Routing, and for each way that it may take what is decided there.
    /// - Parameter port: the interface that sent it; nil for the host itself.
    private mutating func forward(in context: RoutingContext, from port: Int?, _ way: inout Way) -> TraceVerdict {
        let destination = way.packet.destination
        let route = topology.route(to: destination, in: context)
        let resource = topology.resource(of: context)
        let name = topology.name(of: context)
        switch route {
        case .local(let index):
            let target = topology.interfaces[index]
            way.add(
                .route, .allow,
                "\(name): \(destination) is \(target.name) on \(hostName(target.host))", reference(target))
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
            if let port, isOnlyBackToSender(route, port, destination) {
                way.add(
                    .route, .deny,
                    "\(name): \(route.destination) leads back to \(topology.interfaces[port].name) itself, and"
                        + " \(destination) is in its own subnet: ARP is not answered", resource, path)
                return .unreachable
            }
            let gateways = share(of: route).joined(separator: ", ")
            way.add(.route, .allow, "\(name): \(route.destination) goes to \(gateways)", resource, path)
            return branch(over: route.nextHops.map(\.interface), from: port, &way)
        }
    }

    /// Each gateway in turn: which one a flow takes is decided by a hash that is not known here.
    private mutating func branch(over gateways: [Int], from port: Int?, _ way: inout Way) -> TraceVerdict {
        var reached: [Int] = []
        var dropped: [Int] = []
        let host = way.host
        let before = seen
        var after = seen
        for gateway in gateways {
            way.host = host
            way.gateway = gateways.count > 1 ? gateway : nil
            seen = before
            if transit(to: gateway, among: gateways, from: port, &way) {
                reached.append(gateway)
            } else {
                dropped.append(gateway)
            }
            after.merge(seen) { $0.union($1) }
        }
        seen = after
        way.gateway = nil
        if dropped.isEmpty { return .deliveredToGateways(reached) }
        return reached.isEmpty ? .dropped : .dependsOnGateway(reaching: reached, dropped: dropped)
    }

    /// From the sending host's policies to the target's port.
    /// - Parameter gateways: of a custom route, all its next hops.
    /// - Returns: whether it gets there.
    private mutating func transit(
        to target: Int, among gateways: [Int] = [], from port: Int?, _ way: inout Way
    ) -> Bool {
        let isGateway = !gateways.isEmpty
        let interface = topology.interfaces[target]
        let isLocal = interface.host == way.host
        let here = way.host
        if let port {
            let behind = isGateway ? gateways : [target]
            guard judge(from: port, to: isLocal ? target : nil, relayedTo: behind, &way) else { return false }
        } else if isLocal {
            // The host's own packets are not forwarded, so not judged.
            return deliver(to: interface, isGateway: isGateway, &way)
        }
        if !isLocal {
            let key = isGateway ? interface.gatewayKey?.rawValue ?? 0 : topology.vpcs[interface.vpc].id.rawValue
            let meaning = isGateway ? "gateway \(interface.name)" : "VPC \(topology.vpcs[interface.vpc].name)"
            way.add(
                .tunnel, .note,
                "GRE from \(topology.hosts[here].underlayAddress) to \(topology.hosts[interface.host].underlayAddress)"
                    + " (\(hostName(interface.host))), key \(key) (\(meaning))",
                ResourceReference(.host, hostName(interface.host)))
            way.host = interface.host
            guard judge(from: nil, to: target, &way) else { return false }
        }
        return deliver(to: interface, isGateway: isGateway, &way)
    }

    private func deliver(to interface: ResolvedInterface, isGateway: Bool, _ way: inout Way) -> Bool {
        var text = "delivered to \(interface.name)"
        if isGateway { text += ", a gateway: what becomes of the packet is its decision" }
        if isGateway, interface.sourceDestCheck { text += "; it cannot forward it, its sourceDestCheck is on" }
        way.add(.delivery, .allow, text, reference(interface))
        return true
    }

    /// One host's policies, in the order of its forward chain.
    /// - Parameters:
    ///   - port: the interface of this host that sent the packet, if it came from here.
    ///   - target: the interface of this host that receives it, if it stays here.
    ///   - receivers: whom the route leads to, here or elsewhere.
    private mutating func judge(
        from port: Int?, to target: Int?, relayedTo receivers: [Int] = [], _ way: inout Way
    ) -> Bool {
        if let port, !passesACL(of: port, .egress, &way) { return false }
        if let port, isOpen(port), !passesRelay(from: port, to: receivers, &way) { return false }
        if let target, !passesACL(of: target, .ingress, &way) { return false }
        let known = seen[way.host]
        let state: ConnectionState =
            !way.isAnswer ? way.packet.firstState : known != nil ? .established : way.packet.lateState
        let isSent = way.isAnswer && port.map { hasBeenAsked($0, known) } ?? true
        let isAwaited = way.isAnswer && target.map { awaits($0, way.packet, known) } ?? true
        if isSent, isAwaited, known != nil, way.isAnswer {
            way.add(.connection, .allow, "an answer of a connection that was allowed: security groups let it pass", nil)
            return true
        }
        if let port, !isSent, !passesGroups(of: port, .egress, state, &way) { return false }
        if let target, !isAwaited, !passesGroups(of: target, .ingress, state, &way) { return false }
        if !way.isAnswer, state == .new { remember(way.packet, from: port, to: target, on: way.host) }
        return true
    }

    /// Whether what this interface sends answers a question that its groups have let in. A gateway's answer is one where
    /// somebody else has asked.
    private func hasBeenAsked(_ interface: Int, _ sides: Sides?) -> Bool {
        guard let sides else { return false }
        return isOpen(interface) ? !sides.isDisjoint(with: [.gateway, .originator]) : sides.contains(.responder)
    }

    /// Whether an answer to this interface is one to a question of its own; what a gateway is to pass on may be anybody's.
    private func awaits(_ interface: Int, _ answer: Packet, _ sides: Sides?) -> Bool {
        guard let sides else { return false }
        let isPassedOn = isOpen(interface) && answer.destination != topology.interfaces[interface].address
        return isPassedOn || sides.contains(.originator)
    }

    private mutating func remember(_ packet: Packet, from port: Int?, to target: Int?, on host: Int) {
        var sides = seen[host] ?? []
        if let port, !isOpen(port) || packet.source == topology.interfaces[port].address { sides.insert(.originator) }
        if let target {
            if !isOpen(target) {
                sides.insert(.responder)
            } else if !(port.map { isOpen($0) && isSameGuest(topology.interfaces[$0], topology.interfaces[target]) }
                ?? false)
            {
                sides.insert(.gateway)
            }
        }
        seen[host] = sides
    }

    private func isOpen(_ interface: Int) -> Bool { !topology.interfaces[interface].sourceDestCheck }

    // MARK: Words

    func reference(_ interface: ResolvedInterface) -> ResourceReference {
        ResourceReference(.networkInterface, interface.name)
    }

    private func hostName(_ host: Int) -> String { topology.hosts[host].metadata.name }

    /// `fw-a on h1 (75 %)`.
    private func share(of route: ResolvedRoute) -> [String] {
        let total = route.nextHops.reduce(0) { $0 + $1.weight }
        return route.nextHops.map {
            let interface = topology.interfaces[$0.interface]
            let name = "\(interface.name) on \(hostName(interface.host))"
            guard route.nextHops.count > 1, total > 0 else { return name }
            let tenths = ($0.weight * 1000 + total / 2) / total
            return name + " (\(tenths / 10)" + (tenths % 10 == 0 ? "" : ".\(tenths % 10)") + " %)"
        }
    }

    /// The route's position in its manifest; the topology has its own order.
    private func path(ofRoute destination: IPPrefix, in context: RoutingContext) -> FieldPath {
        guard let table = context.routeTable,
            let source = model?.routeTables.first(where: { $0.metadata.name == topology.routeTables[table].name }),
            let position = source.routes.firstIndex(where: { $0.destination == destination })
        else { return ["spec", "routes"] }
        return ["spec", "routes", .index(position)]
    }

    // MARK: Facts

    private func isSameGuest(_ one: ResolvedInterface, _ other: ResolvedInterface) -> Bool {
        if one.name == other.name { return true }
        guard one.host == other.host, case .namespace(let left, _) = one.attachment,
            case .namespace(let right, _) = other.attachment
        else { return false }
        return left == right
    }

    /// Proxy ARP does not answer for what lies behind the port that asks.
    private func isOnlyBackToSender(_ route: ResolvedRoute, _ port: Int, _ destination: IPAddress) -> Bool {
        route.nextHops.count == 1 && route.nextHops[0].interface == port
            && topology.subnets[topology.interfaces[port].subnet].cidr.contains(destination)
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
    let packet: Packet
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
}

/// What connection tracking makes of a packet.
enum ConnectionState {
    case new
    case established
    case invalid
}

extension Packet {
    /// The state of a question: of ICMP only requests are beginnings.
    fileprivate var firstState: ConnectionState {
        guard case .icmp(let type, _) = content else { return .new }
        return Self.icmpAnswers[type] == nil ? .invalid : .new
    }

    /// The state of an answer on a host that has not seen the question: only UDP looks like a beginning.
    fileprivate var lateState: ConnectionState { ipProtocol == .udp ? .new : .invalid }
}
