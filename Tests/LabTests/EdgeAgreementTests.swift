import Glibc
import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic
import VPCModel
import VPCTopology
import VPCTrace

@testable import VPCLab

extension LabTests {
    /// What the trace says of packets that leave for an external network, come from there, or get from one guest to another
    /// by public addresses, is what the kernels do: who gets them, with which addresses, and who is answered.
    @Suite(.needsOverlay, .timeLimit(minutes: 20)) struct EdgeAgreementTests {
        @Test(arguments: Seeds.fresh(with: 1)) func drawnPacketsGoWhereTheTraceSays(_ seed: UInt64) throws {
            var dice = Dice(seed: seed)
            let scenario = Scenario.drawnEdge(&dice)
            let lab = try TestLab(scenario)
            defer { lab.tearDown() }
            let plan = lab.lab.plan
            let responders = try Responders()
            defer { responders.stop() }
            // Loads the module: a kernel without it says "protocol unreachable", which is no answer.
            _ = try Socket(AF_INET, SOCK_STREAM, Int32(IPPROTO_SCTP))
            var places = Dictionary(
                uniqueKeysWithValues: plan.guests.map { ($0.name, NetworkNamespace.named($0.namespace)) })
            for provider in plan.providers { places[provider.name] = .named(provider.namespace) }
            let services = EdgeQuestion.ports.filter { $0 != Station.udpPort && $0 != Station.tcpPort }
            for (name, place) in places { try responders.serve(as: name, in: place, udp: services, tcp: services) }

            var numbers = UInt16(20000)
            let questions = (0..<1200).map { _ in
                EdgeQuestion.drawn(plan.topology, scenario.model, &numbers, &dice)
            }.filter { $0.trace.forward.verdict != .staysInGuest }
            var volley = try PacketVolley(questions.map { $0.shot(plan) }, places: places, areTranslated: true)
            try volley.run(patience: .seconds(20), silence: .seconds(1))
            var counts: [String: Int] = [:]
            for (question, shot) in zip(questions, volley.shots) {
                counts[question.kind(plan.topology), default: 0] += 1
                guard let complaint = question.complaint(about: shot, plan) else { continue }
                Issue.record("seed \(seed): \(complaint)\n\(question.story(plan.topology))")
            }
            print("edge agreement: \(counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" })")
            // A draw in which nothing is translated, or nothing denied, would show nothing.
            #expect(counts.count >= 10, "\(counts)")
        }
    }
}

/// One packet, and what the trace says of it.
private struct EdgeQuestion {
    var packet: OutgoingPacket
    var trace: Trace

    static let ports: [UInt16] = [80, 443, 5432, Station.udpPort, Station.tcpPort]
    private static let insider: IPAddress = "10.0.1.200"
    private static let outside: [IPAddress] = ["198.51.100.7", "198.51.100.200"]
    private static let router: IPAddress = "192.0.2.1"
    /// Behind the provider's router, where nobody has it.
    private static let nobody: IPAddress = "198.51.100.99"

    static func drawn(_ topology: Topology, _ model: Model, _ number: inout UInt16, _ dice: inout Dice) -> EdgeQuestion
    {
        number += 1
        let content: Packet.Content
        switch Int.random(in: 0..<10, using: &dice) {
        case 0..<3:
            // Timestamps are answered, too; answers begin nothing.
            content = .icmp(type: dice.pick([8, 8, 8, 8, 13, 0]), code: 0)
        case 3..<6:
            content = .udp(sourcePort: number, destinationPort: dice.pick(ports.filter { $0 != Station.tcpPort }))
        case 6: content = .sctp(sourcePort: number, destinationPort: dice.pick(ports))
        default: content = .tcp(sourcePort: number, destinationPort: dice.pick(ports))
        }
        if dice.happens(40) { return inwards(topology, model, content, number, &dice) }
        let from = dice.pick(Array(topology.interfaces.indices))
        let interface = topology.interfaces[from]
        let others = topology.interfacesOfVPC[interface.vpc].map { topology.interfaces[$0].address }
        let destination: IPAddress
        switch Int.random(in: 0..<100, using: &dice) {
        case 0..<20: destination = dice.pick(others)
        case 20..<50: destination = dice.pick(outside + [nobody])
        case 50..<95: destination = publicAddress(topology, &dice)
        default: destination = dice.pick(["10.0.9.11", "10.0.77.1", "169.254.169.254", router])
        }
        // Of what has a public address of its own, and, now and then, of what has it not.
        let public1 = topology.elasticIPs.first { $0.interface == from }?.address
        let source = dice.happens(25) ? public1 ?? interface.address : interface.address
        return EdgeQuestion(
            packet: OutgoingPacket(from: source, to: destination, OutgoingPacket.Content(content, number)),
            trace: topology.traced(from: from, to: destination, content, source: source, model: model))
    }

