import Glibc
import IPAddressing
import Netlink
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension LabTests {
    /// What is not a connection's own packet, and what answers it without knowing it.
    @Suite(.needsOverlay, .lab(.guarded)) struct ConnectionErrorTests {
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

        /// The server says "port unreachable" (RFC 792).
        private func complain(about packet: OutgoingPacket) throws {
            var message: [UInt8] = [3, 3, 0, 0, 0, 0, 0, 0]
            message += packet.bytes
            message.setChecksum(at: 2)
            let bytes = IPv4Packet.bytes(
                source: Self.server, destination: Self.client, protocolNumber: 1, payload: message)
            #expect(try sender("blue-server", as: Self.server).send(bytes, to: Self.client) == 0)
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
