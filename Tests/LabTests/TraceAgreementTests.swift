import CTraffic
import Foundation
import Glibc
import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic
import VPCCompiler
import VPCModel
import VPCTopology
import VPCTrace

@testable import VPCLab

extension LabTests {
    /// What the trace says is what the kernels do.
    @Suite(.needsOverlay, .timeLimit(minutes: 20)) struct TraceAgreementTests {
        @Test(arguments: Seeds.fresh(with: 1)) func drawnPacketsGoWhereTheTraceSays(_ seed: UInt64) throws {
            var dice = Dice(seed: seed)
            // The first draw has lists of a few lines, every other one some that take several lookups as well.
            let scenario = Scenario.drawn(&dice, hasLongLists: seed != 1)
            let lab = try TestLab(scenario)
            defer { lab.tearDown() }
            let topology = lab.lab.plan.topology
            let responders = try Responders()
            defer { responders.stop() }
            // Loads the module: a kernel without it says "protocol unreachable", which is no answer.
            _ = try Socket(AF_INET, SOCK_STREAM, Int32(IPPROTO_SCTP))
            let services = Question.ports.filter { $0 != Station.udpPort && $0 != Station.tcpPort }
            for guest in lab.lab.plan.guests {
                try responders.serve(as: guest.name, in: .named(guest.namespace), udp: services, tcp: services)
            }

            var counts: [String: Int] = [:]
            var numbers = UInt16(20000)
            // All at once: of a neighbour that was sought in vain the kernel does not ask again for a while.
            let questions = (0..<2000).map { _ in Question.drawn(topology, scenario.model, &numbers, &dice) }
                .filter { $0.trace.forward.verdict != .staysInGuest }
            for question in questions { counts[question.kind, default: 0] += 1 }
            try compare(questions, in: lab, seed: seed)
            print("trace agreement: \(counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" })")
            // A draw in which nothing is allowed, or nothing denied, would show nothing.
            #expect(counts.count >= 10, "\(counts)")
        }

