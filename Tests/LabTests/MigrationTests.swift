import CTraffic
import Glibc
import IPAddressing
import Netlink
import Synchronization
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension LabTests {
    /// A guest that moves to another host with everything that it has open: the same namespace, plugged in elsewhere.
    @Suite(.needsOverlay, .timeLimit(minutes: 20)) struct MigrationTests {
        private static let guest: IPAddress = "10.0.1.11"
        private static let peers: [IPAddress] = ["10.0.2.21", "10.0.2.22", "10.0.2.23"]
        private static let ports: ClosedRange<UInt16> = 7100...7120

        /// Unplugs the guest on its host, plugs it in on another, and tells the rest.
        private func move(_ lab: TestLab, from old: String, to new: String, _ scenario: Scenario) throws {
            try lab.adopt(scenario.moving("guest", to: new, netns: "guest"))
            for host in [old, new] { try lab.requireClean(lab.lab.apply(hosts: [host])) }
            try lab.requireClean(lab.lab.apply())
        }

        /// 25 moves round three hosts, each with a peer. To and from each of them there are connections on which both ends
        /// speak, and such on which only the far end of the one that began does; the groups of all allow the first
        /// packets and nothing else. None dies.
        @Test func openConnectionsGoWithTheGuest() throws {
            let scenario = Scenario.migration(egress: .ports(Self.ports, toGroup: "peers"))
            let lab = try TestLab(scenario)
            defer { lab.tearDown() }
            var conversations: [(name: String, Conversation)] = []
            defer { for (_, conversation) in conversations { conversation.stop() } }
            var port = Self.ports.lowerBound
            for (index, address) in Self.peers.enumerated() {
                let peer = NetworkNamespace.named(lab.namespace("peer\(index + 1)"))
                let guest = NetworkNamespace.named(lab.namespace("guest"))
                for speaker in [Conversation.Speaker.both, .server] {
                    let to = try Conversation(from: guest, to: peer, SocketAddress(address, port), speaker)
                    let from = try Conversation(from: peer, to: guest, SocketAddress(Self.guest, port), speaker)
                    conversations += [
                        ("to peer\(index + 1), \(speaker)", to), ("from peer\(index + 1), \(speaker)", from),
                    ]
                    port += 1
                }
            }
            for (name, conversation) in conversations { try #require(conversation.goesOn(), "\(name)") }
            let hosts = ["h1", "h2", "h3"]
            for round in 0..<25 {
                let (old, new) = (hosts[round % 3], hosts[(round + 1) % 3])
                try move(lab, from: old, to: new, scenario)
                for (name, conversation) in conversations {
                    try #require(conversation.goesOn(), "move \(round + 1), to \(new): \(name)")
                }
            }
        }

        // MARK: - What a move does not open

        private func segment(_ from: IPAddress, _ port: UInt16, _ to: IPAddress, _ toPort: UInt16, _ flags: TCPFlags)
            -> OutgoingPacket
        {
            OutgoingPacket(from: from, to: to, .tcp(sourcePort: port, destinationPort: toPort, flags: flags))
        }

        private func arrives(_ packet: OutgoingPacket, _ sender: String, _ receiver: String, _ lab: TestLab) throws
            -> Bool
        {
            let watch = try Capture(in: .named(lab.namespace(receiver)))
            let sending = try PacketSender(in: .named(lab.namespace(sender)), as: packet.source)
            #expect(sending.send(packet) == 0)
            // Behind it, on the same way.
            #expect(try lab.station(sender).ping(packet.destination).isReply)
            return watch.has { packet.isSame(as: $0) }
        }

        /// For a while a host believes a guest that has come: what may be the middle of a connection that the groups allow
        /// now. Not more, and never a beginning.
        @Test func aMoveOpensNothing() throws {
            let scenario = Scenario.migration(egress: .all)
            let lab = try TestLab(scenario)
            defer { lab.tearDown() }
            let peer = Self.peers[0]
            // In its place for long: nothing is believed.
            try lab.shell("vpc-h1", "nft delete element inet vpcctl arrived_ports '{ \"e-guest\" }'")
            #expect(try !arrives(segment(peer, 40000, Self.guest, 7100, .ack), "peer1", "guest", lab))
            try move(lab, from: "h1", to: "h2", scenario)
            // So that nothing but the firewall says no.
            try lab.shell("guest", "nft 'add table ip t; add chain ip t o { type filter hook output priority 0; }'")
            try lab.shell("guest", "nft add rule ip t o tcp flags rst drop")
            // A service that the group allows to that peer, and an answer to a client's port.
            #expect(try arrives(segment(peer, 40000, Self.guest, 7100, .ack), "peer1", "guest", lab))
            #expect(try arrives(segment(peer, 443, Self.guest, 45000, .ack), "peer1", "guest", lab))
            // No beginning, also not where the middle was believed.
            #expect(try !arrives(segment(peer, 443, Self.guest, 45000, .syn), "peer1", "guest", lab))
            #expect(try !arrives(segment(peer, 443, Self.guest, 45001, .syn), "peer1", "guest", lab))
            // No service that the group does not allow, whatever port the peer takes, and none at a client's port.
            #expect(try !arrives(segment(peer, 443, Self.guest, 22, .ack), "peer1", "guest", lab))
            #expect(try !arrives(segment(peer, 443, Self.guest, 50051, .ack), "peer1", "guest", lab))
            #expect(try !arrives(segment("10.0.2.29", 40000, Self.guest, 7100, .ack), "stranger", "guest", lab))
        }

        /// A connection that a tightened policy has ended, or ends at this moment, does not come back by a move: neither
        /// by what the peer sends, nor by the guest's server, which may send anything.
        @Test(arguments: [true, false]) func whatWasCutStaysCut(_ isCutBefore: Bool) throws {
            let scenario = Scenario.migration(egress: .all)
            let lab = try TestLab(scenario)
            defer { lab.tearDown() }
            let peer = Self.peers[2]
            let conversation = try Conversation(
                from: .named(lab.namespace("peer3")), to: .named(lab.namespace("guest")),
                SocketAddress(Self.guest, 7100), .both)
            defer { conversation.stop() }
            try #require(conversation.goesOn())
            let tightened = scenario.with(groups: ["others"], of: "peer3")
            if isCutBefore { try lab.become(tightened) }
            try move(lab, from: "h1", to: "h2", tightened)
            let port = conversation.clientPort
            #expect(try !arrives(segment(peer, port, Self.guest, 7100, .ack), "peer3", "guest", lab))
            #expect(try !arrives(segment(Self.guest, 7100, peer, port, .ack), "guest", "peer3", lab))
            #expect(try !arrives(segment(peer, port, Self.guest, 7100, .ack), "peer3", "guest", lab))
        }
    }
}

extension Scenario {
    /// A guest on h1 and a peer on each of three hosts. The guest takes TCP at some ports from its peers.
    fileprivate static func migration(egress: SecurityRule) -> Scenario {
        var scenario = Scenario()
        for number in 1...3 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.subnet("front", "blue", "10.0.1.0/24")
        scenario.subnet("back", "blue", "10.0.2.0/24")
        scenario.interface("guest", "front", on: "h1", "10.0.1.11")
        for number in 1...3 {
            scenario.interface("peer\(number)", "back", on: "h\(number)", IPAddress(v4: 0x0A00_0214 + UInt32(number)))
        }
        scenario.interface("stranger", "back", on: "h3", "10.0.2.29")
        let ping = SecurityRule(traffic: TrafficMatch(ipProtocol: .icmp, icmpType: 8), peers: [.cidr(.defaultIPv4)])
        scenario.group(
            "guest", "blue",
            ingress: [ping, .ports(7100...7120, toGroup: "peers"), .ports(50051...50051, toGroup: "others")],
            egress: [ping, egress])
        scenario.group(
            "peers", "blue", ingress: [ping, .ports(7100...7120, toGroup: "guest")],
            egress: [ping, .ports(7100...7120, toGroup: "guest")])
        scenario.group("others", "blue", ingress: [.all])
        scenario = scenario.with(groups: ["guest"], of: "guest")
        for number in 1...3 { scenario = scenario.with(groups: ["peers"], of: "peer\(number)") }
        if egress != .all { return scenario }
        // Raw segments of any port are theirs to send.
        return scenario.with(egress: [.all], ofGroup: "peers").with(ingress: [.all], ofGroup: "peers")
    }

    private func with(egress: [SecurityRule], ofGroup name: String) -> Scenario {
        var changed = self
        for index in model.securityGroups.indices where model.securityGroups[index].metadata.name == name {
            changed.model.securityGroups[index].egress = egress
        }
        return changed
    }
}

extension SecurityRule {
    fileprivate static func ports(_ ports: ClosedRange<UInt16>, toGroup name: String) -> SecurityRule {
        SecurityRule(traffic: TrafficMatch(ipProtocol: .tcp, ports: [ports]), peers: [.securityGroup(name)])
    }
}

/// A TCP connection on which one end or both send something all the time.
private final class Conversation: Sendable {
    enum Speaker { case server, both }

    let clientPort: UInt16
    private let client: Socket
    private let server: Socket
    private let speaker: Speaker
    private let state = Mutex(State())
    private let isStopped = Atomic<Bool>(false)
    private let thread = Mutex<BackgroundThread?>(nil)

    private struct State {
        var client = 0
        var server = 0
        var failure: String?
    }

    init(
        from clientPlace: NetworkNamespace, to serverPlace: NetworkNamespace, _ address: SocketAddress,
        _ speaker: Speaker
    ) throws {
        let listener = try serverPlace.run {
            let socket = try Socket(AF_INET, SOCK_STREAM)
            try socket.set(SOL_SOCKET, SO_REUSEADDR, 1)
            try socket.bind(address)
            return socket
        }
        try #require(listen(listener.descriptor, 1) == 0)
        client = try clientPlace.run { try Socket(AF_INET, SOCK_STREAM) }
        _ = try client.connect(address).get()
        var polls = PollSet()
        polls.add(listener.descriptor, POLLIN)
        polls.wait(until: .now + .seconds(20))
        let accepted = accept(listener.descriptor, nil, nil)
        try #require(accepted >= 0, "no connection to \(address)")
        server = Socket(owning: accepted)
        clientPort = try #require(client.localAddress).port
        self.speaker = speaker
        let started = try BackgroundThread { [self] in
            while !isStopped.load(ordering: .relaxed) {
                talk()
                usleep(20_000)
            }
        }
        thread.withLock { $0 = started }
    }

    private func talk() {
        if speaker == .both { speak(client) }
        speak(server)
        hear(client, \.client)
        hear(server, \.server)
    }

    private func speak(_ socket: Socket) {
        _ = send(socket.descriptor, "12345678", 8, Int32(MSG_NOSIGNAL))
    }

    private func hear(_ socket: Socket, _ counter: WritableKeyPath<State, Int>) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(socket.descriptor, &buffer, buffer.count)
            if count > 0 {
                state.withLock { $0[keyPath: counter] += count }
            } else {
                if count == 0 || errno != EAGAIN { state.withLock { $0.failure = "ended: errno \(errno)" } }
                return
            }
        }
    }

    /// Whether everything that is said from now on is heard.
    func goesOn() -> Bool {
        let before = state.withLock { $0 }
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            let now = state.withLock { $0 }
            if now.failure != nil { return false }
            // More than was under way, which is little: whoever hears nothing is sent what was lost first.
            if now.client > before.client + 8, speaker == .server || now.server > before.server + 8 { return true }
            usleep(5000)
        }
        return false
    }

    func stop() {
        isStopped.store(true, ordering: .relaxed)
        thread.withLock { $0 }?.join()
    }
}
