import IPAddressing
import TestSupport
import Testing
import Traffic
import VPCCompiler
import VPCModel
import VPCTopology

@testable import VPCLab

extension Scenario {
    /// Two tenants with the same addresses, balancers' among them; of blue two clients and three targets on three hosts.
    static let balanced: Scenario = {
        var scenario = Scenario()
        for number in 1...3 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        for (number, vpc) in ["blue", "green"].enumerated() {
            scenario.vpc(vpc, UInt32(101 + number), "10.0.0.0/16")
            scenario.subnet("\(vpc)-web", vpc, "10.0.1.0/24")
            scenario.subnet("\(vpc)-app", vpc, "10.0.2.0/24")
            scenario.subnet("\(vpc)-edge", vpc, "10.0.9.0/24")
        }
        scenario.interface("web1", "blue-web", on: "h1", "10.0.1.11")
        scenario.interface("web2", "blue-web", on: "h2", "10.0.1.12")
        scenario.interface("near", "blue-edge", on: "h2", "10.0.9.12")
        for number in 1...3 {
            scenario.interface(
                "app\(number)", "blue-app", on: "h\(number)", IPAddress(v4: 0x0A00_0214 + UInt32(number)))
            scenario.model.interfaces[scenario.model.interfaces.count - 1].metadata.labels = [
                "app": "shop", "tier": "logic",
            ]
        }
        scenario.interface("green1", "green-web", on: "h1", "10.0.1.11")
        scenario.interface("green-app", "green-app", on: "h2", "10.0.2.21")
        scenario.model.interfaces[scenario.model.interfaces.count - 1].metadata.labels = ["app": "shop"]
        scenario.group("shop", "blue", .udp, Station.udpPort, .selector(["app": "shop"]))
        scenario.group("shop-tcp", "blue", .tcp, Station.tcpPort, .selector(["app": "shop", "tier": "logic"]))
        scenario.group(
            "uneven", "blue", .udp, Station.udpPort, .interfaces([.init("app1"), .init("app2", weight: 3)]))
        scenario.group("empty", "blue", .tcp, 80, .interfaces([]))
        scenario.group("green-shop", "green", .udp, Station.udpPort, .selector(["app": "shop"]))
        let main: [LoadBalancer.Listener] = [
            .init(transport: .udp, port: 53, targetGroup: "shop"),
            .init(transport: .udp, port: Station.udpPort, targetGroup: "shop"),
            .init(transport: .udp, port: 54, targetGroup: "uneven"),
            .init(transport: .tcp, port: Station.tcpPort, targetGroup: "shop-tcp"),
            .init(transport: .tcp, port: 80, targetGroup: "empty"),
        ]
        scenario.balancer("main", "blue", "10.0.9.80", main)
        scenario.balancer(
            "sticky", "blue", "10.0.9.81", [.init(transport: .udp, port: 53, targetGroup: "shop")], affinity: .source)
        scenario.balancer(
            "green-main", "green", "10.0.9.80", [.init(transport: .udp, port: 53, targetGroup: "green-shop")])
        return scenario
    }()

    private mutating func group(
        _ name: String, _ vpc: String, _ transport: BalancedProtocol, _ port: UInt16, _ members: TargetGroup.Members
    ) {
        model.targetGroups.append(
            TargetGroup(metadata: Metadata(name: name), vpc: vpc, port: port, transport: transport, members: members))
    }

    private mutating func balancer(
        _ name: String, _ vpc: String, _ address: IPAddress, _ listeners: [LoadBalancer.Listener],
        affinity: LoadBalancer.Affinity = .none
    ) {
        model.loadBalancers.append(
            LoadBalancer(
                metadata: Metadata(name: name), vpc: vpc, inside: .init(subnet: "\(vpc)-edge", address: address),
                affinity: affinity, listeners: listeners))
    }

    /// The same without one that is selected.
    fileprivate func deselecting(_ name: String) -> Scenario {
        var changed = self
        for index in model.interfaces.indices where model.interfaces[index].metadata.name == name {
            changed.model.interfaces[index].metadata.labels = [:]
        }
        return changed
    }
}