        /// The same with load balancers of both VPCs, whose targets come from everywhere, gateways and askers among them.
        @Test(arguments: Seeds.fresh(with: 1)) func balancedPacketsGoWhereTheTraceSays(_ seed: UInt64) throws {
            var dice = Dice(seed: seed)
            let scenario = Scenario.drawnWithBalancers(&dice)
            let lab = try TestLab(scenario)
            defer { lab.tearDown() }
            let responders = try Responders()
            defer { responders.stop() }
            // Loads the module, as above.
            _ = try Socket(AF_INET, SOCK_STREAM, Int32(IPPROTO_SCTP))
            let services = Question.ports.filter { $0 != Station.udpPort && $0 != Station.tcpPort }
            for guest in lab.lab.plan.guests {
                try responders.serve(as: guest.name, in: .named(guest.namespace), udp: services, tcp: services)
            }
            var numbers = UInt16(20000)
            let topology = lab.lab.plan.topology
            let questions = (0..<1500).map { _ in
                Question.drawn(topology, scenario.model, &numbers, &dice, toBalancers: 70)
            }.filter { $0.trace.forward.verdict != .staysInGuest }
            try compare(questions, in: lab, seed: seed, areTranslated: true)
            var counts: [String: Int] = [:]
            for question in questions where question.isBalanced { counts[question.kind, default: 0] += 1 }
            print("balancer agreement: \(counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" })")
            // A draw in which nothing is allowed, or nothing denied, would show nothing.
            #expect(counts["answered", default: 0] > 20 && counts.count >= 5, "\(counts)")
        }

        /// The same of the later packets of connections, which pass by flowtables, and of those that come after the policies
        /// have changed: what is forbidden then is as if it had never been allowed. (TCP begins with a handshake, and its later
        /// packets with another flag: `EstablishedTests`.)
        @Test(arguments: Seeds.fresh(with: 1)) func establishedPacketsGoWhereTheTraceSays(_ seed: UInt64) throws {
            var dice = Dice(seed: seed)
            let scenario = Scenario.drawn(&dice, hasLongLists: false)
            let lab = try TestLab(scenario)
            defer { lab.tearDown() }
            let responders = try Responders()
            defer { responders.stop() }
            let services = Question.ports.filter { $0 != Station.udpPort && $0 != Station.tcpPort }
            for guest in lab.lab.plan.guests {
                try responders.serve(as: guest.name, in: .named(guest.namespace), udp: services, tcp: [])
            }
            var numbers = UInt16(20000)
            let questions = (0..<900).map { _ in
                Question.drawn(lab.lab.plan.topology, scenario.model, &numbers, &dice)
            }.filter { $0.isDatagram && $0.isRepeatable }
            for number in 1...5 { try compare(questions, in: lab, seed: seed, "packet \(number), ") }
            let offloaded = try (1...3).map { number in
                try lab.shell("vpc-h\(number)", "conntrack -L 2>/dev/null | grep -c OFFLOAD || true")
            }
            // A draw in which nothing passes would show nothing.
            #expect(
                offloaded.compactMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }.reduce(0, +) > 10,
                "\(offloaded)")

            // scripts/campaign.sh adds these up.
            print("trace agreement: \(questions.count) connections of seed \(seed)")
            let other = scenario.withOtherPolicies(&dice)
            try lab.become(other)
            let topology = lab.lab.plan.topology
            let again = questions.map { $0.asked(in: topology, other.model) }
            let turned = zip(questions, again).filter { $0.0.trace.isDelivered != $0.1.trace.isDelivered }
            #expect(turned.contains { $0.0.trace.isDelivered } && turned.contains { $0.1.trace.isDelivered })
            // A connection by a middlebox is cut where its far end is here, too, before it leaves for the middlebox.
            let direct = again.filter { !$0.goesByGateways }
            for number in 6...7 { try compare(direct, in: lab, seed: seed, "packet \(number), ") }
        }

        /// The policies of a server are asked when a gateway sends a packet on to it, although the host has seen the
        /// same connection before: on its way to the gateway, or, where the client is there too, on its way out.
        @Test(arguments: [("h1", "h2"), ("h2", "h2"), ("h3", "h2"), ("h2", "h1"), ("h1", "h1")])
        func aMiddleboxOpensNothing(_ box: String, _ server: String) throws {
            let lab = try TestLab(.middlebox(on: box, serverOn: server))
            defer { lab.tearDown() }
            let topology = lab.lab.plan.topology
            let index = { (name: String) in try #require(topology.interfaces.firstIndex { $0.name == name }) }
            let (client, box, server) = (try index("client"), try index("box"), try index("server"))
            for (port, isAllowed) in [(Station.udpPort, true), (80, false)] {
                let to = topology.interfaces[server].address
                let content = Packet.Content.udp(sourcePort: Question.sourcePort, destinationPort: port)
                let first = topology.traced(from: client, to: to, content)
                #expect(first.forward.verdict == .deliveredToGateways([box]))
                let second = topology.traced(
                    from: box, to: to, content, source: topology.interfaces[client].address)
                #expect(second.isDelivered == isAllowed)

                let exchange = Exchange(
                    from: try lab.station("client", source: "10.0.1.10"), to: to, .udp(port: port),
                    witnesses: [
                        "box": .named(lab.namespace("box")), "server": .named(lab.namespace("server")),
                    ], isAwaited: isAllowed)
                var run = try ExchangeRun([exchange], timing: ProbeTiming())
                try run.run()
                let seen = run.exchanges[0].arrivedAt
                #expect(seen == (isAllowed ? ["box", "server"] : ["box"]))
            }
        }

        /// What looks like an answer is none where the policies of whoever sends it have not let the question in: a
        /// client whose packet a middlebox elsewhere has been given opens nothing for its accomplice beside it.
        @Test func nobodyAnswersWhatHeWasNotAllowedToHear() throws {
            let lab = try TestLab(.middlebox(on: "h2", serverOn: "h1"))
            defer { lab.tearDown() }
            let client: IPAddress = "10.0.1.10"
            let server: IPAddress = "10.0.2.10"
            let watch = try Capture(
                in: .named(lab.namespace("client")), filter: CaptureFilter(between: client, and: server))

            /// Asks from a port, sends what looks like the answer, and says whether that came back.
            func hasAnswered(_ port: UInt16) throws -> Bool {
                let question = OutgoingPacket(
                    from: client, to: server, .udp(sourcePort: 40000, destinationPort: port, payload: [1]))
                let answer = OutgoingPacket(
                    from: server, to: client, .udp(sourcePort: port, destinationPort: 40000, payload: [2]))
                let box = try Capture(in: .named(lab.namespace("box")))
                #expect(try PacketSender(in: .named(lab.namespace("client")), as: client).send(question) == 0)
                // The middlebox has had it, so the client's host knows the connection.
                try #require(box.waits { question.isSame(as: $0) })
                #expect(try PacketSender(in: .named(lab.namespace("server")), as: server).send(answer) == 0)
                // Sent after it on the same way, and always let through.
                #expect(try lab.station("server").ping(client).isReply)
                return watch.has { answer.isSame(as: $0) }
            }
            #expect(try hasAnswered(Station.udpPort))
            #expect(try !hasAnswered(80))
        }

        private func compare(
            _ questions: [Question], in lab: TestLab, seed: UInt64, _ which: String = "", areTranslated: Bool = false
        ) throws {
            let plan = lab.lab.plan
            let everybody = Dictionary(
                uniqueKeysWithValues: plan.guests.map { ($0.name, NetworkNamespace.named($0.namespace)) })
            var volley = try PacketVolley(
                questions.map { $0.shot(plan) }, places: everybody, areTranslated: areTranslated)
            try volley.run(patience: .seconds(20), silence: .seconds(1))
            for (question, shot) in zip(questions, volley.shots) {
                if let complaint = question.complaint(about: shot, plan) {
                    let sender = plan.topology.interfaces[question.from].name
                    Issue.record(
                        """
                        seed \(seed): \(which)\(sender): \(complaint)
                        \(question.story(plan.topology))
                        """)
                }
            }
        }
    }
}

