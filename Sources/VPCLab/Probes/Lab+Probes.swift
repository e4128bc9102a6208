import IPAddressing
import Netlink
import VPCModel
import VPCTopology

extension Lab {
    /// Carries out all Probes at once.
    ///
    /// `allow` means that the answer of the target itself came back. `deny` means that none came although the question
    /// was seen to leave its sender, several times, and although the target answers those in its own namespace: a lab
    /// that is broken denies nothing.
    public func runProbes(timing: ProbeTiming = ProbeTiming()) throws -> ProbeReport {
        let tasks = try plan.topology.probes.map { try ProbeTask($0, plan) }
        let responders = try Responders()
        defer { responders.stop() }
        let occupied = serve(tasks, responders)

        var exchanges: [Exchange] = []
        var controls: [[(name: String, exchange: Int)]] = []
        for task in tasks { exchanges.append(task.exchange) }
        for task in tasks {
            var own: [(String, Int)] = []
            if task.probe.expect == .deny {
                for witness in task.witnesses {
                    own.append((witness.name, exchanges.count))
                    exchanges.append(task.control(witness))
                }
            }
            controls.append(own)
        }
        var run = try ExchangeRun(exchanges, timing: timing)
        try run.run()

        let results = tasks.indices.map { index in
            let task = tasks[index]
            if let reason = occupied[index] { return task.result(.unclear, .zero, reason) }
            let broken = controls[index].first { !run.exchanges[$0.exchange].isAnswered }
            return task.result(of: run.exchanges[index], brokenControl: broken?.name)
        }
        return ProbeReport(results: results)
    }

    /// Starts the responders that the probes need.
    /// - Returns: For each probe whose responder cannot listen, why.
    private func serve(_ tasks: [ProbeTask], _ responders: Responders) -> [Int: String] {
        struct Service: Hashable {
            var witness: ProbeTask.Witness
            var transport: Probe.Transport
        }
        var outcomes: [Service: String?] = [:]
        var occupied: [Int: String] = [:]
        for (index, task) in tasks.enumerated() {
            for var witness in task.witnesses {
                // A responder answers on all addresses of its namespace.
                witness.address = .anyIPv4
                let service = Service(witness: witness, transport: task.probe.transport)
                if outcomes[service] == nil {
                    outcomes[service] = .some(start(witness, task.probe.transport, responders))
                }
                if let reason = outcomes[service] ?? nil { occupied[index] = reason }
            }
        }
        return occupied
    }

    private func start(
        _ witness: ProbeTask.Witness, _ transport: Probe.Transport, _ responders: Responders
    ) -> String? {
        do {
            switch transport {
            case .icmp: break  // The kernel answers.
            case .tcp(let port): try responders.serve(as: witness.name, in: witness.namespace, udp: [], tcp: [port])
            case .udp(let port): try responders.serve(as: witness.name, in: witness.namespace, udp: [port], tcp: [])
            case .sctp(let port):
                try responders.serve(as: witness.name, in: witness.namespace, udp: [], tcp: [], sctp: [port])
            }
            return nil
        } catch {
            return "no responder in \(witness.name): \(error)"
        }
    }
}

/// One Probe in terms of the lab.
private struct ProbeTask {
    let probe: ResolvedProbe
    let sender: Station
    let senderName: String
    let fromName: String
    let toName: String
    /// Those that would answer, were they reached.
    let witnesses: [Witness]

    struct Witness: Hashable {
        var name: String
        var namespace: NetworkNamespace
        var address: IPAddress
    }

    init(_ probe: ResolvedProbe, _ plan: LabPlan) throws(LabError) {
        let topology = plan.topology
        self.probe = probe
        toName = probe.toInterface.map { topology.interfaces[$0].name } ?? "\(probe.toAddress)"
        switch probe.from {
        case .interface(let number):
            let from = topology.interfaces[number]
            let guest = plan.guests[plan.guestOfInterface[number]]
            sender = Station(.named(guest.namespace), source: from.address)
            senderName = guest.name
            fromName = from.name
            witnesses = Self.witnesses(of: probe, from: from, plan)
        case .external(let source):
            let network = topology.network(ofPublic: probe.toAddress)
            guard let provider = plan.providers.first(where: { $0.network == network }),
                provider.addresses.contains(source)
            else {
                throw LabError(
                    .unsupported, "Probe \(probe.name): nobody outside has \(source)",
                    hint:
                        "name an address that is in none of the pools, and neither the provider's router nor the uplink"
                )
            }
            sender = Station(.named(provider.namespace), source: source)
            senderName = provider.name
            fromName = "external:\(source)"
            witnesses = Self.witnesses(ofPublic: probe.toAddress, plan)
        }
    }

    /// Who is to answer for a public address.
    private static func witnesses(ofPublic address: IPAddress, _ plan: LabPlan) -> [Witness] {
        let topology = plan.topology
        let uplinks = topology.externalNetworks.filter { $0.uplinkAddress == address }.flatMap(\.uplinks)
        let hosts = uplinks.map { topology.hosts[$0.host] }.map {
            Witness(name: $0.metadata.name, namespace: .named($0.networkNamespace), address: address)
        }
        let interfaces = topology.elasticIPs.filter { $0.address == address }.compactMap(\.interface)
        return hosts
            + interfaces.map {
                let guest = plan.guests[plan.guestOfInterface[$0]]
                return Witness(
                    name: guest.name, namespace: .named(guest.namespace), address: topology.interfaces[$0].address)
            }
    }