    private static func inwards(
        _ topology: Topology, _ model: Model, _ content: Packet.Content, _ number: UInt16, _ dice: inout Dice
    ) -> EdgeQuestion {
        let destination = publicAddress(topology, &dice)
        // And somebody who pretends to be inside.
        let forged = destination == "192.0.2.100" ? [] : [insider]
        let source = dice.pick(outside + [router] + forged)
        return EdgeQuestion(
            packet: OutgoingPacket(from: source, to: destination, OutgoingPacket.Content(content, number)),
            trace: topology.traced(fromOutside: source, by: 0, to: destination, content, model: model))
    }

    private static func publicAddress(_ topology: Topology, _ dice: inout Dice) -> IPAddress {
        switch Int.random(in: 0..<100, using: &dice) {
        case 0..<80: dice.pick(topology.elasticIPs.map(\.address))
        case 80..<90: dice.pick(topology.natGateways.flatMap(\.addresses))
        case 90..<95: "203.0.113.222"
        default: "192.0.2.100"
        }
    }

    // MARK: What is expected

    private var isByRouter: Bool { trace.forward.steps.contains { $0.text.hasSuffix("the router sends it back") } }

    private func receivers(_ plan: LabPlan) -> Set<String> {
        let provider = plan.providers[0].name
        switch trace.forward.verdict {
        case .delivered(let index):
            return Set([plan.guests[plan.guestOfInterface[index]].name] + (isByRouter ? [provider] : []))
        case .sentOut: return [provider]
        case .dropped, .answeredByHost: return isByRouter ? [provider] : []
        default: return []
        }
    }

    /// Nil where it is for somebody else.
    private func isAnswered(_ topology: Topology) -> Bool? {
        if case .icmp(0, _, _, _) = packet.content { return false }
        if case .sentOut = trace.forward.verdict {
            // The host itself: where it has a way there, see `Walk.answer(to:_:)`.
            if packet.destination == "192.0.2.100" { return nil }
            return trace.isAnswered && (Self.outside + [Self.router]).contains(packet.destination)
        }
        return trace.isAnswered
    }

    func shot(_ plan: LabPlan) -> PacketVolley.Shot {
        let sender = trace.from.map { plan.guests[plan.guestOfInterface[$0]].name } ?? plan.providers[0].name
        let ofSender = packet.source == Self.insider ? Self.router : packet.source
        let address = trace.from.map { plan.topology.interfaces[$0].address } ?? ofSender
        var shot = PacketVolley.Shot(packet: packet, sender: sender, address: address)
        shot.receivers = receivers(plan)
        shot.isAnswerAwaited = isAnswered(plan.topology) == true
        return shot
    }

    func kind(_ topology: Topology) -> String {
        let direction = trace.from == nil ? "in" : isByRouter ? "by router" : "out"
        let isTranslated = trace.forward.arrival != trace.forward.packet
        let stage = trace.forward.steps.last { $0.verdict == .deny }.map { " by \($0.stage)" } ?? ""
        let word: String =
            switch trace.forward.verdict {
            case .delivered: trace.isAnswered ? "answered" : "delivered"
            case .sentOut: "sent"
            case .answeredByHost: "answered by host"
            default: "denied"
            }
        return direction + (isTranslated ? ", translated" : "") + ": " + word + stage
    }

    /// What was seen that the trace does not say.
    func complaint(about shot: PacketVolley.Shot, _ plan: LabPlan) -> String? {
        let expected = receivers(plan)
        if shot.arrivedAt != expected {
            return "is said to reach \(expected.sorted()), was seen at \(shot.arrivedAt.sorted())"
        }
        let arrival = PacketVolley.Ends(
            source: trace.forward.arrival.source, destination: trace.forward.arrival.destination)
        let place: String? =
            switch trace.forward.verdict {
            case .delivered(let index): plan.guests[plan.guestOfInterface[index]].name
            case .sentOut: plan.providers[0].name
            default: nil
            }
        if let place, let seen = shot.ends[place], seen != [arrival] {
            return "is said to be \(arrival) at \(place), was \(seen)"
        }
        if let isAnswered = isAnswered(plan.topology), isAnswered != shot.isAnswered {
            return "is said to get \(isAnswered ? "an" : "no") answer, and has got \(shot.isAnswered ? "one" : "none")"
        }
        return nil
    }

