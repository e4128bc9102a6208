import CLinux
import Glibc
import TestSupport
import Testing

@testable import Netlink

@Suite(.timeLimit(minutes: 10)) struct NFConntrackTests {
    /// Two zones, told apart by port, and whatever else goes over the loopback device in zone 0.
    private static let rules = """
        table inet zones {
            chain out {
                type filter hook output priority -300
                udp dport 1000-1999 ct zone set 7
                udp dport 2000-2999 ct zone set 8
                icmp type echo-request ct zone set 8
            }
            chain in {
                type filter hook prerouting priority -300
                udp dport 1000-1999 ct zone set 7
                udp dport 2000-2999 ct zone set 8
                icmp type { echo-request, echo-reply } ct zone set 8
            }
            chain track {
                type filter hook input priority 0
                ct state invalid drop
                ct mark set 5
            }
        }
        """

    private func withFlows(
        _ body: (_ name: String, NetworkNamespace, inout ConntrackSocket) throws -> Void
    ) throws {
        try withScratchNamespace { name, namespace in
            let file = "/tmp/\(name).nft"
            let stream = try #require(fopen(file, "w"))
            fputs(Self.rules, stream)
            fclose(stream)
            defer { unlink(file) }
            try run("ip", "netns", "exec", name, "nft", "-f", file)
            try run("ip", "-n", name, "link", "set", "lo", "up")
            var socket = try ConntrackSocket(in: namespace)
            try body(name, namespace, &socket)
        }
    }

    /// Sends one datagram from port 999 of the loopback address to port `port`.
    private func send(_ namespace: NetworkNamespace, to port: UInt16) throws {
        try namespace.enter { () throws(NetlinkError) in
            let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
            defer { close(descriptor) }
            func with<Result>(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
                var address = sockaddr_in()
                address.sin_family = sa_family_t(AF_INET)
                address.sin_port = port.bigEndian
                address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
                return withUnsafePointer(to: &address) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                    }
                }
            }
            _ = with(999) { bind(descriptor, $0, $1) }
            _ = with(port) { sendto(descriptor, "x", 1, 0, $0, $1) }
        }
    }

    @Test func flowsAreListedByZone() throws {
        try withFlows { name, namespace, conntrack in
            #expect(try conntrack.flows().isEmpty)
            #expect(try conntrack.count() == 0)
            for port in [1001, 1002, 2001, 3001] as [UInt16] { try send(namespace, to: port) }
            let all = try conntrack.flows()
            #expect(all.count == 4)
            #expect(try conntrack.count() == 4)
            let seven = try conntrack.flows(zone: 7)
            #expect(Set(seven.map(\.original.destinationPort)) == [1001, 1002])
            #expect(seven.allSatisfy { $0.zone == 7 && $0.original.sourcePort == 999 && $0.mark == 5 })
            #expect(try conntrack.flows(zone: 8).map(\.original.destinationPort) == [2001])
            #expect(try conntrack.flows(zone: 0).map(\.original.destinationPort) == [3001])
            #expect(try conntrack.flows(zone: 9).isEmpty)
            let flow = try #require(seven.first)
            let local = ConntrackTuple.Address(isIPv6: false, value: 0x7F00_0001)
            #expect(flow.original.source == local && flow.reply.destination == local)
            #expect(flow.original.protocol == UInt8(IPPROTO_UDP))
            #expect(flow.reply.sourcePort == flow.original.destinationPort)
            #expect(flow.timeout > 0 && !flow.isAnswered)
            #expect(Set(all.map(\.id)).count == 4)
            #expect(conntrack.modificationCount == 0)
        }
    }

    @Test func exactlyOneFlowIsDeleted() throws {
        try withFlows { name, namespace, conntrack in
            for port in [1001, 1002, 2001] as [UInt16] { try send(namespace, to: port) }
            let flow = try #require(conntrack.flows(zone: 7).first { $0.original.destinationPort == 1001 })
            #expect(try conntrack.delete([flow]) == 1)
            #expect(conntrack.modificationCount == 1)
            #expect(Set(try conntrack.flows().map(\.original.destinationPort)) == [1002, 2001])
            // Gone already.
            #expect(try conntrack.delete([flow]) == 0)
            // The same addresses again, but another entry than that which is meant.
            try send(namespace, to: 1001)
            var another = try #require(conntrack.flows(zone: 7).first { $0.original.destinationPort == 1001 })
            another.id ^= 1
            #expect(try conntrack.delete([another]) == 0)
            #expect(try conntrack.count() == 3)
            // Of the same addresses in two zones only the one in the zone.
            var moved = try #require(conntrack.flows(zone: 7).first { $0.original.destinationPort == 1001 })
            moved.zone = 8
            #expect(try conntrack.delete([moved]) == 0)
            #expect(try conntrack.delete(conntrack.flows()) == 3)
            #expect(try conntrack.count() == 0)
        }
    }

    /// It keeps its mark and its end, whatever comes.
    @Test func packetsDoNotProlongWhatIsCondemned() throws {
        try withFlows { name, namespace, conntrack in
            for port in [1001, 1002] as [UInt16] { try send(namespace, to: port) }
            let flow = try #require(conntrack.flows(zone: 7).first { $0.original.destinationPort == 1001 })
            #expect(try conntrack.condemn([flow], mark: 77, seconds: 5) == 1)
            let other = try #require(conntrack.flows(zone: 7).first { $0.original.destinationPort == 1002 })
            #expect(other.mark == 5 && other.timeout > 5)
            // The rules give the mark 5 again; the firewall of a VPC drops the packet before.
            try send(namespace, to: 1001)
            let same = try #require(conntrack.flows(zone: 7).first { $0.original.destinationPort == 1001 })
            #expect(same.id == flow.id && same.timeout <= 5)
            // It ends when it was told to, and cannot be told again.
            var refusals: [Int32] = []
            _ = try conntrack.condemn([same], mark: 78, seconds: 50) { refusals.append($1.errno) }
            #expect(refusals == [EPERM])
            var gone = flow
            gone.original.destinationPort = 1003
            #expect(try conntrack.condemn([gone], mark: 77, seconds: 5) == 0)
        }
    }

    /// ICMP has no ports, GRE has keys, IPv6 has other attributes: what was listed can be deleted.
    @Test func everyKindOfFlowCanBeDeleted() throws {
        try withFlows { name, namespace, conntrack in
            try run("ip", "netns", "exec", name, "ping", "-c", "1", "-W", "1", "127.0.0.1")
            try run("ip", "netns", "exec", name, "ping", "-c", "1", "-W", "1", "::1")
            for arguments in [
                [
                    "-p", "tcp", "-s", "10.0.0.1", "-d", "10.0.0.2", "--sport", "1", "--dport", "2", "--state",
                    "ESTABLISHED",
                ],
                [
                    "-p", "sctp", "-s", "10.0.0.1", "-d", "10.0.0.2", "--sport", "1", "--dport", "2", "--state",
                    "ESTABLISHED", "--orig-vtag", "1", "--reply-vtag", "2",
                ],
                ["-p", "gre", "-s", "10.0.0.1", "-d", "10.0.0.2", "--srckey", "1", "--dstkey", "2"],
                ["-p", "udp", "-s", "2001:db8::1", "-d", "2001:db8::2", "--sport", "5", "--dport", "6"],
                ["-p", "50", "-s", "10.0.0.1", "-d", "10.0.0.2"],
            ] { try conntrackTool(name, ["-I", "-t", "60"] + arguments) }
            let flows = try conntrack.flows()
            let protocols: Set<Int32> = [1, 58, 6, 132, 47, 17, 50]
            #expect(Set(flows.map { Int32($0.original.protocol) }) == protocols)
            let ping = try #require(flows.first { $0.original.protocol == 1 })
            #expect(ping.original.icmp?.type == 8 && ping.zone == 8 && ping.isAnswered)
            let wide = try #require(flows.first { $0.original.protocol == 17 })
            #expect(wide.original.source.value == UInt128(0x2001_0DB8) << 96 | 1 && wide.original.source.isIPv6)
            for flow in flows {
                #expect(try conntrack.delete([flow]) == 1, "\(flow)")
            }
            #expect(try conntrack.count() == 0)
        }
    }

    private func conntrackTool(_ name: String, _ arguments: [String]) throws {
        try run("sh", "-c", "ip netns exec \(name) conntrack \(arguments.joined(separator: " ")) >/dev/null 2>&1")
    }
}