/// One packet, and what the trace says of it.
private struct Question {
    var from: Int
    var packet: OutgoingPacket
    var content: Packet.Content
    var trace: Trace

    static let ports: [UInt16] = [80, 443, 5432, Station.udpPort, Station.tcpPort]

    /// No drawn rule tells the ports from 20000 up apart.
    static let sourcePort: UInt16 = 30000

    /// - Parameter number: What tells it from all others: its source port or identifier. Counted up.
    /// - Parameter share: Of those for a load balancer, in percent.
    static func drawn(
        _ topology: Topology, _ model: Model, _ number: inout UInt16, _ dice: inout Dice, toBalancers share: Int = 0
    ) -> Question {
        let from = dice.pick(Array(topology.interfaces.indices))
        let vpc = topology.interfaces[from].vpc
        let someone = { (dice: inout Dice) in
            topology.interfaces[dice.pick(topology.interfacesOfVPC[vpc])].address
        }
        var destination: IPAddress
        switch Int.random(in: 0..<100, using: &dice) {
        case 0..<80: destination = someone(&dice)
        case 80..<85: destination = dice.pick(topology.subnets.filter { $0.vpc == vpc }).gateway
        default:
            destination = dice.pick(
                ["10.0.1.99", "10.0.2.200", "10.0.77.1", "8.8.8.8", "203.0.113.1", "172.31.0.1", "172.31.0.2"])
        }
        if share > 0, dice.happens(share) {
            destination = dice.pick(
                topology.loadBalancers.filter { $0.vpc == vpc }.compactMap { $0.inside?.address })
        }
        number += 1
        let content: Packet.Content
        switch Int.random(in: 0..<10, using: &dice) {
        case 0..<3:
            // Timestamps are answered, too; answers begin nothing.
            content = .icmp(type: dice.pick([8, 8, 8, 8, 13, 0]), code: 0)
        case 3..<6:
            // Only where somebody listens is there an answer.
            let port = dice.pick(ports.filter { $0 != Station.tcpPort })
            content = .udp(sourcePort: number, destinationPort: port)
        case 6: content = .sctp(sourcePort: number, destinationPort: dice.pick(ports))
        default: content = .tcp(sourcePort: number, destinationPort: dice.pick(ports))
        }
        // Gateways send on what is others', and everybody may try.
        let isOthers = dice.happens(topology.interfaces[from].sourceDestCheck ? 4 : 60)
        let own = topology.interfaces[from].address
        let drawn = isOthers ? someone(&dice) : own
        let source = drawn == destination ? own : drawn
        return Question(
            from: from, packet: OutgoingPacket(from: source, to: destination, OutgoingPacket.Content(content, number)),
            content: content,
            trace: topology.traced(from: from, to: destination, content, source: source, model: model))
    }