    /// The trace in a few lines.
    func story(_ topology: Topology) -> String {
        ([trace.forward] + trace.returns).map { journey in
            "  \(journey.packet)\n"
                + journey.steps.map { step in
                    "  \(topology.hosts[step.host].metadata.name) \(step.stage) \(step.verdict): \(step.text)"
                }.joined(separator: "\n") + "\n  => \(journey.verdict)"
        }.joined(separator: "\n")
    }
}

extension Scenario {
    /// Two tenants with the same addresses behind NAT gateways of one host, which has guests, too; elastic IPs of all modes,
    /// some reserved, some of what has no way out; groups and ACLs.
    fileprivate static func drawnEdge(_ dice: inout Dice) -> Scenario {
        var scenario = Scenario()
        for number in 1...2 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        scenario.host("gw", "172.31.0.11")
        scenario.network("internet", on: "gw", mode: dice.pick([.macvlan, .ipvlan]))
        for (number, vpc) in ["blue", "green"].enumerated() {
            scenario.vpc(vpc, UInt32(101 + number), "10.0.0.0/16")
            scenario.drawPolicies(vpc, &dice)
            scenario.drawWays(vpc, number, &dice)
        }
        scenario.drawElasticIPs(&dice, hasStateless: scenario.model.externalNetworks[0].gateways[0].mode == .macvlan)
        // Somebody out there.
        for (number, address) in (["198.51.100.7", "198.51.100.200"] as [IPAddress]).enumerated() {
            scenario.probe("outside-\(number)", "blue-1-a", toAddress: address, .icmp, .allow)
        }
        return scenario
    }

    private mutating func drawWays(_ vpc: String, _ tenant: Int, _ dice: inout Dice) {
        let first = UInt32(10 + 100 * tenant)
        let addresses = (0..<dice.pick([1, 3])).map { IPAddress(v4: 0xCB00_7100 + first + UInt32($0)) }
        for (name, address, own) in [("nat", "10.0.9.11", addresses), ("other", "10.0.9.12", [])]
            as [(
                String, IPAddress, [IPAddress]
            )]
        {
            model.natGateways.append(
                NATGateway(
                    metadata: Metadata(name: "\(vpc)-\(name)"), subnet: "\(vpc)-9", address: address,
                    externalNetwork: "internet",
                    pool: .addresses(own.isEmpty ? [IPAddress(v4: 0xCB00_7105 + first)] : own)))
        }
        var routes = [Self.out("0.0.0.0/0", "\(vpc)-nat")]
        // One half of the outside by another gateway.
        if dice.happens(60) { routes.append(Self.out("198.51.100.128/25", "\(vpc)-other")) }
        if dice.happens(30) { routes.append(Self.blackhole("203.0.113.48/29")) }
        model.routeTables.append(RouteTable(metadata: Metadata(name: "\(vpc)-routes"), vpc: vpc, routes: routes))
        let acls = model.acls.filter { $0.vpc == vpc }.map(\.metadata.name)
        for part in ["1", "2", "9"] {
            var subnet = Subnet(
                metadata: Metadata(name: "\(vpc)-\(part)"), vpc: vpc, cidr: Self.prefix("10.0.\(part).0/24"))
            if part == "1" || part == "2" && dice.happens(50) { subnet.routeTable = "\(vpc)-routes" }
            if dice.happens(50) { subnet.acl = dice.pick(acls) }
            model.subnets.append(subnet)
            if part == "9" { continue }
            for (place, host) in zip(["a", "b", "c"], ["h1", "h2", "gw"]) {
                let last = ["a": 10, "b": 11, "c": 12][place] ?? 13
                interface("\(vpc)-\(part)-\(place)", "\(vpc)-\(part)", on: host, IPAddress("10.0.\(part).\(last)"))
                if dice.happens(50) {
                    model.interfaces[model.interfaces.count - 1].securityGroups = drawGroups(vpc, &dice)
                }
            }
        }
    }

    private mutating func drawElasticIPs(_ dice: inout Dice, hasStateless: Bool) {
        let modes: [ElasticIP.Mode] = [.nat, .nat, hasStateless ? .stateless : .nat, .passThrough]
        for (number, interface) in model.interfaces.map(\.metadata.name).shuffled(using: &dice).prefix(9).enumerated() {
            elasticIP("eip-\(number)", IPAddress(v4: 0xCB00_7132 + UInt32(number)), interface, dice.pick(modes))
        }
        elasticIP("spare", "203.0.113.70", nil)
    }
}
