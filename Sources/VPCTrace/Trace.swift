public import IPAddressing
public import VPCCompiler
public import VPCModel
public import VPCTopology

/// The way of one packet through the VPC, and of its answer, with everything that decides on it.
///
/// A pure function of the topology: it says what the kernels do once every host is applied and every guest is there.
public struct Trace: Sendable, Hashable {
    /// A number of `Topology.interfaces`; nil: somebody outside sends it.
    public var from: Int?
    /// The interface that was meant, where one was named.
    public var toInterface: Int?
    /// Whether that one is in another VPC, where no packet of the sender gets to.
    public var isOtherVPC: Bool
    public var forward: Journey
    /// The answers: one, or one of each gateway that the packet may reach; none where it reaches nobody.
    public var returns: [Journey]

    /// Whether the packet reaches whom it is for, whichever way it takes.
    public var isDelivered: Bool {
        if isOtherVPC { return false }
        switch forward.verdict {
        case .delivered, .deliveredToGateways, .answeredByHost, .sentOut, .staysInGuest: return true
        case .dependsOnGateway, .dropped, .unreachable, .blackhole: return false
        }
    }

    /// Whether an answer comes back, whichever way it takes.
    public var isAnswered: Bool {
        guard isDelivered else { return false }
        return returns.allSatisfy(isAnswer)
    }

    /// Whether a packet on its way back gets to whoever has asked, from whom he has asked.
    public func isAnswer(_ journey: Journey) -> Bool {
        switch journey.verdict {
        case .delivered, .deliveredToGateways, .staysInGuest: journey.arrival == forward.packet.answer
        case .sentOut: from == nil && journey.arrival == forward.packet.answer
        case .answeredByHost, .dependsOnGateway, .dropped, .unreachable, .blackhole: false
        }
    }
}

/// One packet's way.
public struct Journey: Sendable, Hashable {
    /// As it is sent.
    public var packet: Packet
    /// As it is at the end, where its addresses may be others.
    public var arrival: Packet
    /// Who sends it.
    public var sender: Sender
    /// In the order in which they are taken. Where several gateways share the traffic, the steps of each follow one
    /// another, marked with the gateway.
    public var steps: [TraceStep]
    public var verdict: TraceVerdict

    public enum Sender: Sendable, Hashable {
        /// A number of `Topology.interfaces`.
        case interface(Int)
        /// A number of `Topology.hosts`.
        case host(Int)
        /// Somebody out there: a number of `Topology.externalNetworks`.
        case external(Int)
    }
}

/// What becomes of a packet.
public enum TraceVerdict: Sendable, Hashable {
    /// A number of `Topology.interfaces`.
    case delivered(Int)
    /// One of these gateways has it, chosen by the flow's hash, and decides what becomes of it.
    case deliveredToGateways([Int])
    /// Several gateways share the traffic, and it is dropped on the way to some of them.
    case dependsOnGateway(reaching: [Int], dropped: [Int])
    /// The host itself answers: an echo request to the subnet's gateway.
    case answeredByHost(Int)
    /// It has left for the provider's router: a number of `Topology.externalNetworks`.
    case sentOut(Int)
    /// The guest has that address itself.
    case staysInGuest
    /// The last step says by what.
    case dropped
    /// Dropped, and the sender is told so by ICMP or gets no answer to ARP.
    case unreachable
    /// Dropped silently, by a route that says so.
    case blackhole
}

/// One decision on a packet's way.
public struct TraceStep: Sendable, Hashable {
    /// Where it is made: a number of `Topology.hosts`.
    public var host: Int
    public var stage: Stage
    public var verdict: Verdict
    /// In the user's words, one phrase.
    public var text: String
    /// What decided, and which field of it.
    public var resource: ResourceReference?
    public var path: FieldPath
    /// The counter of the host's kernel that counts what is decided here, where there is one (``RuleCounter``).
    public var counter: FirewallName?
    /// The packet from here on, where its addresses or ports have become others.
    public var translated: Packet?
    /// The gateway on whose branch this is, where several share the traffic: a number of `Topology.interfaces`.
    public var gateway: Int?

    public enum Stage: String, Sendable, Hashable, CaseIterable {
        case interface
        case sourceCheck
        case route
        case tunnel
        case aclEgress
        case aclIngress
        case connection
        case groupEgress
        case groupIngress
        case host
        case translation
        case delivery

        /// As people read it.
        public var title: String {
            switch self {
            case .interface: "interface"
            case .sourceCheck: "source check"
            case .route: "route"
            case .tunnel: "tunnel"
            case .aclEgress: "ACL out"
            case .aclIngress: "ACL in"
            case .connection: "connection"
            case .groupEgress: "groups out"
            case .groupIngress: "groups in"
            case .host: "host"
            case .translation: "translation"
            case .delivery: "delivery"
            }
        }
    }

    public enum Verdict: String, Sendable, Hashable {
        /// Nothing was decided: where the packet is.
        case note
        case allow
        case deny
    }
}

extension Topology {
    /// Follows one packet and its answer.
    /// - Parameters:
    ///   - from: the sending interface, an index into `interfaces`.
    ///   - toInterface: the interface that is meant, where one was named.
    ///   - source: the source address; the sender's own when nil.
    ///   - model: what the topology was resolved from, to name positions of its lists; without it a step names the list.
    public func traced(
        from: Int, to destination: IPAddress, toInterface: Int? = nil, _ content: Packet.Content,
        source: IPAddress? = nil, model: Model? = nil
    ) -> Trace {
        let packet = Packet(from: source ?? interfaces[from].address, to: destination, content)
        var walk = Walk(topology: self, model: model)
        let forward = walk.journey(of: packet, from: .interface(from))
        let isOtherVPC =
            toInterface.map { interfaces[$0].vpc }.map {
                $0 != interfaces[from].vpc && !arePeers($0, interfaces[from].vpc)
            }
            ?? false
        var trace = Trace(
            from: from, toInterface: toInterface, isOtherVPC: isOtherVPC, forward: forward, returns: [])
        if isOtherVPC, let toInterface {
            trace.forward.steps.insert(walk.otherVPC(toInterface, from), at: 1)
        }
        trace.returns = walk.answers(to: forward)
        return trace
    }

    /// Follows one packet that somebody outside sends, and its answer.
    /// - Parameters:
    ///   - source: Whose it is, out there.
    ///   - network: By which it comes, a number of `externalNetworks`.
    ///   - destination: A public address.
    public func traced(
        fromOutside source: IPAddress, by network: Int, to destination: IPAddress, _ content: Packet.Content,
        model: Model? = nil
    ) -> Trace {
        var walk = Walk(topology: self, model: model)
        let forward = walk.journey(of: Packet(from: source, to: destination, content), from: .external(network))
        return Trace(
            from: nil, toInterface: nil, isOtherVPC: false, forward: forward, returns: walk.answers(to: forward))
    }
}