    var isBalanced: Bool {
        trace.forward.steps.contains { $0.resource?.kind == .loadBalancer }
    }

    /// Whether it is of a protocol whose later packets look like the first one.
    var isDatagram: Bool {
        switch content {
        case .icmp, .udp: true
        default: false
        }
    }

    /// Whether it can be sent again at once: of a neighbour that was sought in vain the kernel does not ask for a while.
    var isRepeatable: Bool {
        switch trace.forward.verdict {
        case .staysInGuest, .unreachable: false
        default: true
        }
    }

    var goesByGateways: Bool {
        switch trace.forward.verdict {
        case .deliveredToGateways, .dependsOnGateway: true
        default: false
        }
    }

    /// The same packet, where the policies are others.
    func asked(in topology: Topology, _ model: Model) -> Question {
        var question = self
        question.trace = topology.traced(
            from: from, to: packet.destination, content, source: packet.source, model: model)
        return question
    }

    func shot(_ plan: LabPlan) -> PacketVolley.Shot {
        var shot = PacketVolley.Shot(
            packet: packet, sender: plan.guests[plan.guestOfInterface[from]].name,
            address: plan.topology.interfaces[from].address)
        if case .delivered(let index) = trace.forward.verdict {
            shot.receivers = [plan.guests[plan.guestOfInterface[index]].name]
        }
        shot.isAnswerAwaited = isAnswered(plan.topology) == true
        return shot
    }

    /// Nil where it is a gateway's decision, or goes to somebody else.
    private func isAnswered(_ topology: Topology) -> Bool? {
        if packet.source != topology.interfaces[from].address { return nil }
        if case .icmp(0, _, _, _) = packet.content { return false }
        // Refused by the sender's own host: with a reset.
        if trace.forward.steps.last?.counter == RuleCounter.notBalanced { return packet.isTCP }
        switch trace.forward.verdict {
        case .deliveredToGateways, .dependsOnGateway, .sentOut: return nil
        case .delivered, .answeredByHost, .staysInGuest, .dropped, .unreachable, .blackhole:
            for answer in trace.returns {
                switch answer.verdict {
                case .deliveredToGateways, .dependsOnGateway: return nil
                default: break
                }
            }
            return trace.isAnswered
        }
    }

    /// For the statistics of a draw.
    var kind: String {
        let stage = { (journey: Journey?) in
            journey?.steps.last { $0.verdict == .deny }.map { "\($0.stage)" } ?? "-"
        }
        switch trace.forward.verdict {
        case .delivered:
            return trace.isAnswered ? "answered" : "return denied by \(stage(trace.returns.first))"
        case .deliveredToGateways: return "to gateways"
        case .dependsOnGateway: return "depends on the gateway"
        case .answeredByHost: return "answered by host"
        case .sentOut: return "sent out"
        case .staysInGuest: return "stays"
        case .dropped: return "denied by \(stage(trace.forward))"
        case .unreachable: return "unreachable"
        case .blackhole: return "blackhole"
        }
    }

