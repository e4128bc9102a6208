import IPAddressing
import TestSupport
import Testing
import Traffic
import VPCCompiler
import VPCModel
import VPCTopology

@testable import VPCLab

extension Scenario {
    /// Two tenants behind one public address.
    static let shared: Scenario = {
        var scenario = Scenario.edge
        scenario.model.natGateways[0].pool = .shared(PublicPorts(address: "203.0.113.30", ports: 1024...5119))
        scenario.model.natGateways[1].pool = .shared(PublicPorts(address: "203.0.113.30", ports: 5120...9215))
        scenario.model.natGateways[1].portForwards = [
            .init(
                address: "203.0.113.30", transport: .udp, port: 9000, interface: "green2",
                interfacePort: Station.udpPort)
        ]
        return scenario
    }()

    /// Each guest of green has ports of its own.
    static let portBlocks: Scenario = {
        var scenario = Scenario.edge
        scenario.model.natGateways[1].portsPerInterface = 64
        return scenario
    }()
}

extension LabTests {
    /// NAT gateways that have only some ports of an address.
    @Suite(.needsOverlay, .lab(.shared), .serialized, .timeLimit(minutes: 20)) struct SharedAddressTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.shared)
        }

        private static let internet: IPAddress = "198.51.100.7"
        private static let shared: IPAddress = "203.0.113.30"
        private static let provider = "internet-inet"

        private func requireNothingToDo() throws {
            for report in try lab.lab.apply() {
                let applied = try report.result.get()
                #expect(applied.plan.changes.operations.map(\.object) == [], "\(report.host)")
            }
        }

        @Test func eachHasItsPorts() throws {
            let ports: [String: ClosedRange<UInt16>] = ["blue": 1024...5119, "green": 5120...9215]
            for guest in ["blue1", "blue2", "blue3", "green1", "green3"] {
                let own = try #require(ports[String(guest.dropLast())])
                // One of its tenant's own, one of the other's, one of neither's.
                for port in [0, 2000, 6000, 40_000] as [UInt16] {
                    let answer = try lab.station(guest).ask(Self.internet, sourcePort: port)
                    #expect(answer?.seenAddress == Self.shared, "\(guest)")
                    #expect(answer.map { own.contains($0.seenPort) } ?? false, "\(guest): \(answer?.seenPort ?? 0)")
                }
                #expect(try lab.station(guest).ping(Self.internet).isReply, "\(guest)")
            }
            try requireNothingToDo()
        }

        @Test func equalTuplesOfTwoTenantsDoNotMeet() throws {
            for guest in ["blue1", "green1"] {
                let outcome = try lab.station(guest).connect(Self.internet, sourcePort: 5000, sending: 300_000)
                guard case .answered(let answer) = outcome else {
                    Issue.record("\(guest): \(outcome)")
                    continue
                }
                #expect(answer.text == "300000")
            }
        }

        /// Whose an error is says the packet that it quotes.
        @Test func errorsFindTheirTenant() throws {
            for (guest, port) in [("blue1", 40001), ("green1", 40002)] as [(String, UInt16)] {
                let watch = try Capture(in: .named(lab.namespace(guest)))
                let question = OutgoingPacket(
                    from: "10.0.1.11", to: Self.internet, .udp(sourcePort: port, destinationPort: 9, payload: [1]))
                #expect(try PacketSender(in: .named(lab.namespace(guest)), as: "10.0.1.11").send(question) == 0)
                #expect(watch.waits { $0.icmpError?.about == question.flow }, "\(guest)")
            }
        }

        /// Only the first fragment says whose it is.
        @Test func fragmentsAreLostOnTheWayBack() throws {
            let outcome = try lab.station("blue1").ping(
                Self.internet, PingOptions(size: 4000, timeout: .milliseconds(500), attempts: 2))
            #expect(!outcome.isReply)
        }

        @Test func whatNobodyAskedForDoesNotComeIn() throws {
            let outside = try lab.station(Self.provider, source: "198.51.100.7")
            for port in [80, 2000, 6000, 40_000] as [UInt16] {
                #expect(try outside.ask(Self.shared, port: port, timeout: .milliseconds(200), attempts: 1) == nil)
            }
            #expect(try !outside.ping(Self.shared, PingOptions(timeout: .milliseconds(200))).isReply)
            #expect(try outside.ask(Self.shared, port: 9000)?.name == "green2", "a forwarded one")
            #expect(try lab.station("green1").ask(Self.shared, port: 9000)?.seenAddress == Self.shared, "from inside")
            #expect(try lab.station("blue1").ask(Self.shared, port: 9000)?.seenAddress == Self.shared, "of another VPC")
        }

        @Test func portsGoFromOneToAnother() throws {
            let green = try lab.station("green1")
            let others = try Stream(from: green, to: Self.internet, every: .milliseconds(20))
            #expect(others.waitForAnswers(10))
            #expect(try lab.station("blue1").ask(Self.internet, sourcePort: 2000)?.seenPort == 2000)
            var changed = Scenario.shared
            changed.model.natGateways[0].pool = .shared(PublicPorts(address: Self.shared, ports: 64512...65535))
            try lab.become(changed)
            let port = try lab.station("blue1").ask(Self.internet, sourcePort: 2000)?.seenPort
            #expect(port.map { $0 >= 64512 } ?? false, "a connection that was there: \(port ?? 0)")
            try requireNothingToDo()
            changed.model.natGateways[0].pool = .addresses(["203.0.113.10"])
            try lab.become(changed)
            #expect(try lab.station("blue1").ask(Self.internet)?.seenAddress == "203.0.113.10")
            try lab.become(.shared)
            #expect(try lab.station("blue1").ask(Self.internet)?.seenAddress == Self.shared)
            #expect(others.waitForAnswers(5))
            let report = others.finish()
            #expect(report.lost.isEmpty, "\(report)")
        }

        @Test(arguments: [ExternalNetwork.Mode.macvlan, .ipvlan]) func theSharedAddressIsAnsweredFor(
            _ mode: ExternalNetwork.Mode
        ) throws {
            try lab.become(Scenario.shared.inOneSegment(mode))
            for guest in ["blue1", "green1"] {
                #expect(try lab.station(guest).ask(Self.internet)?.seenAddress == Self.shared, "\(guest) \(mode)")
            }
            try requireNothingToDo()
        }

        // MARK: A block for each

        @Test func eachGuestHasItsBlock() throws {
            try lab.become(.portBlocks)
            let topology = lab.lab.plan.topology
            let number = try #require(
                topology.natGateways.indices.first { topology.natGateways[$0].name == "green-nat" })
            for (guest, inside) in [("green1", "10.0.1.11"), ("green2", "10.0.1.12"), ("green3", "10.0.1.13")] {
                let block = try #require(topology.portBlock(of: IPAddress(stringLiteral: inside), byNATGateway: number))
                for port in [0, 2000, 40_000] as [UInt16] {
                    let answer = try #require(try lab.station(guest).ask(Self.internet, sourcePort: port), "\(guest)")
                    #expect(answer.seenAddress == block.address && block.ports.contains(answer.seenPort), "\(guest)")
                }
            }
            try requireNothingToDo()
        }

        /// Whoever has used its ports up gets no more to that destination, and nobody else suffers.
        @Test func portsAreUsedUp() throws {
            try lab.become(.portBlocks)
            let answers = try lab.station("green1").askMany(
                Self.internet, sourcePorts: (20_000..<20_100), timeout: .milliseconds(500), attempts: 2)
            #expect((60...64).contains(answers.count), "\(answers.count) of 100 with 64 ports")
            #expect(Set(answers.values.map(\.seenPort)).count == answers.count)
            #expect(try lab.station("green2").ask(Self.internet) != nil)
        }
    }
}
