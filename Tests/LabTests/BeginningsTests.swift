import Glibc
import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension LabTests {
    /// What a guest can begin, and by which protocols.
    @Suite(.needsOverlay, .lab(.guarded), .timeLimit(minutes: 10)) struct BeginningsTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.guarded)
        }

        /// The server's group takes TCP to 7001 from everybody: the segment that asks for a connection, and none that
        /// pretends to be of one.
        @Test(arguments: ["near", "far"]) func aTCPConnectionBeginsWithSYN(_ client: String) throws {
            try lab.settle()
            let address: IPAddress = client == "near" ? "10.0.1.11" : "10.0.1.12"
            let server: IPAddress = "10.0.2.21"
            let arrivals = try Capture(in: .named(lab.namespace("green-server")))
            let sender = try PacketSender(in: .named(lab.namespace("green-\(client)")), as: address)
            let flags: [TCPFlags] = [.syn, .ack, [.syn, .ack], [.fin, .ack], .rst, [.rst, .ack], [], .fin]
            for (number, flags) in flags.enumerated() {
                let segment = OutgoingPacket(
                    from: address, to: server,
                    .tcp(sourcePort: 31000 + UInt16(number), destinationPort: Station.tcpPort, flags: flags))
                #expect(sender.send(segment) == 0)
                // Behind it on the same way, and always let through.
                guard case .answered = try lab.station("green-\(client)").connect(server) else {
                    Issue.record("no connection")
                    return
                }
                #expect(arrivals.has { segment.isSame(as: $0) } == (flags == .syn), "\(flags)")
            }
        }

        /// A host's port takes no IPv6 from a guest, and were it told to, the firewall would drop it.
        @Test func noPortSpeaksIPv6() throws {
            func isAnswered() -> Bool {
                // All nodes of the link, the guest itself aside (-L).
                let ping = "ping -6 -L -c 3 -i 0.3 -W 1 ff02::1%eth0"
                return Command.run(ping, in: lab.namespace("blue-near")).status == 0
            }
            func dropped() throws -> String { try lab.shell("vpc-h1", "nft list counter inet vpcctl spoofed") }
            try lab.shell("blue-near", "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")
            defer { _ = try? lab.shell("blue-near", "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1") }
            try lab.shell("blue-near", "ip -6 addr add fe80::77/64 dev eth0 nodad")
            let before = try dropped()
            #expect(!isAnswered())
            #expect(try dropped() == before)
            #expect(try lab.shell("vpc-h1", "ip -6 -o addr show | grep ' e-' | wc -l") == "0\n")

            try lab.shell("vpc-h1", "sysctl -qw net.ipv6.conf.e-blue-near.disable_ipv6=0")
            defer { _ = try? lab.shell("vpc-h1", "sysctl -qw net.ipv6.conf.e-blue-near.disable_ipv6=1") }
            try lab.shell("vpc-h1", "ip -6 addr add fe80::88/64 dev e-blue-near nodad")
            #expect(!isAnswered())
            #expect(try dropped() != before)
        }
    }
}