    /// What was seen that the trace does not say.
    func complaint(about shot: PacketVolley.Shot, _ plan: LabPlan) -> String? {
        let name = { (index: Int) in plan.guests[plan.guestOfInterface[index]].name }
        let seen = shot.arrivedAt.sorted()
        var expected: Set<String> = []
        switch trace.forward.verdict {
        case .deliveredToGateways(let gateways):
            // It may send the packet on, so others see it too.
            let reached = Set(gateways.map(name)).intersection(seen)
            return reached.isEmpty ? "is said to reach one of \(gateways.map(name)), was seen at \(seen)" : nil
        case .dependsOnGateway(_, let dropped):
            let reached = Set(dropped.map(name)).intersection(seen)
            return reached.isEmpty ? nil : "is said not to reach \(dropped.map(name)), was seen at \(seen)"
        case .delivered(let index): expected = [name(index)]
        case .answeredByHost, .sentOut, .staysInGuest, .dropped, .unreachable, .blackhole: break
        }
        if Set(seen) != expected { return "is said to reach \(expected.sorted()), was seen at \(seen)" }
        if let isAnswered = isAnswered(plan.topology), isAnswered != shot.isAnswered {
            return "is said to get \(isAnswered ? "an" : "no") answer, and has got \(shot.isAnswered ? "one" : "none")"
        }
        if !shot.hasLeft, !shot.isNeighborSought { return "never left: error \(shot.failure)" }
        return nil
    }

    /// The trace in a few lines.
    func story(_ topology: Topology) -> String {
        ([trace.forward] + trace.returns).map { journey in
            journey.steps.map { step in
                "  \(topology.hosts[step.host].metadata.name) \(step.stage) \(step.verdict): \(step.text)"
            }.joined(separator: "\n") + "\n  => \(journey.verdict)"
        }.joined(separator: "\n")
    }
}

extension OutgoingPacket {
    fileprivate var isTCP: Bool { if case .tcp = content { true } else { false } }
}

extension OutgoingPacket.Content {
    init(_ content: Packet.Content, _ number: UInt16) {
        self =
            switch content {
            case .icmp(let type, let code): .icmp(type: type, code: code, identifier: number, sequence: 1)
            case .udp(let source, let destination):
                .udp(sourcePort: source, destinationPort: destination, payload: Array("volley".utf8))
            case .tcp(let source, let destination):
                .tcp(sourcePort: source, destinationPort: destination, flags: .syn)
            case .sctp(let source, let destination):
                .sctp(sourcePort: source, destinationPort: destination, chunk: .initiation)
            }
    }
}

extension Scenario {
    /// Three hosts and two VPCs with the same addresses, each with two subnets of guests, one of gateways, a route table,
    /// groups and ACLs.
    fileprivate static func drawn(_ dice: inout Dice, hasLongLists: Bool) -> Scenario {
        var scenario = Scenario()
        for number in 1...3 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        for (number, vpc) in ["blue", "green"].enumerated() {
            scenario.vpc(vpc, UInt32(101 + number), "10.0.0.0/16")
            scenario.drawPolicies(vpc, &dice)
            if hasLongLists { scenario.lengthenPolicies(vpc, &dice) }
            scenario.drawSubnets(vpc, &dice)
        }
        // One guest in both.
        scenario.interface("dual-blue", "blue-1", on: "h1", "10.0.1.50", netns: "dual", device: "eth0")
        scenario.interface("dual-green", "green-2", on: "h1", "10.0.2.60", netns: "dual", device: "eth1")
        // Which way packets go does not depend on it.
        for index in scenario.model.hosts.indices { scenario.model.hosts[index].aggregatesRoutes = dice.happens(50) }
        return scenario
    }

