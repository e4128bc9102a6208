import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic
import VPCModel
import VPCTopology
import VPCTrace

@testable import VPCLab

extension Scenario {
    /// Three tenants on two hosts, of which blue has peerings with the others, with guests of each on either host.
    fileprivate static let peers: Scenario = {
        var scenario = Scenario()
        for number in 1...2 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        for (number, vpc) in ["blue", "green", "red"].enumerated() {
            scenario.vpc(vpc, UInt32(101 + number), "10.\(number).0.0/16")
            scenario.subnet("\(vpc)-1", vpc, "10.\(number).1.0/24", table: "\(vpc)-routes")
            scenario.subnet("\(vpc)-2", vpc, "10.\(number).2.0/24", table: "\(vpc)-routes")
            for (part, host) in [(1, "h1"), (1, "h2"), (2, "h1"), (2, "h2")] {
                let last = host == "h1" ? 11 : 12
                scenario.interface(
                    "\(vpc)-\(part)-\(host)", "\(vpc)-\(part)", on: host, IPAddress("10.\(number).\(part).\(last)"))
            }
        }
        scenario.table("blue-routes", "blue", to("10.1.0.0/16", "blue-green"), to("10.2.0.0/16", "blue-red"))
        scenario.table("green-routes", "green", to("10.0.0.0/16", "blue-green"))
        scenario.table("red-routes", "red", to("10.0.0.0/16", "blue-red"))
        scenario.peering("blue-green", "blue", "green", prefixes: "10.1.1.0/24")
        scenario.peering("blue-red", "blue", "red")
        return scenario
    }()

    fileprivate static func to(_ destination: String, _ peering: String) -> CustomRoute {
        CustomRoute(destination: prefix(destination), target: .nextHops([NextHop(.peering(peering))]))
    }

    fileprivate mutating func peering(_ name: String, _ one: String, _ other: String, prefixes: String...) {
        model.vpcPeerings.append(
            VPCPeering(
                metadata: Metadata(name: name), requester: .init(vpc: one),
                accepter: .init(vpc: other, prefixes: prefixes.map(Self.prefix)), isAccepted: true))
    }

    fileprivate func withdrawing(_ peering: String) -> Scenario {
        var changed = self
        for index in model.vpcPeerings.indices where model.vpcPeerings[index].metadata.name == peering {
            changed.model.vpcPeerings[index].isAccepted = false
        }
        return changed
    }

    /// The same under groups and ACLs that are drawn, which name groups of peers.
    fileprivate func withPolicies(_ dice: inout Dice) -> Scenario {
        var scenario = self
        let peers = ["blue": ["green", "red"], "green": ["blue"], "red": ["blue"]]
        for vpc in ["blue", "green", "red"] {
            scenario.drawPolicies(vpc, &dice)
            for index in scenario.model.securityGroups.indices where scenario.model.securityGroups[index].vpc == vpc {
                let peer = dice.pick(peers[vpc] ?? [])
                let rule = SecurityRule(
                    traffic: TrafficMatch(ipProtocol: dice.pick([.tcp, .udp, .icmp])),
                    peers: [.securityGroup("\(peer)/\(peer)-sg-\(dice.pick([1, 2, 3]))")])
                scenario.model.securityGroups[index].ingress.append(rule)
                if dice.happens(50) { scenario.model.securityGroups[index].egress.append(rule) }
            }
        }
        for index in scenario.model.interfaces.indices where dice.happens(60) {
            let vpc = String(scenario.model.interfaces[index].subnet.prefix { $0 != "-" })
            scenario.model.interfaces[index].securityGroups = scenario.drawGroups(vpc, &dice)
        }
        for index in scenario.model.subnets.indices where dice.happens(40) {
            scenario.model.subnets[index].acl = "\(scenario.model.subnets[index].vpc)-acl-\(dice.pick([1, 2]))"
        }
        return scenario
    }
}

