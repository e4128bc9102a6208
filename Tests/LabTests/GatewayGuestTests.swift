import IPAddressing
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension LabTests {
    /// What a guest with `sourceDestCheck: false` can do, and what it cannot. docs/security.md names these tests.
    @Suite(.needsOverlay, .timeLimit(minutes: 10)) struct GatewayGuestTests {
        private static let victim: IPAddress = "10.0.1.11"
        private static let neighbor: IPAddress = "10.0.1.12"
        private static let gateway: IPAddress = "10.0.9.20"
        /// Where the victim's peers are, by name.
        private static let peers: [String: IPAddress] = ["peer": "10.0.2.11", "far-peer": "10.0.2.12"]

        /// The victim and a peer on h1, another peer on h2; the gateway on one of them, or on h3.
        private func withLab(gatewayOn host: String, _ body: (TestLab) throws -> Void) throws {
            let lab = try TestLab(.forger(on: host))
            defer { lab.tearDown() }
            try body(lab)
        }

        private func send(_ packet: OutgoingPacket, _ guest: String, as address: IPAddress, _ lab: TestLab) throws {
            #expect(try PacketSender(in: .named(lab.namespace(guest)), as: address).send(packet) == 0)
        }

        private func capture(_ guest: String, _ lab: TestLab) throws -> Capture {
            try Capture(in: .named(lab.namespace(guest)))
        }

        /// Whether a packet of the gateway gets to the victim. A ping behind it, on the same way, always does.
        private func arrives(_ packet: OutgoingPacket, from guest: String = "fw", _ lab: TestLab) throws -> Bool {
            let watch = try capture("victim", lab)
            try send(packet, guest, as: guest == "fw" ? Self.gateway : "10.0.1.30", lab)
            #expect(try lab.station(guest).ping(Self.victim).isReply)
            return watch.has { packet.isSame(as: $0) }
        }

        private static func udp(_ from: IPAddress, _ port: UInt16, _ to: IPAddress, _ toPort: UInt16)
            -> OutgoingPacket
        {
            OutgoingPacket(from: from, to: to, .udp(sourcePort: port, destinationPort: toPort, payload: [1]))
        }

        // MARK: - Groups

        /// It begins connections in the victim's name, with whoever takes them, and answers them in the other's name: the
        /// victim has not asked.
        @Test(arguments: ["h1", "h2", "h3"]) func aForgedQuestionHasNoAnswer(_ host: String) throws {
            try withLab(gatewayOn: host) { (lab: TestLab) throws in
                for (name, peer) in Self.peers {
                    let pairs: [(OutgoingPacket, OutgoingPacket)] = [
                        (Self.udp(Self.victim, 99, peer, 5001), Self.udp(peer, 5001, Self.victim, 99)),
                        (
                            OutgoingPacket(
                                from: Self.victim, to: peer,
                                .tcp(sourcePort: 22, destinationPort: 6000, flags: .syn)),
                            OutgoingPacket(
                                from: peer, to: Self.victim,
                                .tcp(sourcePort: 6000, destinationPort: 22, flags: .syn))
                        ),
                        (
                            OutgoingPacket(
                                from: Self.victim, to: peer, .icmp(type: 8, code: 0, identifier: 77, sequence: 1)),
                            OutgoingPacket(
                                from: peer, to: Self.victim, .icmp(type: 0, code: 0, identifier: 77, sequence: 1))
                        ),
                    ]
                    for (question, answer) in pairs {
                        let watch = try capture(name, lab)
                        try send(question, "fw", as: Self.gateway, lab)
                        // So the hosts know the connection.
                        try #require(watch.waits { question.isSame(as: $0) })
                        #expect(try !arrives(answer, lab), "\(host), \(name): \(answer)")
                    }
                }
            }
        }

        /// It is trusted with addresses: where the victim has asked, it may answer for anybody.
        @Test(arguments: ["h1", "h2", "h3"]) func itAnswersForOthersWhereTheVictimHasAsked(_ host: String) throws {
            try withLab(gatewayOn: host) { (lab: TestLab) throws in
                for (name, peer) in Self.peers {
                    let question = Self.udp(Self.victim, 98, peer, 5002)
                    let watch = try capture(name, lab)
                    try send(question, "victim", as: Self.victim, lab)
                    try #require(watch.waits { question.isSame(as: $0) })
                    #expect(try arrives(Self.udp(peer, 5002, Self.victim, 98), lab))
                    // To that port of the victim's, and to no other.
                    #expect(try !arrives(Self.udp(peer, 5002, Self.victim, 97), lab))
                }
            }
        }

        /// As any source it is judged by the rules for that source.
        @Test(arguments: ["h1", "h2"]) func itsSourcesAreJudgedAsWhatTheyAre(_ host: String) throws {
            try withLab(gatewayOn: host) { (lab: TestLab) throws in
                // The group takes that port from 10.0.2.0/24.
                #expect(try arrives(Self.udp("10.0.2.77", 1, Self.victim, 7001), lab))
                #expect(try !arrives(Self.udp(Self.gateway, 1, Self.victim, 7001), lab))
            }
        }

        /// What the victim's groups have let through before the gateway forged its connections ends with them.
        @Test func aForgedConnectionIsCutWithTheRuleThatLetItsPacketsIn() throws {
            try withLab(gatewayOn: "h1") { (lab: TestLab) throws in
                let peer: IPAddress = "10.0.2.11"
                let watch = try capture("peer", lab)
                try send(Self.udp(Self.victim, 7001, peer, 5003), "fw", as: Self.gateway, lab)
                try #require(watch.waits { $0.source == Self.victim })
                #expect(try arrives(Self.udp(peer, 5003, Self.victim, 7001), lab), "a rule allows it")
                try lab.become(.forger(on: "h1", takes: "192.0.2.0/24"))
                #expect(try !arrives(Self.udp(peer, 5003, Self.victim, 7001), lab), "and is gone")
            }
        }

        /// Its own egress groups hold it, too: an answer is one to somebody else's question.
        @Test func itDoesNotAskItself() throws {
            try withLab(gatewayOn: "h1") { (lab: TestLab) throws in
                let peer: IPAddress = "10.0.2.11"
                // What it sends to itself leaves it, and comes back by its port.
                try lab.shell(
                    "fw",
                    """
                    ip rule add pref 32765 lookup local; ip rule del pref 0; ip rule add pref 10 iif lo to 10.0.9.20 lookup 99
                    ip route add 10.0.9.20/32 via 10.0.9.1 dev eth0 table 99
                    """)
                let own = try capture("fw", lab)
                let question = Self.udp(peer, 5004, Self.gateway, 7002)
                try send(question, "fw", as: Self.gateway, lab)
                try #require(own.waits { question.isSame(as: $0) })
                let watch = try capture("peer", lab)
                let answer = Self.udp(Self.gateway, 7002, peer, 5004)
                try send(answer, "fw", as: Self.gateway, lab)
                #expect(try lab.station("fw").ping(peer).isReply)
                #expect(!watch.has { answer.isSame(as: $0) })
                // The peer's own question is another matter.
                try send(question, "peer", as: peer, lab)
                try #require(own.waits { question.isSame(as: $0) })
                try send(answer, "fw", as: Self.gateway, lab)
                #expect(watch.waits { answer.isSame(as: $0) })
            }
        }

        // MARK: - ICMP errors

        /// Errors are told to who has asked: not about what the gateway has begun in the victim's name.
        @Test(arguments: ["h1", "h2"]) func errorsAboutForgedConnectionsAreDropped(_ host: String) throws {
            try withLab(gatewayOn: host) { (lab: TestLab) throws in
                // Of a connection that its own host does not know it can tell nothing.
                for (name, peer) in Self.peers where host == "h1" || name == "far-peer" {
                    for (sender, port) in [("fw", UInt16(90)), ("victim", 91)] {
                        let question = Self.udp(Self.victim, port, peer, 5005)
                        let there = try capture(name, lab)
                        try send(question, sender, as: sender == "fw" ? Self.gateway : Self.victim, lab)
                        try #require(there.waits { question.isSame(as: $0) })
                        let watch = try capture("victim", lab)
                        try complain(about: question, lab)
                        #expect(try lab.station("fw").ping(Self.victim).isReply)
                        let isTold = watch.has {
                            $0.icmpError.map { $0.from == Self.gateway && $0.about == question.flow } ?? false
                        }
                        #expect(isTold == (sender == "victim"), "\(host), \(name), \(sender)")
                    }
                }
            }
        }

        /// The gateway says that a fragment is needed (RFC 792).
        private func complain(about packet: OutgoingPacket, _ lab: TestLab) throws {
            var message: [UInt8] = [3, 4, 0, 0, 0, 0, 2, 0]
            message += packet.bytes
            message.setChecksum(at: 2)
            let bytes = IPv4Packet.bytes(
                source: Self.gateway, destination: packet.source, protocolNumber: 1, payload: message)
            let sender = try PacketSender(in: .named(lab.namespace("fw")), as: Self.gateway)
            #expect(sender.send(bytes, to: packet.source) == 0)
        }

        // MARK: - ACLs

        /// What stays inside a subnet is not its ACL's; a packet of a gateway elsewhere does not, whatever its source.
        @Test(arguments: ["h1", "h2", "h3"]) func aSourceInsideTheSubnetDoesNotSkipItsACL(_ host: String) throws {
            try withLab(gatewayOn: host) { (lab: TestLab) throws in
                // Line 100 of the ACL denies that port, the group allows it.
                let packet = Self.udp(Self.neighbor, 1, Self.victim, 7000)
                #expect(try !arrives(packet, lab))
                #expect(try arrives(Self.udp(Self.neighbor, 1, Self.victim, 7003), lab))
                // Its neighbors do reach it, also the one that is a gateway, on whatever host.
                #expect(try lab.station("neighbor").ask(Self.victim)?.name == "victim")
                #expect(try arrives(packet, from: "inner", lab))
            }
        }

        // MARK: - What gateways are for

        /// There and back by middleboxes, one after the other and each flow by another, between guests whose groups allow
        /// nothing but the question: on one host, and on several.
        @Test(arguments: [
            ["h1", "h1", "h1"], ["h1", "h1", "h2"], ["h1", "h2", "h1"], ["h2", "h1", "h3"], ["h2", "h3", "h1"],
            ["h3", "h3", "h1"],
        ]) func questionsAndAnswersPassMiddleboxes(_ hosts: [String]) throws {
            let lab = try TestLab(.chained(hosts))
            defer { lab.tearDown() }
            // Which box a flow takes there, and which back, is drawn for each.
            let answers = try lab.station("client").askMany("10.0.2.10", sourcePorts: 30000...30031)
            #expect(answers.count == 32)
            guard case .answered = try lab.station("client").connect("10.0.3.10") else {
                Issue.record("no connection by two boxes, one behind the other")
                return
            }
            // Nothing else is open: the server may not ask.
            #expect(
                try lab.station("server").ask("10.0.1.10", timeout: .milliseconds(300), attempts: 2) == nil)
        }
    }
}