    /// The same with load balancers, whose ports are those of their targets, and some that nobody takes.
    fileprivate static func drawnWithBalancers(_ dice: inout Dice) -> Scenario {
        var scenario = drawn(&dice, hasLongLists: false)
        for vpc in ["blue", "green"] {
            let own = scenario.model.interfaces.indices.filter {
                scenario.model.interfaces[$0].subnet.hasPrefix(vpc)
            }
            for index in own where dice.happens(60) { scenario.model.interfaces[index].metadata.labels["tier"] = "all" }
            let few = own.shuffled(using: &dice).prefix(2).map { index in
                TargetGroup.Member(
                    scenario.model.interfaces[index].metadata.name, weight: Int.random(in: 1...5, using: &dice))
            }
            let members: [(String, TargetGroup.Members)] = [
                ("all", .selector(["tier": "all"])), ("few", .interfaces(few)), ("none", .interfaces([])),
            ]
            var listeners: [LoadBalancer.Listener] = []
            let services: [(BalancedProtocol, UInt16)] = [
                (.tcp, 80), (.tcp, 443), (.tcp, Station.tcpPort), (.udp, 80), (.udp, 443), (.udp, Station.udpPort),
            ]
            for (name, members) in members {
                for (transport, port) in services {
                    let group = "\(vpc)-\(name)-\(transport.rawValue)-\(port)"
                    scenario.model.targetGroups.append(
                        TargetGroup(
                            metadata: Metadata(name: group), vpc: vpc, port: port, transport: transport,
                            members: members))
                    listeners.append(.init(transport: transport, port: port, targetGroup: group))
                }
            }
            for (number, name) in ["all", "few", "none"].enumerated() {
                scenario.model.loadBalancers.append(
                    LoadBalancer(
                        metadata: Metadata(name: "\(vpc)-\(name)"), vpc: vpc,
                        inside: .init(subnet: "\(vpc)-9", address: IPAddress(v4: 0x0A00_0950 + UInt32(number))),
                        affinity: dice.pick([.none, .source]),
                        listeners: Array(listeners.dropFirst(services.count * number).prefix(services.count))))
            }
        }
        return scenario
    }

    /// The same guests and ways under other policies, some of them.
    fileprivate func withOtherPolicies(_ dice: inout Dice) -> Scenario {
        var scenario = self
        for vpc in ["blue", "green"] {
            var drawn = Scenario()
            drawn.drawPolicies(vpc, &dice)
            for group in drawn.model.securityGroups where dice.happens(60) {
                let index = scenario.model.securityGroups.firstIndex { $0.metadata.name == group.metadata.name }
                if let index { scenario.model.securityGroups[index] = group }
            }
            for acl in drawn.model.acls where dice.happens(60) {
                let index = scenario.model.acls.firstIndex { $0.metadata.name == acl.metadata.name }
                if let index { scenario.model.acls[index] = acl }
            }
        }
        for index in scenario.model.interfaces.indices where dice.happens(30) {
            let subnet = scenario.model.interfaces[index].subnet
            let vpc = subnet.hasPrefix("blue") ? "blue" : "green"
            scenario.model.interfaces[index].securityGroups = drawGroups(vpc, &dice)
        }
        return scenario
    }

    /// A client on h1 and a server that takes UDP to one port and may only ping; what is for it goes by a middlebox.
    fileprivate static func middlebox(on host: String, serverOn server: String) -> Scenario {
        var scenario = Scenario()
        for number in 1...3 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.table("by-box", "blue", via("10.0.2.0/24", ("box", 1)))
        scenario.subnet("clients", "blue", "10.0.1.0/24", table: "by-box")
        scenario.subnet("servers", "blue", "10.0.2.0/24")
        scenario.subnet("edge", "blue", "10.0.9.0/24")
        scenario.interface("client", "clients", on: "h1", "10.0.1.10")
        scenario.interface("server", "servers", on: server, "10.0.2.10")
        scenario.interface("box", "edge", on: host, "10.0.9.10", forwards: true)
        let traffic = TrafficMatch(
            ipProtocol: .udp, ports: [Station.udpPort...Station.udpPort])
        var group = SecurityGroup(metadata: Metadata(name: "server"), vpc: "blue")
        group.ingress = [SecurityRule(traffic: traffic, peers: [.cidr(prefix("0.0.0.0/0"))])]
        group.egress = [
            SecurityRule(traffic: TrafficMatch(ipProtocol: .icmp), peers: [.cidr(prefix("0.0.0.0/0"))])
        ]
        scenario.model.securityGroups = [group]
        scenario.model.interfaces[1].securityGroups = ["server"]
        return scenario
    }

