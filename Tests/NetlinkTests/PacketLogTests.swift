import CLinux
import Glibc
import TestSupport
import Testing

@testable import Netlink

@Suite(.timeLimit(minutes: 10)) struct PacketLogTests {
    // MARK: Codec

    @Test func aGroupIsAskedForInOneMessage() {
        var writer = MessageWriter()
        writer.sequence = 3
        PacketLogSocket.writeConfiguration(of: 0x0102, snapLength: 64, to: &writer)
        #expect(
            array(writer)
                == hex(
                    """
                    38000000 0104 0100 03000000 00000000
                    00 00 0102
                    0500 0100 01 000000
                    0a00 0200 00000040 02 00 0000
                    0800 0500 00000001
                    0600 0600 0001 0000
                    """))
    }

    @Test func aPacketIsReadWithAllThatTheKernelSays() throws {
        let bytes = hex(
            """
            68000000 0004 0000 00000000 00000000
            02 00 0005
            0800 0100 0800 02 00
            0800 0a00 61636c00
            0800 0400 00000007
            0800 0500 0000000b
            1000 0800 0006 0000 02000a000115 0000
            1400 0300 0000000065000000 00000000000f4240
            0800 0c00 0000002a
            0700 0900 450102 00
            """)
        let packet = try decode(bytes)
        #expect(packet.group == 5)
        #expect(packet.hook == UInt8(NF_INET_FORWARD.rawValue))
        #expect(packet.etherType == 0x0800)
        #expect(packet.prefix == "acl")
        #expect(packet.inputDevice == 7 && packet.outputDevice == 11)
        #expect(packet.hardwareAddress == [2, 0, 10, 0, 1, 0x15])
        #expect(packet.time == .seconds(0x6500_0000) + .seconds(1))
        #expect(packet.sequence == 42)
        #expect(packet.bytes == [0x45, 1, 2])
    }

    @Test func aPacketOfWhichTheKernelSaysLittle() throws {
        let packet = try decode(hex("14000000 0004 0000 00000000 00000000 02 00 0009"))
        #expect(packet.group == 9 && packet.prefix.isEmpty && packet.bytes.isEmpty)
        #expect(packet.time == nil && packet.sequence == nil)
    }

    @Test func damagedPacketsAreErrors() {
        // A hardware address of 4 bytes where 12 belong.
        #expect(throws: CodecError.self) {
            try decode(hex("1c000000 0004 0000 00000000 00000000 02 00 0005  0800 0800 0006 0000"))
        }
        // No room for the fixed structure.
        #expect(throws: CodecError.self) { try decode(hex("10000000 0004 0000 00000000 00000000")) }
    }

    private func decode(_ bytes: [UInt8]) throws -> LoggedPacket {
        var reader = MessageReader(bytes.span.bytes)
        guard let message = try reader.next() else { throw CodecError.truncatedMessageHeader(available: 0) }
        return try LoggedPacket(message)
    }

    // MARK: Kernel

    private static let rules = """
        table inet logs {
            chain out {
                type filter hook output priority 0
                udp dport 1000 log group 5 snaplen 30 prefix "one" drop
                udp dport 2000 log group 6 prefix "two" drop
            }
        }
        """

    private func withLogs(_ body: (NetworkNamespace) throws -> Void) throws {
        try withScratchNamespace { name, namespace in
            try run("sh", "-c", "echo '\(Self.rules)' | ip netns exec \(name) nft -f -")
            try run("ip", "-n", name, "link", "set", "lo", "up")
            try body(namespace)
        }
    }

    /// Sends datagrams of 100 bytes to a port of the loopback address.
    private func send(_ count: Int, to port: UInt16, _ namespace: NetworkNamespace) throws {
        try namespace.enter { () throws(NetlinkError) in
            let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
            defer { close(descriptor) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let text = [UInt8](repeating: 7, count: 100)
            for _ in 0..<count {
                _ = withUnsafePointer(to: &address) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        sendto(descriptor, text, text.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                    }
                }
            }
        }
    }

    @Test func rulesTellWhatTheyLog() throws {
        try withLogs { namespace in
            var log = try PacketLogSocket(groups: [5, 6], in: namespace, snapLength: 64)
            try send(2, to: 1000, namespace)
            try send(1, to: 2000, namespace)
            var packets: [LoggedPacket] = []
            for _ in 0..<3 {
                guard case .packet(let packet, lostBefore: 0) = try log.next(timeout: .seconds(10)) else {
                    Issue.record("a packet is missing")
                    return
                }
                packets.append(packet)
            }
            #expect(packets.map(\.prefix) == ["one", "one", "two"])
            #expect(packets.map(\.group) == [5, 5, 6])
            #expect(packets.map(\.sequence) == [0, 1, 0])
            let first = packets[0]
            #expect(first.etherType == 0x0800 && first.hook == UInt8(NF_INET_LOCAL_OUT.rawValue))
            #expect(first.outputDevice == 1 && first.inputDevice == 0)
            // No more than the rule gives; without that, no more than was asked for.
            #expect(first.bytes.count == 30 && packets[2].bytes.count == 64)
            #expect(first.bytes[0] == 0x45 && first.bytes[9] == UInt8(IPPROTO_UDP))
            #expect(Array(first.bytes[22..<24]) == [1000 >> 8, 1000 & 0xFF])
            #expect(try log.next(timeout: .zero) == .timedOut)
        }
    }

    @Test func aGroupHasOneReader() throws {
        try withLogs { namespace in
            let first = try PacketLogSocket(groups: [5], in: namespace)
            #expect {
                _ = try PacketLogSocket(groups: [5], in: namespace)
            } throws: {
                ($0 as? NetlinkError)?.errno == EPERM
            }
            _ = try PacketLogSocket(groups: [6], in: namespace)
            _ = consume first
            _ = try PacketLogSocket(groups: [5], in: namespace)
        }
    }

    /// What is not read in time is lost, and counted.
    @Test func lostPacketsAreCounted() throws {
        try withLogs { namespace in
            var log = try PacketLogSocket(groups: [5], in: namespace, receiveBuffer: 4096)
            try send(500, to: 1000, namespace)
            var (received, lost, overruns) = (0, 0, 0)
            var isDrained = false
            while !isDrained {
                switch try log.next(timeout: .zero) {
                case .packet(_, let before):
                    received += 1
                    lost += Int(before)
                case .overrun: overruns += 1
                case .timedOut: isDrained = true
                }
            }
            #expect(overruns == 1 && received > 0 && received < 500)
            // How many, the next packet that gets through tells.
            #expect(lost == 0)
            try send(1, to: 1000, namespace)
            guard case .packet(_, let before) = try log.next(timeout: .seconds(10)) else {
                Issue.record("a packet is missing")
                return
            }
            #expect(Int(before) == 500 - received)
        }
    }
}