extension Scenario {
    /// A victim, guests that take everything, a gateway that may only ping, and one in the victim's subnet.
    /// - Parameter block: whom the victim takes UDP port 7001 from.
    fileprivate static func forger(on host: String, takes block: String = "10.0.2.0/24") -> Scenario {
        var scenario = Scenario()
        for number in 1...3 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.subnet("front", "blue", "10.0.1.0/24")
        scenario.subnet("back", "blue", "10.0.2.0/24")
        scenario.subnet("edge", "blue", "10.0.9.0/24")
        scenario.interface("victim", "front", on: "h1", "10.0.1.11")
        scenario.interface("neighbor", "front", on: "h2", "10.0.1.12")
        scenario.interface("inner", "front", on: host, "10.0.1.30", forwards: true)
        scenario.interface("peer", "back", on: "h1", "10.0.2.11")
        scenario.interface("far-peer", "back", on: "h2", "10.0.2.12")
        scenario.interface("fw", "edge", on: host, "10.0.9.20", forwards: true)
        let ping = SecurityRule(
            traffic: TrafficMatch(ipProtocol: .icmp, icmpType: 8), peers: [.cidr(.defaultIPv4)])
        scenario.group(
            "closed", "blue",
            ingress: [
                ping, .udp(7000...7000, from: "10.0.1.0/24"), .udp(7003...7003, from: "10.0.1.0/24"),
                .udp(7001...7001, from: block),
            ])
        // Whatever source it has.
        scenario.group(
            "edge", "blue", ingress: [.all],
            egress: [
                ping, .udp(1...65535, from: "10.0.1.0/24"), .udp(5001...5003, from: "10.0.2.0/24"),
                .udp(5005...5005, from: "10.0.2.0/24"), .udp(7002...7002, from: "10.0.9.0/24"),
                SecurityRule(traffic: TrafficMatch(ipProtocol: .tcp), peers: [.cidr(.defaultIPv4)]),
                SecurityRule(traffic: TrafficMatch(ipProtocol: .icmp), peers: [.cidr(.defaultIPv4)]),
            ])
        let denied = ACLRule(
            priority: 100, action: .deny, traffic: TrafficMatch(ipProtocol: .udp, ports: [7000...7000]),
            cidr: .defaultIPv4)
        scenario.model.acls = [
            NetworkACL(
                metadata: Metadata(name: "front"), vpc: "blue", ingress: [denied, .allowAll], egress: [.allowAll])
        ]
        scenario.model.subnets[0].acl = "front"
        return scenario.with(groups: ["closed"], of: "victim").with(groups: ["edge"], of: "fw")
    }

