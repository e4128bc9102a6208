import CTraffic
import Glibc

/// An ICMP echo request whose content is known.
package struct EchoRequest {
    package var identifier: UInt16
    package var sequence: UInt16
    package var size: Int

    package init(identifier: UInt16, sequence: UInt16, size: Int) {
        self.identifier = identifier
        self.sequence = sequence
        self.size = size
    }

    package var bytes: [UInt8] {
        var bytes: [UInt8] = [UInt8(ICMP_ECHO), 0, 0, 0]
        bytes.append(bigEndian: identifier)
        bytes.append(bigEndian: sequence)
        bytes += (0..<size).map { UInt8(truncatingIfNeeded: $0) }
        bytes.setChecksum(at: 2)
        return bytes
    }
}

/// An ICMP echo reply.
package struct EchoReply {
    package var identifier: UInt16
    package var sequence: UInt16

    package init?(_ packet: IPv4Packet) {
        guard Int32(packet.protocolNumber) == Int32(IPPROTO_ICMP), packet.isFirstFragment,
            Int32(packet.payload.byte(at: 0)) == ICMP_ECHOREPLY
        else { return nil }
        identifier = packet.payload.word(at: 4)
        sequence = packet.payload.word(at: 6)
    }
}