extension LabTests {
    /// Load balancers that guests reach by an address of their VPC.
    @Suite(.needsOverlay, .lab(.balanced), .serialized, .timeLimit(minutes: 20)) struct LoadBalancerTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.balanced)
        }

        private static let main: IPAddress = "10.0.9.80"
        private static let sticky: IPAddress = "10.0.9.81"

        private func answers(
            _ from: String, _ to: IPAddress = main, port: UInt16 = 53, by sources: ClosedRange<UInt16>
        ) throws -> [UInt16: Answer] {
            try lab.station(from).askMany(to, port: port, sourcePorts: Array(sources))
        }

        private func counts(_ answers: some Collection<Answer>) -> [String: Int] {
            answers.reduce(into: [:]) { $0[$1.name, default: 0] += 1 }
        }

        /// Whom the trace names.
        private func target(of source: IPAddress, _ port: UInt16, _ balancer: String, _ service: UInt16 = 53) throws
            -> String
        {
            let topology = lab.lab.plan.topology
            let own = try #require(topology.loadBalancers.first { $0.name == balancer })
            let found = try #require(topology.services(of: own).first { $0.port == service && $0.ipProtocol == .udp })
            return topology.interfaces[found.target(from: source, port: port).target.interface].name
        }

        // MARK: Sharing

        @Test func everybodyHasHisShareAndSeesTheClient() throws {
            // The last one has the balancer in its own subnet, and asks for it by ARP.
            let clients = [("web1", "10.0.1.11" as IPAddress), ("web2", "10.0.1.12"), ("near", "10.0.9.12")]
            for (client, address) in clients {
                let answers = try answers(client, by: 30000...30119)
                #expect(answers.count == 120)
                #expect(answers.values.allSatisfy { $0.seenAddress == address })
                #expect(answers.allSatisfy { $0.value.seenPort == $0.key })
                let counts = counts(answers.values)
                #expect(counts.count == 3 && counts.values.allSatisfy { $0 > 20 }, "\(counts)")
                for (port, answer) in answers { #expect(try answer.name == target(of: address, port, "main")) }
            }
            // Another apply has nothing to do.
            for report in try lab.lab.apply() {
                let applied = try report.result.get()
                #expect(applied.plan.changes.operations.map(\.object) == [], "\(report.host)")
            }
        }

        @Test func weightsAndAffinity() throws {
            let uneven = counts(try answers("web1", port: 54, by: 30200...30319).values)
            #expect(uneven["app3"] == nil)
            let (one, three) = (uneven["app1"] ?? 0, uneven["app2"] ?? 0)
            #expect(one + three == 120 && (15...45).contains(one), "\(uneven)")
            for (client, address) in [("web1", "10.0.1.11" as IPAddress), ("web2", "10.0.1.12")] {
                let names = Set(try answers(client, Self.sticky, by: 30400...30429).values.map(\.name))
                #expect(try names == [target(of: address, 0, "sticky")])
            }
        }

        @Test func connectionsOfTCP() throws {
            var names: Set<String> = []
            for port in UInt16(31000)...31011 {
                guard
                    case .answered(let answer) = try lab.station("web1").connect(
                        Self.main, sourcePort: port, sending: 100_000)
                else {
                    Issue.record("no connection from \(port)")
                    continue
                }
                #expect(answer.text == "100000" && answer.seenAddress == "10.0.1.11")
                names.insert(answer.name)
            }
            #expect(names.count > 1)
        }

        /// A target that asks its own balancer is answered by everybody, itself included.
        @Test func targetsAskTheirOwnBalancer() throws {
            for (name, address) in [("app1", "10.0.2.21" as IPAddress), ("app2", "10.0.2.22")] {
                let answers = try answers(name, by: 30500...30559)
                #expect(answers.count == 60)
                let counts = counts(answers.values)
                #expect(counts.count == 3, "\(counts)")
                for answer in answers.values {
                    #expect(answer.seenAddress == (answer.name == name ? Self.main : address))
                }
                let own = try #require(
                    try (UInt16(31100)...31199).first { try target(of: address, $0, "main", 7000) == name })
                #expect(try lab.station(name).ask(Self.main, sourcePort: own)?.name == name)
            }
            for port in UInt16(31200)...31205 {
                guard case .answered = try lab.station("app1").connect(Self.main, sourcePort: port, sending: 50_000)
                else {
                    Issue.record("no connection from \(port)")
                    continue
                }
            }
        }

        @Test func tenantsDoNotMeet() throws {
            let green = try answers("green1", by: 30600...30639)
            #expect(green.count == 40 && green.values.allSatisfy { $0.name == "green-app" })
            let blue = try answers("web1", by: 30600...30639)
            #expect(blue.count == 40 && blue.values.allSatisfy { $0.name.hasPrefix("app") })
        }

        // MARK: Judging

        /// Groups see the client and the target; a rule may name the balancer.
        @Test func groupsJudgeAsIfThereWereNoBalancer() throws {
            var guarded = Scenario.balanced
            let traffic = TrafficMatch(ipProtocol: .udp, ports: [Station.udpPort...Station.udpPort])
            guarded.model.securityGroups = [
                SecurityGroup(
                    metadata: Metadata(name: "served"), vpc: "blue",
                    ingress: [SecurityRule(traffic: traffic, peers: [.cidr(Scenario.prefix("10.0.1.11/32"))])]),
                SecurityGroup(
                    metadata: Metadata(name: "client"), vpc: "blue",
                    egress: [SecurityRule(traffic: traffic, peers: [.loadBalancer("main")])]),
            ]
            for name in ["app1", "app2", "app3"] { guarded = guarded.with(groups: ["served"], of: name) }
            try lab.become(guarded)
            #expect(try answers("web1", by: 30700...30729).count == 30)
            #expect(try lab.station("web2").ask(Self.main, port: 53, timeout: .milliseconds(300)) == nil)
            guarded = guarded.with(groups: ["client"], of: "web1")
            try lab.become(guarded)
            #expect(try answers("web1", by: 30700...30729).count == 30)
            // The port of the targets, and not the balancer's, is what the rule is about; TCP is in none.
            #expect(try lab.station("web1").connect(Self.main, timeout: .milliseconds(500)) == .silent)
            // What a policy takes away is taken from balanced connections as well.
            let port: UInt16 = 30750
            #expect(try lab.station("web1").ask(Self.main, port: 53, sourcePort: port) != nil)
            guarded.model.securityGroups[0].ingress = []
            try lab.become(guarded)
            #expect(
                try lab.station("web1").ask(Self.main, port: 53, sourcePort: port, timeout: .milliseconds(300)) == nil)
        }

        @Test func whatNobodyTakesIsRefused() throws {
            let client = try lab.station("web1")
            for port in [UInt16(80), 81] {
                guard case .failed(let reason) = try client.connect(Self.main, port: port) else {
                    Issue.record("port \(port) is not refused")
                    continue
                }
                #expect(reason.lowercased().contains("refused"))
            }
            #expect(try client.ask(Self.main, port: 55, timeout: .milliseconds(300)) == nil)
            #expect(try client.ping(Self.main).isReply)
            #expect(try lab.station("near").ping(Self.main).isReply)
            // The gateway itself takes no more than before.
            #expect(try client.connect("10.0.1.1", port: 80, timeout: .milliseconds(300)) == .silent)
            // An address that is no balancer's is nobody's.
            #expect(try client.ask("10.0.9.82", port: 53, timeout: .milliseconds(300)) == nil)
        }

        @Test func nobodySpeaksForABalancer() throws {
            let target: IPAddress = "10.0.2.21"
            let forged = OutgoingPacket(
                from: Self.main, to: target, .udp(sourcePort: 4711, destinationPort: Station.udpPort, payload: [1]))
            let capture = try Capture(in: .named(lab.namespace("app1")))
            #expect(try PacketSender(in: .named(lab.namespace("web1")), as: "10.0.1.11").send(forged) == 0)
            // Sent after it on the same way.
            #expect(try lab.station("web1").ping(target).isReply)
            #expect(!capture.has { forged.isSame(as: $0) })
        }

        // MARK: Changes

        /// A target that leaves keeps its connections and gets no new ones; nobody else's lose a packet. So it is when one
        /// comes.
        @Test func connectionsOutliveChanges() throws {
            let gone = "app2"
            // Of UDP one question and its answer are forgotten after half a minute, which an apply may take in emulation.
            try lab.shell("vpc-h1", "sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600")
            let all = UInt16(32000)...32059
            let before = try answers("web1", by: all)
            let kept = try #require(
                try (UInt16(33000)...33099).first { port in
                    try target(of: "10.0.1.11", port, "main") == gone
                })
            #expect(try lab.station("web1").ask(Self.main, port: 53, sourcePort: kept)?.name == gone)
            let connections = try (0..<6).map { _ in try LongConnection(from: lab.station("web1"), to: Self.main) }
            let seen = connections.map { $0.seen() }
            #expect(seen.allSatisfy { $0 != nil })
            let streams = try (0..<6).map { _ in
                try Stream(from: lab.station("web2"), to: Self.main, every: .milliseconds(20))
            }
            #expect(streams.allSatisfy { $0.waitForAnswers(10) })

            try lab.become(Scenario.balanced.deselecting(gone))
            #expect(try answers("web1", by: 32100...32159).values.allSatisfy { $0.name != gone })
            #expect(try lab.station("web1").ask(Self.main, port: 53, sourcePort: kept)?.name == gone)
            for (port, answer) in try answers("web1", by: all) { #expect(answer.name == before[port]?.name) }
            #expect(connections.map { $0.seen() } == seen)

            try lab.become(.balanced)
            #expect(try answers("web1", by: 32200...32259).values.contains { $0.name == gone })
            #expect(connections.map { $0.seen() } == seen)
            for stream in streams {
                #expect(stream.waitForAnswers(5))
                let report = stream.finish()
                #expect(report.lost.isEmpty && report.answeredBy.count == 1, "\(report)")
            }
        }

        /// What nothing leads to any more ends at once.
        @Test func whatIsRemovedIsCut() throws {
            let client = try lab.station("web1")
            let connection = try LongConnection(from: client, to: Self.main)
            #expect(connection.seen() != nil)
            #expect(try client.ask(Self.main, sourcePort: 34000) != nil)
            let other = try Stream(from: lab.station("web2"), to: Self.main, port: 53)
            #expect(other.waitForAnswers(10))
            var changed = Scenario.balanced
            changed.model.loadBalancers[0].listeners.removeAll { $0.port >= 7000 }
            try lab.become(changed)
            let begin = ContinuousClock.now
            #expect(connection.seen(timeout: .seconds(30)) == nil)
            // It is reset, and not left waiting.
            #expect(begin.duration(to: .now) < .seconds(10))
            #expect(try client.ask(Self.main, sourcePort: 34000, timeout: .milliseconds(300)) == nil)
            #expect(other.waitForAnswers(10))
            #expect(other.finish().lost.isEmpty)
            // And without a balancer there is nothing left of any.
            changed.model.loadBalancers = []
            try lab.become(changed)
            #expect(try client.ask(Self.main, port: 53, timeout: .milliseconds(300)) == nil)
            #expect(try !lab.shell("vpc-h1", "nft list ruleset").contains("balance"))
            try lab.become(.balanced)
            #expect(try client.ask(Self.main, sourcePort: 34000) != nil)
        }

        /// A group that does not drain takes the connections with the target.
        @Test func withoutDrainingConnectionsEndWithTheTarget() throws {
            var hasty = Scenario.balanced
            for index in hasty.model.targetGroups.indices { hasty.model.targetGroups[index].drain = .zero }
            try lab.become(hasty)
            let port = try #require(
                try (UInt16(35000)...35099).first { port in
                    try target(of: "10.0.1.11", port, "main") == "app3"
                })
            #expect(try lab.station("web1").ask(Self.main, port: 53, sourcePort: port)?.name == "app3")
            try lab.become(hasty.deselecting("app3"))
            #expect(try lab.station("web1").ask(Self.main, port: 53, sourcePort: port)?.name != "app3")
        }

        /// Balanced connections pass by flowtables like others.
        @Test(arguments: ["app1", "app2"]) func establishedConnectionsPassTheRules(_ name: String) throws {
            let port = try #require(
                try (UInt16(36000)...36099).first { port in
                    try target(of: "10.0.1.11", port, "main", Station.udpPort) == name
                })
            let hosts = name == "app1" ? ["h1"] : ["h1", "h2"]
            try lab.establish("web1", to: Self.main, port, on: hosts, answeredBy: name)
            for host in hosts {
                let seen = try lab.whileCounting(on: host) {
                    try lab.askAgain(20, "web1", Self.main, port, answeredBy: name)
                }
                #expect(seen == 0, "\(host)")
            }
        }
    }
}
