import CTraffic
import Foundation
import Glibc
import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension SecurityRule {
    fileprivate static func sctp(_ ports: [ClosedRange<UInt16>] = [], from cidr: String) -> SecurityRule {
        SecurityRule(traffic: TrafficMatch(ipProtocol: .sctp, ports: ports), peers: [.cidr(Scenario.prefix(cidr))])
    }
}

extension Scenario {
    /// A server behind a group and an ACL that take associations to one port each. Clients on its host and on another
    /// have no groups, so what the server sends them nobody judges but its own group.
    fileprivate static func associations(ingress: [SecurityRule]) -> Scenario {
        var scenario = Scenario.guarded.with(ingress: ingress, ofGroup: "server")
        scenario.model.acls[0].ingress = [
            ACLRule(
                priority: 100, action: .deny,
                traffic: TrafficMatch(ipProtocol: .sctp, ports: [3869...3869, 3872...3872]), cidr: .defaultIPv4),
            .allowAll,
        ]
        return scenario
    }
}

extension LabTests {
    /// SCTP as its own kernel speaks it, and as somebody forges it.
    @Suite(.needsOverlay, .lab(.guarded), .timeLimit(minutes: 10)) struct SCTPTests {
        let lab: TestLab
        private let responders: Responders
        private static let allowed = Scenario.associations(ingress: [
            .sctp([3868...3869, 3871...3872], from: "0.0.0.0/0"), .udp(from: "0.0.0.0/0"),
        ])
        private static let forbidden = Scenario.associations(ingress: [.udp(from: "0.0.0.0/0")])
        private static let server: IPAddress = "10.0.2.21"

        init() throws {
            lab = try TestLab.current
            try lab.become(Self.allowed)
            responders = try Responders()
            try responders.serve(
                as: "server", in: .named(lab.namespace("blue-server")), udp: [], tcp: [], sctp: [3867, 3868, 3869])
        }

        private func denied(on host: String) throws -> Int {
            let text = try lab.shell("vpc-\(host)", "nft -j list counter inet vpcctl denied_by_group")
            let digits = text.components(separatedBy: "\"packets\": ").last?.prefix { $0.isNumber }
            return try #require(digits.flatMap { Int($0) }, "\(text)")
        }

        /// The group allows 3868 and 3869, the ACL all but 3869; 3867 is listened on and not allowed.
        @Test(arguments: ["near", "far"]) func portsAreJudged(_ client: String) throws {
            defer { responders.stop() }
            let station = try lab.station("blue-\(client)")
            guard case .answered(let answer) = try station.connect(Self.server, port: 3868, by: .sctp) else {
                Issue.record("no association")
                return
            }
            #expect(answer.name == "server")
            for port: UInt16 in [3867, 3869] {
                #expect(try station.connect(Self.server, port: port, by: .sctp, timeout: .seconds(1)) == .silent)
            }
            // What SCTP may do TCP may not.
            #expect(try station.connect(Self.server, port: 3868, timeout: .seconds(1)) == .silent)
        }

        /// Large enough for several packets each way, so that most of them pass by the connection's mark.
        @Test func muchIsSent() throws {
            defer { responders.stop() }
            let size = 200_000
            let outcome = try lab.station("blue-far").connect(
                Self.server, port: 3868, by: .sctp, sending: size, timeout: .seconds(60))
            guard case .answered(let answer) = outcome else {
                Issue.record("\(outcome)")
                return
            }
            #expect(answer.text == "\(size)")
        }

        @Test func probesAskBySCTP() throws {
            defer { responders.stop() }
            var scenario = Self.allowed
            scenario.probe("open", "blue-far", to: "blue-server", .sctp(port: 3871), .allow)
            scenario.probe("closed", "blue-far", to: "blue-server", .sctp(port: 3870), .deny)
            scenario.probe("acl", "blue-near", to: "blue-server", .sctp(port: 3872), .deny)
            try lab.become(scenario)
            let results = try lab.lab.runProbes().results
            #expect(results.count == 3 && results.allSatisfy(\.isPassed), "\(results)")
        }

        @Test func aTraceIsSent() throws {
            defer { responders.stop() }
            let manifest = "/tmp/\(lab.prefix)sctp.json"
            try Self.allowed.text(prefix: lab.prefix).write(toFile: manifest, atomically: true, encoding: .utf8)
            defer { unlink(manifest) }
            for (port, status, words) in [
                (3868, Int32(0), "was answered\n"), (3867, 1, "denied_by_group"), (3869, 1, "acl_back_in_100"),
            ] {
                let run = Command.run(
                    "\(Run.program("vpcctl")) trace blue-near blue-server --protocol sctp --port \(port) --live"
                        + " --host h1 -f \(manifest)", in: lab.namespace("h1"))
                #expect(run.status == status && run.output.contains("=> agrees"), "\(run.output)")
                #expect(run.output.contains(words), "\(run.output)")
            }
        }

        /// Every chunk but INIT: connection tracking takes most of them for a beginning.
        @Test func onlyAnInitiationBegins() throws {
            defer { responders.stop() }
            let client: IPAddress = "10.0.1.12"
            let arrivals = try Capture(in: .named(lab.namespace("blue-server")))
            let sender = try PacketSender(in: .named(lab.namespace("blue-far")), as: client)
            for (number, chunk) in (UInt8(0)...16).map(SCTPChunk.init(rawValue:)).enumerated() {
                let packet = OutgoingPacket(
                    from: client, to: Self.server,
                    .sctp(sourcePort: 30000 + UInt16(number), destinationPort: 3868, chunk: chunk))
                #expect(sender.send(packet) == 0)
                // Behind it on the same way, and always let through.
                #expect(try lab.station("blue-far").ask(Self.server)?.name == "blue-server")
                #expect(arrivals.has { packet.isSame(as: $0) } == (chunk == .initiation), "chunk \(chunk.rawValue)")
            }
        }

        /// A rule goes: its associations end, the plan says so, and neither end revives them.
        @Test(arguments: ["near", "far"]) func aRemovedRuleCutsItsAssociations(_ client: String) throws {
            defer { responders.stop() }
            let place = NetworkNamespace.named(lab.namespace("blue-\(client)"))
            let address: IPAddress = client == "near" ? "10.0.1.11" : "10.0.1.12"
            let association = try Association(from: place, to: SocketAddress(Self.server, 3868))
            #expect(association.ask("before", patience: .seconds(20)))
            let reports = try lab.become(Self.forbidden)
            let cut = try reports.flatMap { try $0.result.get().plan.changes.operations }.filter {
                $0.kind == .connection
            }
            #expect(cut.contains { $0.object.contains("\(association.port)") }, "\(cut)")

            // The client's data stops at the server's group.
            let before = try denied(on: "h1")
            let arrivals = try Capture(in: .named(lab.namespace("blue-server")))
            association.say("after")
            let deadline = ContinuousClock.now + .seconds(20)
            while try denied(on: "h1") == before, .now < deadline {}
            #expect(try denied(on: "h1") > before)
            #expect(!arrivals.has { $0.protocolNumber == UInt8(IPPROTO_SCTP) })

            // Whatever the server sends is no beginning, though its group lets out everything.
            let watch = try Capture(in: place)
            let sender = try PacketSender(in: .named(lab.namespace("blue-server")), as: Self.server)
            for chunk in [SCTPChunk.data, .initiationAnswer, .heartbeat, .abort, .shutdown, .error, .cookieEcho] {
                let packet = OutgoingPacket(
                    from: Self.server, to: address,
                    .sctp(sourcePort: 3868, destinationPort: association.port, chunk: chunk))
                #expect(sender.send(packet) == 0)
                #expect(try lab.station("blue-server").ping(address).isReply)
                #expect(!watch.has { $0.protocolNumber == UInt8(IPPROTO_SCTP) }, "chunk \(chunk.rawValue)")
            }
            #expect(!association.ask("again", patience: .seconds(1)))
        }
    }
}