    private mutating func drawSubnets(_ vpc: String, _ dice: inout Dice) {
        let gateways = ["\(vpc)-gw-a", "\(vpc)-gw-b"]
        var routes = [Self.blackhole("203.0.113.0/24")]
        let shared = dice.happens(70) ? gateways : [dice.pick(gateways)]
        routes.append(route("0.0.0.0/0", shared))
        if dice.happens(60) { routes.append(route("10.0.2.0/25", [dice.pick(gateways)])) }
        if dice.happens(30) { routes.append(Self.blackhole("10.0.2.16/30")) }
        model.routeTables.append(
            RouteTable(metadata: Metadata(name: "\(vpc)-routes"), vpc: vpc, routes: routes))
        for (part, isEdge) in [("1", false), ("2", false), ("9", true)] {
            let name = "\(vpc)-\(part)"
            let usesTable = part == "1" || part == "2" && dice.happens(30)
            subnet(name, vpc, "10.0.\(part).0/24", table: usesTable ? "\(vpc)-routes" : nil)
            if dice.happens(isEdge ? 30 : 65) {
                model.subnets[model.subnets.count - 1].acl = "\(vpc)-acl-\(dice.pick([1, 2]))"
            }
            for number in 0..<(isEdge ? 2 : 4) {
                let host = "h\(Int.random(in: 1...3, using: &dice))"
                let address = IPAddress(v4: 0x0A00_000A + (UInt32(part) ?? 0) << 8 + UInt32(number) * 4)
                interface(
                    isEdge ? gateways[number] : "\(name)-\(number)", name, on: host, address, forwards: isEdge)
                model.interfaces[model.interfaces.count - 1].securityGroups = drawGroups(vpc, &dice)
            }
        }
    }

    private func route(_ destination: String, _ gateways: [String]) -> CustomRoute {
        CustomRoute(
            destination: Self.prefix(destination), target: .nextHops(gateways.map { NextHop(interface: $0) }))
    }

    func drawGroups(_ vpc: String, _ dice: inout Dice) -> [String] {
        if dice.happens(40) { return [] }
        let all = (1...3).map { "\(vpc)-sg-\($0)" }
        return dice.happens(60) ? [dice.pick(all)] : Array(all.shuffled(using: &dice).prefix(2))
    }

    mutating func drawPolicies(_ vpc: String, _ dice: inout Dice) {
        for number in 1...3 {
            var group = SecurityGroup(metadata: Metadata(name: "\(vpc)-sg-\(number)"), vpc: vpc)
            group.ingress = (0..<Int.random(in: 0...4, using: &dice)).map { _ in Self.drawnRule(vpc, &dice) }
            group.egress = (0..<Int.random(in: 0...3, using: &dice)).map { _ in Self.drawnRule(vpc, &dice) }
            if dice.happens(60) {
                group.egress.append(SecurityRule(traffic: TrafficMatch(), peers: [.cidr(Self.prefix("0.0.0.0/0"))]))
            }
            model.securityGroups.append(group)
        }
        for number in 1...2 {
            model.acls.append(
                NetworkACL(
                    metadata: Metadata(name: "\(vpc)-acl-\(number)"), vpc: vpc, ingress: Self.drawnLines(&dice),
                    egress: Self.drawnLines(&dice)))
        }
    }