    private static func witnesses(
        of probe: ResolvedProbe, from: ResolvedInterface, _ plan: LabPlan
    ) -> [Witness] {
        let topology = plan.topology
        let address = probe.toAddress
        let inGuest = { (interface: Int) in
            let guest = plan.guests[plan.guestOfInterface[interface]]
            return Witness(name: guest.name, namespace: .named(guest.namespace), address: address)
        }
        if let target = probe.toInterface { return [inGuest(target)] }
        let vpc = from.vpc
        if let own = topology.interface(at: address, inVPC: vpc) {
            return [inGuest(own)]
        }
        if let balancer = topology.loadBalancer(at: address, inVPC: vpc) {
            let groups = topology.loadBalancers[balancer].targetGroups
            let targets = Set(groups.flatMap { topology.targetGroups[$0].targets.map(\.interface) })
            return topology.inOrder(targets, of: \.interfaces).map { target in
                var witness = inGuest(target)
                witness.address = topology.interfaces[target].address
                return witness
            }
        }
        if topology.network(ofPublic: address) != nil { return witnesses(ofPublic: address, plan) }
        var witnesses = plan.hosts.filter { $0.address == address }.map {
            Witness(name: $0.name, namespace: .named($0.namespace), address: address)
        }
        if !topology.vpcs[vpc].cidrs.contains(where: { $0.contains(address) }) {
            let gateways = Set(
                topology.routeTables.filter { $0.vpc == vpc }.flatMap(\.routes).flatMap(\.nextHops)
                    .compactMap(\.interface).map { plan.guestOfInterface[$0] })
            witnesses += gateways.sorted().compactMap { plan.guests[$0].internet }.filter {
                $0.addresses.contains(address)
            }.map { Witness(name: $0.name, namespace: .named($0.namespace), address: address) }
            let networks = Set(topology.natGateways(ofVPC: vpc).map { topology.natGateways[$0].network })
            witnesses += plan.providers.filter {
                networks.contains($0.network) && $0.addresses.contains(address)
            }.map { Witness(name: $0.name, namespace: .named($0.namespace), address: address) }
        }
        // Others' interfaces with that address must stay out of reach.
        if probe.expect == .deny {
            witnesses += topology.interfaces.indices.filter { topology.interfaces[$0].has(address) }.map(inGuest)
        }
        return witnesses
    }

    var exchange: Exchange {
        Exchange(
            from: sender, to: probe.toAddress, arrivingAt: witnesses.first?.address, probe.transport,
            witnesses: Dictionary(witnesses.map { ($0.name, $0.namespace) }, uniquingKeysWith: { first, _ in first }),
            isAwaited: probe.expect == .allow)
    }

    /// The same question from inside the target's own namespace: it shows that the target would answer.
    func control(_ witness: Witness) -> Exchange {
        Exchange(
            from: Station(witness.namespace, source: witness.address), to: witness.address, probe.transport,
            witnesses: [witness.name: witness.namespace], isAwaited: true)
    }

    // MARK: Judgement

    func result(_ seen: ProbeResult.Seen, _ time: Duration, _ reason: String) -> ProbeResult {
        ProbeResult(
            name: probe.name, from: fromName, to: toName, transport: probe.transport, expected: probe.expect,
            seen: seen, time: time, reason: reason)
    }

    func result(of exchange: Exchange, brokenControl: String?) -> ProbeResult {
        if let answer = exchange.answer {
            return result(.allow, answer.delay, probe.expect == .deny ? "answered by \(answer.name)" : "")
        }
        let waited = exchange.firstSent?.duration(to: .now) ?? .zero
        let complaint = complaint(about: exchange)
        if let brokenControl {
            return result(.unclear, waited, "\(brokenControl) does not answer even in its own namespace")
        }
        if !exchange.hasLeft, !exchange.isNeighborSought {
            return result(.unclear, waited, exchange.failure ?? "the request never left \(senderName)")
        }
        // Whoever let a connection come about let packets through.
        if exchange.isConnected, exchange.strangers.isEmpty {
            return result(.allow, waited, "connected, but got no answer")
        }
        return result(.deny, waited, complaint)
    }

    /// Why there was no answer.
    private func complaint(about exchange: Exchange) -> String {
        if let error = exchange.icmpError { return error.description }
        if let stranger = exchange.strangers.sorted().first { return "answered by \(stranger), not by \(toName)" }
        if exchange.hasLeft, let failure = exchange.failure { return failure }
        if let reached = exchange.arrivedAt.sorted().first {
            return "the request arrived at \(reached), no answer came back"
        }
        let arp = exchange.hasLeft ? "" : " to ARP"
        return "no answer\(arp)" + (witnesses.isEmpty ? ", nobody has that address" : ", the request did not arrive")
    }
}