/// A client's end.
private struct Association {
    private let socket: Socket
    let port: UInt16

    init(from place: NetworkNamespace, to server: SocketAddress) throws {
        socket = try place.run { try Socket(AF_INET, SOCK_STREAM, Int32(IPPROTO_SCTP)) }
        _ = try socket.connect(server).get()
        var polls = PollSet()
        polls.add(socket.descriptor, POLLOUT)
        polls.wait(until: .now + .seconds(20))
        try #require(polls.isReady(0) && socket.pendingError == 0)
        port = try #require(socket.localAddress).port
    }

    func say(_ text: String) {
        let line = Array("ask \(text)\n".utf8)
        _ = Glibc.send(socket.descriptor, line, line.count, Int32(MSG_NOSIGNAL))
    }

    /// Whether the answer comes in time.
    func ask(_ text: String, patience: Duration) -> Bool {
        say(text)
        var buffer = [UInt8](repeating: 0, count: 512)
        var received: [UInt8] = []
        let deadline = ContinuousClock.now + patience
        while .now < deadline {
            var polls = PollSet()
            polls.add(socket.descriptor, POLLIN)
            polls.wait(until: deadline)
            let count = read(socket.descriptor, &buffer, buffer.count)
            if count <= 0, errno != EAGAIN { return false }
            received += buffer[..<max(0, count)]
            if String(decoding: received, as: UTF8.self).contains("|\(text)\n") { return true }
        }
        return false
    }
}