extension LabTests {
    /// VPCs that reach each other.
    @Suite(.needsOverlay, .lab(.peers), .serialized, .timeLimit(minutes: 20)) struct PeeringTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.peers)
        }

        private func reached(_ to: IPAddress, from: String) throws -> String? {
            try lab.station(from).ask(to, timeout: .milliseconds(500), attempts: 2).map {
                "\($0.name) sees \($0.seenAddress)"
            }
        }

        private func requireNothingToDo() throws {
            for report in try lab.lab.apply() {
                let applied = try report.result.get()
                #expect(applied.plan.changes.operations.map(\.object) == [], "\(report.host)")
            }
        }

        @Test func peersReachEachOtherOnOneHostAndOnTwo() throws {
            for (from, source) in [("blue-1-h1", "10.0.1.11"), ("blue-2-h2", "10.0.2.12")] {
                for (to, name) in [("10.1.1.11", "green-1-h1"), ("10.1.1.12", "green-1-h2"), ("10.2.2.12", "red-2-h2")]
                    as [(IPAddress, String)]
                {
                    #expect(try reached(to, from: from) == "\(name) sees \(source)")
                    guard case .answered(let answer) = try lab.station(from).connect(to, sending: 200_000) else {
                        Issue.record("\(from) to \(name): no connection")
                        continue
                    }
                    #expect(answer.text == "200000")
                }
            }
            #expect(try lab.station("green-1-h1").ping("10.0.1.11", PingOptions(size: 4000)).isReply, "in fragments")
            try requireNothingToDo()
        }

        @Test func onlyWhatIsLetReach() throws {
            #expect(try reached("10.1.2.11", from: "blue-1-h1") == nil, "not of the prefixes")
            #expect(try reached("10.2.1.11", from: "green-1-h1") == nil, "a peering is no way to a third")
            #expect(try reached("10.0.1.11", from: "green-2-h1") == nil, "the answer has no way back")
        }

        /// Established connections end with the peering, and those of others go on.
        @Test func withdrawalCuts() throws {
            let cut = try Stream(from: lab.station("blue-1-h1"), to: "10.1.1.12", every: .milliseconds(20))
            let others = [
                try Stream(from: lab.station("blue-1-h1"), to: "10.2.1.12", every: .milliseconds(20)),
                try Stream(from: lab.station("green-1-h1"), to: "10.1.2.12", every: .milliseconds(20)),
            ]
            #expect(([cut] + others).allSatisfy { $0.waitForAnswers(10) })
            try lab.become(Scenario.peers.withdrawing("blue-green"))
            #expect(try reached("10.1.1.11", from: "blue-1-h1") == nil)
            #expect(try reached("10.0.1.11", from: "green-1-h1") == nil)
            #expect(try reached("10.2.1.11", from: "blue-1-h1") != nil)
            try requireNothingToDo()
            #expect(!cut.waitForAnswers(1, timeout: .milliseconds(500)))
            for stream in others {
                #expect(stream.waitForAnswers(5))
                #expect(stream.finish().lost.isEmpty)
            }
            #expect(!cut.finish().lost.isEmpty)
            try lab.become(.peers)
            #expect(try reached("10.1.1.11", from: "blue-1-h1") != nil)
        }

        /// Interfaces of the other VPC come, move and go: the tables follow.
        @Test func peersMove() throws {
            var moved = Scenario.peers
            let index = try #require(moved.model.interfaces.firstIndex { $0.metadata.name == "green-1-h2" })
            moved.model.interfaces[index].address = "10.1.1.77"
            try lab.become(moved)
            #expect(try reached("10.1.1.77", from: "blue-1-h1") == "green-1-h2 sees 10.0.1.11")
            #expect(try reached("10.1.1.12", from: "blue-1-h1") == nil)
            try requireNothingToDo()
        }

        @Test(arguments: Seeds.fresh(with: 1)) func drawnPacketsGoWhereTheTraceSays(_ seed: UInt64) throws {
            var dice = Dice(seed: seed)
            let scenario = Scenario.peers.withPolicies(&dice)
            try lab.become(scenario)
            let plan = lab.lab.plan
            let topology = plan.topology
            let places = Dictionary(
                uniqueKeysWithValues: plan.guests.map { ($0.name, NetworkNamespace.named($0.namespace)) })
            var questions: [(trace: Trace, shot: PacketVolley.Shot)] = []
            for number in 0..<900 {
                let from = dice.pick(Array(topology.interfaces.indices))
                let to = topology.interfaces[dice.pick(Array(topology.interfaces.indices))].address
                let (own, port) = (
                    UInt16(20000 + number), dice.pick([80, Station.udpPort, Station.tcpPort] as [UInt16])
                )
                let content: Packet.Content =
                    switch Int.random(in: 0..<3, using: &dice) {
                    case 0: .icmp(type: 8, code: 0)
                    case 1: .udp(sourcePort: own, destinationPort: Station.udpPort)
                    default: .tcp(sourcePort: own, destinationPort: port)
                    }
                let source = topology.interfaces[from].address
                let trace = topology.traced(from: from, to: to, content, model: scenario.model)
                if trace.forward.verdict == .staysInGuest { continue }
                var shot = PacketVolley.Shot(
                    packet: OutgoingPacket(from: source, to: to, OutgoingPacket.Content(content, own)),
                    sender: plan.guests[plan.guestOfInterface[from]].name, address: source)
                if case .delivered(let index) = trace.forward.verdict {
                    shot.receivers = [plan.guests[plan.guestOfInterface[index]].name]
                }
                shot.isAnswerAwaited = trace.isAnswered
                questions.append((trace, shot))
            }
            var volley = try PacketVolley(questions.map(\.shot), places: places)
            try volley.run(patience: .seconds(20), silence: .seconds(1))
            var counts: [String: Int] = [:]
            for ((trace, _), shot) in zip(questions, volley.shots) {
                let last = trace.forward.steps.last
                let isByPeering = trace.forward.steps.contains { $0.text.contains("by the peering") }
                counts["\(isByPeering) \(last?.stage.rawValue ?? "") \(trace.isAnswered)", default: 0] += 1
                guard shot.arrivedAt != shot.receivers || shot.isAnswered != trace.isAnswered else { continue }
                Issue.record(
                    """
                    seed \(seed): \(trace.forward.packet) was seen at \(shot.arrivedAt), answered \(shot.isAnswered)
                    \((trace.forward.steps + (trace.returns.first?.steps ?? [])).map(\.text).joined(separator: "\n"))
                    """)
            }
            print("peering agreement: \(counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" })")
            #expect(counts.keys.filter { $0.hasPrefix("true") }.count >= 3, "\(counts)")
        }
    }
}
