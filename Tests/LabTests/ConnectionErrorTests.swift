import Glibc
import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension LabTests {
    /// What is not a connection's own packet, and what answers it without knowing it.
    @Suite(.needsOverlay, .lab(.guarded), .timeLimit(minutes: 10)) struct ConnectionErrorTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(Self.scenario())
        }

        private static let client: IPAddress = "10.0.1.12"
        private static let server: IPAddress = "10.0.2.21"
        private static let closedPort: UInt16 = 9

        /// The client on h2 takes nothing that it has not asked for; the server on h1 takes all UDP and TCP.
        private static func scenario(serverEgress: [ACLRule] = [.allowAll]) -> Scenario {
            var scenario = Scenario.guarded
            scenario.group("client", "blue", ingress: [])
            let world = [SecurityRule.Peer.cidr(.defaultIPv4)]
            scenario = scenario.with(
                ingress: [
                    SecurityRule(traffic: TrafficMatch(ipProtocol: .udp), peers: world),
                    SecurityRule(traffic: TrafficMatch(ipProtocol: .tcp), peers: world),
                ], ofGroup: "server")
            scenario.model.acls[0].egress = serverEgress
            return scenario.with(groups: ["client"], of: "blue-far")
        }

        private static func line(_ priority: Int, _ action: ACLRule.Action, _ traffic: TrafficMatch) -> ACLRule {
            ACLRule(priority: priority, action: action, traffic: traffic, cidr: .defaultIPv4)
        }

        private func sender(_ name: String, as address: IPAddress) throws -> PacketSender {
            try PacketSender(in: .named(lab.namespace(name)), as: address)
        }

        /// Sends a datagram to a port where nobody listens, and says whether the client hears of it.
        private func isToldOfAClosedPort(_ sourcePort: UInt16) throws -> Bool {
            let watch = try Capture(in: .named(lab.namespace("blue-far")))
            let arrivals = try Capture(in: .named(lab.namespace("blue-server")))
            let question = OutgoingPacket(
                from: Self.client, to: Self.server,
                .udp(sourcePort: sourcePort, destinationPort: Self.closedPort, payload: [1]))
            #expect(try sender("blue-far", as: Self.client).send(question) == 0)
            #expect(arrivals.waits { question.isSame(as: $0) })
            // Behind the error on the same way.
            #expect(try lab.station("blue-far").ask(Self.server)?.name == "blue-server")
            return watch.has { $0.icmpError?.about == question.flow }
        }

        /// An ICMP error about a flow passes the groups, which let the flow begin; the ACL sees it as any packet.
        @Test func errorsAboutAFlowPassTheGroups() throws {
            #expect(try isToldOfAClosedPort(40001))
            let noErrors = Self.line(100, .deny, TrafficMatch(ipProtocol: .icmp))
            try lab.become(Self.scenario(serverEgress: [noErrors, .allowAll]))
            #expect(try !isToldOfAClosedPort(40002))
        }

        /// Also where packets of the flow have passed in both directions, and so are not judged any more.
        @Test func theMarkOfAFlowIsNotForItsErrors() throws {
            let noErrors = Self.line(100, .deny, TrafficMatch(ipProtocol: .icmp))
            try lab.become(Self.scenario(serverEgress: [noErrors, .allowAll]))
            let port: UInt16 = 40003
            #expect(try lab.station("blue-far").ask(Self.server, sourcePort: port)?.name == "blue-server")
            let watch = try Capture(in: .named(lab.namespace("blue-far")))
            let question = OutgoingPacket(
                from: Self.client, to: Self.server,
                .udp(sourcePort: port, destinationPort: Station.udpPort, payload: [1]))
            try complain(about: question)
            #expect(try lab.station("blue-far").ask(Self.server)?.name == "blue-server")
            #expect(!watch.has { $0.icmpError?.about == question.flow })
        }

        /// One that nobody's flow has caused does not.
        @Test func errorsAboutNothingAreDropped() throws {
            let watch = try Capture(in: .named(lab.namespace("blue-far")))
            let neverSent = OutgoingPacket(
                from: Self.client, to: Self.server, .udp(sourcePort: 40004, destinationPort: 1, payload: [1]))
            try complain(about: neverSent)
            #expect(try lab.station("blue-far").ask(Self.server)?.name == "blue-server")
            #expect(!watch.has { $0.icmpError?.about == neverSent.flow })
        }

        /// An error is about a connection, and comes from anybody in the VPC, with whatever text behind the headers.
        @Test func anErrorCarriesWhatItsSenderLikes() throws {
            let port: UInt16 = 40005
            #expect(try lab.station("blue-far").ask(Self.server, sourcePort: port)?.name == "blue-server")
            let question = OutgoingPacket(
                from: Self.client, to: Self.server,
                .udp(sourcePort: port, destinationPort: Station.udpPort, payload: [1]))
            let text = [UInt8](repeating: UInt8(ascii: "t"), count: 900)
            for (guest, address) in [("blue-server", Self.server), ("blue-near", "10.0.1.11" as IPAddress)] {
                let watch = try Capture(in: .named(lab.namespace("blue-far")))
                try complain(about: question, text, by: guest, address)
                #expect(watch.waits { $0.icmpError?.from == address && Array($0.bytes.suffix(900)) == text })
            }
            // To whom the connection is none of his own, it does not pass.
            let third = OutgoingPacket(
                from: "10.0.1.11", to: Self.server,
                .udp(sourcePort: port, destinationPort: Station.udpPort, payload: [1]))
            let watch = try Capture(in: .named(lab.namespace("blue-far")))
            try complain(about: third, by: "blue-server", Self.server)
            #expect(try lab.station("blue-far").ask(Self.server)?.name == "blue-server")
            #expect(!watch.has { $0.icmpError?.about == third.flow })
        }

        /// The host's own error comes from the gateway of its receiver's subnet, and quotes the receiver's own packet.
        @Test func theHostSpeaksAsTheGateway() throws {
            let outcome = try lab.station("blue-near").ping("10.0.3.77")
            #expect(outcome.error?.from == "10.0.1.1", "\(outcome)")
        }

        /// Somebody tells the client "port unreachable" (RFC 792).
        private func complain(
            about packet: OutgoingPacket, _ text: [UInt8] = [], by guest: String = "blue-server",
            _ address: IPAddress = Self.server
        ) throws {
            var message: [UInt8] = [3, 3, 0, 0, 0, 0, 0, 0]
            message += packet.bytes + text
            message.setChecksum(at: 2)
            let bytes = IPv4Packet.bytes(
                source: address, destination: Self.client, protocolNumber: 1, payload: message)
            #expect(try sender(guest, as: address).send(bytes, to: Self.client) == 0)
        }

        /// An ACL knows no connections: who allows a service has to allow its answers, to the ports that clients use.
        @Test func answersNeedTheEphemeralPorts() throws {
            let answers = Self.line(100, .allow, TrafficMatch(ipProtocol: .tcp, ports: [32768...60999]))
            try lab.become(Self.scenario(serverEgress: [answers]))
            guard case .answered = try lab.station("blue-far").connect(Self.server) else {
                Issue.record("its answers are allowed")
                return
            }
            let others = Self.line(100, .allow, TrafficMatch(ipProtocol: .tcp, ports: [1024...32767]))
            try lab.become(Self.scenario(serverEgress: [others]))
            #expect(try lab.station("blue-far").connect(Self.server, timeout: .seconds(1)) == .silent)
        }
    }
}
