import Foundation
import IPAddressing
import Netlink
import Synchronization
import TestSupport
import Testing

@testable import Traffic

private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

@Suite(.timeLimit(minutes: 10)) struct PacketTests {
    /// A checksum over a header that has its own is zero.
    @Test(arguments: [
        OutgoingPacket.Content.icmp(type: 8, code: 0, identifier: 7, sequence: 1),
        .tcp(sourcePort: 49152, destinationPort: 443, flags: .syn),
        .udp(sourcePort: 49152, destinationPort: 53, payload: [1, 2, 3]),
    ])
    func checksumsAreRight(_ content: OutgoingPacket.Content) throws {
        let packet = OutgoingPacket(from: try address("10.0.1.10"), to: try address("10.0.2.20"), content)
        let bytes = packet.bytes
        let read = try #require(IPv4Packet(bytes[...]))
        #expect(internetChecksum(bytes[..<20]) == 0)
        #expect(read.source == packet.source && read.destination == packet.destination)
        var pseudo: [UInt8] = []
        if case .icmp = content {
            #expect(read.protocolNumber == 1)
        } else {
            pseudo = [10, 0, 1, 10, 10, 0, 2, 20, 0, read.protocolNumber, 0, UInt8(read.payload.count)]
        }
        #expect(internetChecksum(pseudo + Array(read.payload)) == 0)
    }

    /// Appendix A of RFC 9260 counts the bits from the other end; the value is that of the polynomial's catalogue.
    @Test func theChecksumOfSCTPIsCRC32C() throws {
        #expect(crc32c(Array("123456789".utf8)) == 0xE306_9283)
        let packet = OutgoingPacket(
            from: try address("10.0.1.10"), to: try address("10.0.2.20"),
            .sctp(sourcePort: 0x1234, destinationPort: 3868, chunk: .initiation))
        var bytes = Array(try #require(IPv4Packet(packet.bytes[...])).payload)
        let sum = bytes[8..<12].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        bytes.replaceSubrange(8..<12, with: [0, 0, 0, 0])
        #expect(crc32c(bytes) == sum)
        // Nobody has given a verification tag yet, and the chunk is as long as it says.
        #expect(Array(bytes[4..<8]) == [0, 0, 0, 0] && bytes.count == 12 + Int(bytes[15]))
    }

    @Test func anSCTPPacketIsTold() throws {
        let packet = { (chunk: SCTPChunk, from: String, to: String, ports: (UInt16, UInt16)) in
            let packet = OutgoingPacket(
                from: try address(from), to: try address(to),
                .sctp(sourcePort: ports.0, destinationPort: ports.1, chunk: chunk))
            return (packet, try #require(IPv4Packet(packet.bytes[...])))
        }
        let (question, asked) = try packet(.initiation, "10.0.1.10", "10.0.2.20", (5000, 3868))
        let (_, answer) = try packet(.initiationAnswer, "10.0.2.20", "10.0.1.10", (3868, 5000))
        let (_, refusal) = try packet(.abort, "10.0.2.20", "10.0.1.10", (3868, 5000))
        let (_, other) = try packet(.initiationAnswer, "10.0.2.20", "10.0.1.10", (3869, 5000))
        #expect(question.isSame(as: asked) && !question.isSame(as: answer))
        #expect(question.isAnswered(by: answer) && question.isAnswered(by: refusal))
        #expect(!question.isAnswered(by: other) && !question.isAnswered(by: asked))
        #expect(refusal.isRefusal && !answer.isRefusal)
        #expect(question.flow == Flow(protocolNumber: 132, destination: question.destination, sender: 5000, port: 3868))
    }

    @Test func aSegmentHasItsPortsAndFlags() throws {
        let packet = OutgoingPacket(
            from: try address("10.0.1.10"), to: try address("10.0.2.20"),
            .tcp(sourcePort: 0x1234, destinationPort: 0x0050, flags: [.syn, .ack]))
        let segment = try #require(IPv4Packet(packet.bytes[...])).payload
        #expect(segment.word(at: 0) == 0x1234 && segment.word(at: 2) == 0x50)
        #expect(segment.byte(at: 12) == 0x50 && segment.byte(at: 13) == 0x12)
        #expect(segment.count == 20)
    }

    /// All pieces together are the packet, and only the first has the ports.
    @Test func fragmentsAreThePacket() throws {
        let payload = (0..<100).map { UInt8($0) }
        let packet = OutgoingPacket(
            from: try address("10.0.1.10"), to: try address("10.0.2.20"),
            .udp(sourcePort: 1, destinationPort: 2, payload: payload), identification: 0x4242)
        let pieces = try packet.fragments(of: 48).map { try #require(IPv4Packet($0[...])) }
        #expect(pieces.map { $0.bytes.word(at: 6) } == [0x2000, 0x2006, 0x000C])
        #expect(pieces.allSatisfy { $0.bytes.word(at: 4) == 0x4242 })
        #expect(pieces.map(\.isFirstFragment) == [true, false, false])
        #expect(pieces.flatMap { Array($0.payload) } == Array(try #require(IPv4Packet(packet.bytes[...])).payload))
    }
}

/// In a namespace with a loopback device.
@Suite(.timeLimit(minutes: 10)) struct CaptureTests {
    private static let counter = Atomic<Int>(0)

    private func withLoopback(_ body: (NetworkNamespace) throws -> Void) throws {
        let name = "traffic-test-\(getpid())-\(Self.counter.add(1, ordering: .relaxed).newValue)"
        let namespace = try NetworkNamespace.create(named: name)
        defer { try? NetworkNamespace.remove(named: name) }
        try Run.checked("ip", "-n", name, "link", "set", "lo", "up")
        try body(namespace)
    }

    private func datagram(_ source: String, _ destination: String, port: UInt16) throws -> OutgoingPacket {
        OutgoingPacket(
            from: try address(source), to: try address(destination),
            .udp(sourcePort: 5000, destinationPort: port, payload: [1]))
    }

    /// Packets between the two addresses, either way, and errors about anybody's.
    @Test func aFilterShowsTwoAddressesAndErrors() throws {
        try withLoopback { namespace in
            let filter = CaptureFilter(between: try address("127.0.0.1"), and: try address("127.0.0.2"))
            let (some, all) = (try Capture(in: namespace, filter: filter), try Capture(in: namespace))
            let sender = try PacketSender(in: namespace, as: try address("127.0.0.1"))
            for (source, destination, port) in [
                ("127.0.0.1", "127.0.0.2", UInt16(1)), ("127.0.0.2", "127.0.0.1", 2), ("127.0.0.1", "127.0.0.3", 3),
                ("127.0.0.3", "127.0.0.2", 4), ("127.0.0.1", "127.0.0.1", 5), ("127.0.0.2", "127.0.0.2", 6),
            ] {
                #expect(sender.send(try datagram(source, destination, port: port)) == 0)
            }
            let seen = try sights(some)
            #expect(seen.ports == [1, 2])
            // Nobody listens on any of the ports.
            #expect(seen.errors == 6)
            #expect(try sights(all).ports == [1, 2, 3, 4, 5, 6])
        }
    }

    /// What leaves and what comes in, with the device.
    @Test func directionAndDeviceAreSeen() throws {
        try withLoopback { namespace in
            let capture = try Capture(in: namespace)
            let sender = try PacketSender(in: namespace, as: try address("127.0.0.1"))
            #expect(sender.send(try datagram("127.0.0.1", "127.0.0.2", port: 7)) == 0)
            var directions: [Capture.Direction] = []
            var buffer = [UInt8](repeating: 0, count: 2048)
            while let sight = capture.next(&buffer) {
                guard case .packet(let packet, let direction, device: 1) = sight, packet.flow?.port == 7 else {
                    continue
                }
                directions.append(direction)
            }
            #expect(directions == [.leaving, .entering])
        }
    }

    private func sights(_ capture: Capture) throws -> (ports: [UInt16], errors: Int) {
        var buffer = [UInt8](repeating: 0, count: 2048)
        var (ports, errors): ([UInt16], Int) = ([], 0)
        while let sight = capture.next(&buffer) {
            guard case .packet(let packet, .entering, _) = sight else { continue }
            if packet.icmpError != nil { errors += 1 } else { ports.append(packet.flow?.port ?? 0) }
        }
        return (ports, errors)
    }
}