    /// Puts a list of published blocks before the rules of groups, and lines of many ports and of many addresses between
    /// those of ACLs: one is looked up by the class of the address, the other in stages.
    private mutating func lengthenPolicies(_ vpc: String, _ dice: inout Dice) {
        let published = (0..<1200 as Range<UInt32>).map { number in
            IPPrefix(containing: IPAddress(v4: 0x6440_0000 + number << 7), length: 26)
        }
        for index in model.securityGroups.indices where model.securityGroups[index].vpc == vpc {
            let block = Self.prefix(dice.pick(Self.blocks))
            let traffic = TrafficMatch(ipProtocol: .tcp, ports: [80...80, 443...443, 5432...5432])
            let rule = SecurityRule(traffic: traffic, peers: (published + [block]).map { .cidr($0) })
            model.securityGroups[index].ingress.insert(rule, at: 0)
            if dice.happens(50) { model.securityGroups[index].egress.insert(rule, at: 0) }
        }
        for index in model.acls.indices where model.acls[index].vpc == vpc {
            let lines = (0..<70).map { number in
                let port = number == 35 ? 5432 : UInt16(9000 + 2 * number)
                return ACLRule(
                    priority: 100 + number, action: .deny,
                    traffic: TrafficMatch(ipProtocol: .tcp, ports: [port...port]), cidr: .defaultIPv4)
            }
            let block = Self.prefix(dice.pick(Self.blocks))
            let others = (0..<70).map { number in
                ACLRule(
                    priority: 200 + number, action: dice.happens(80) ? .allow : .deny,
                    traffic: TrafficMatch(ipProtocol: .tcp), cidr: number == 35 ? block : published[number])
            }
            model.acls[index].ingress += lines + others
            if dice.happens(50) { model.acls[index].egress += lines + others }
        }
    }

    private static func drawnRule(_ vpc: String, _ dice: inout Dice) -> SecurityRule {
        let peer: SecurityRule.Peer =
            dice.happens(35)
            ? .securityGroup("\(vpc)-sg-\(dice.pick([1, 2, 3]))") : .cidr(dice.pick(blocks.map(prefix)))
        return SecurityRule(traffic: dice.pick(traffic), peers: [peer])
    }

    private static func drawnLines(_ dice: inout Dice) -> [ACLRule] {
        let count = Int.random(in: 0...4, using: &dice)
        var lines = (0..<count).map { number in
            ACLRule(
                priority: 10 * (number + 1), action: dice.happens(50) ? .allow : .deny, traffic: dice.pick(traffic),
                cidr: dice.pick(blocks.map(prefix)))
        }
        if dice.happens(75) {
            lines.append(ACLRule(priority: 500, action: .allow, traffic: TrafficMatch(), cidr: prefix("0.0.0.0/0")))
        }
        return lines.shuffled(using: &dice)
    }

    private static let blocks = [
        "0.0.0.0/0", "10.0.1.0/24", "10.0.2.0/24", "10.0.2.0/28", "10.0.1.10/32", "10.0.9.0/24",
    ]

    private static let traffic = [
        TrafficMatch(), TrafficMatch(ipProtocol: .tcp), TrafficMatch(ipProtocol: .udp), TrafficMatch(ipProtocol: .icmp),
        TrafficMatch(ipProtocol: .icmp, icmpType: 8), TrafficMatch(ipProtocol: .icmp, icmpType: 0, icmpCode: 0),
        TrafficMatch(ipProtocol: .tcp, ports: [80...80, 443...443]),
        TrafficMatch(ipProtocol: .tcp, ports: [5432...5432, 7000...7001]),
        TrafficMatch(ipProtocol: .tcp, ports: [1024...65535]), TrafficMatch(ipProtocol: .udp, ports: [0...1023]),
        TrafficMatch(ipProtocol: .udp, ports: [7000...7000]), TrafficMatch(ipProtocol: .udp, ports: [20000...65535]),
        TrafficMatch(ipProtocol: .sctp), TrafficMatch(ipProtocol: .sctp, ports: [80...80, 7000...7001]),
    ]
}