    /// A client and a server, whose traffic goes by one of two boxes, and another server, behind two boxes with groups, one
    /// behind the other: those see both directions.
    /// - Parameter hosts: of the boxes, and of the server.
    fileprivate static func chained(_ hosts: [String]) -> Scenario {
        var scenario = Scenario()
        for number in 1...3 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.table(
            "ask", "blue", via("10.0.2.0/24", ("box-a", 1), ("box-b", 1)), via("10.0.3.0/24", ("first", 1)))
        scenario.table("answer", "blue", via("10.0.1.0/24", ("box-b", 1), ("box-a", 1)))
        scenario.table("next", "blue", via("10.0.3.0/24", ("second", 1)))
        scenario.table("last", "blue", via("10.0.1.0/24", ("second", 1)))
        scenario.table("back", "blue", via("10.0.1.0/24", ("first", 1)))
        scenario.subnet("clients", "blue", "10.0.1.0/24", table: "ask")
        scenario.subnet("servers", "blue", "10.0.2.0/24", table: "answer")
        scenario.subnet("more", "blue", "10.0.3.0/24", table: "last")
        scenario.subnet("chain", "blue", "10.0.8.0/24", table: "next")
        scenario.subnet("chain-end", "blue", "10.0.7.0/24", table: "back")
        scenario.subnet("edge", "blue", "10.0.9.0/24")
        scenario.interface("client", "clients", on: "h1", "10.0.1.10")
        scenario.interface("server", "servers", on: hosts[2], "10.0.2.10")
        scenario.interface("other", "more", on: hosts[2], "10.0.3.10")
        scenario.interface("box-a", "edge", on: hosts[0], "10.0.9.10", forwards: true)
        scenario.interface("box-b", "edge", on: hosts[1], "10.0.9.11", forwards: true)
        scenario.interface("first", "chain", on: hosts[0], "10.0.8.12", forwards: true)
        scenario.interface("second", "chain-end", on: hosts[1], "10.0.7.13", forwards: true)
        let world = [SecurityRule.Peer.cidr(.defaultIPv4)]
        let service = [
            SecurityRule(
                traffic: TrafficMatch(ipProtocol: .udp, ports: [Station.udpPort...Station.udpPort]), peers: world),
            SecurityRule(
                traffic: TrafficMatch(ipProtocol: .tcp, ports: [Station.tcpPort...Station.tcpPort]), peers: world),
        ]
        scenario.group("asks", "blue", ingress: [], egress: service)
        scenario.group("answers", "blue", ingress: service, egress: [])
        // What the boxes take and send by themselves is the same as what the others do.
        scenario.group("passes", "blue", ingress: service, egress: service)
        scenario = scenario.with(groups: ["asks"], of: "client")
        for name in ["server", "other"] { scenario = scenario.with(groups: ["answers"], of: name) }
        for name in ["first", "second"] { scenario = scenario.with(groups: ["passes"], of: name) }
        return scenario
    }
}

extension SecurityRule {
    fileprivate static func udp(_ ports: ClosedRange<UInt16>, from cidr: String) -> SecurityRule {
        SecurityRule(
            traffic: TrafficMatch(ipProtocol: .udp, ports: [ports]), peers: [.cidr(Scenario.prefix(cidr))])
    }
}
