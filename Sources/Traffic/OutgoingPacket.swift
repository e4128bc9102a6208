import CTraffic
import Glibc
package import IPAddressing
package import Netlink

/// One IPv4 packet as it is written to the wire, whoever its source may be.
package struct OutgoingPacket: Hashable, Sendable {
    package var source: IPAddress
    package var destination: IPAddress
    package var content: Content
    /// Of the IPv4 header; the kernel replaces 0.
    package var identification: UInt16

    package enum Content: Hashable, Sendable {
        /// RFC 792: echo, timestamp and their answers, or whatever else has an identifier and a number there.
        case icmp(type: UInt8, code: UInt8, identifier: UInt16, sequence: UInt16)
        /// RFC 9293: a segment without data.
        case tcp(sourcePort: UInt16, destinationPort: UInt16, flags: TCPFlags)
        /// RFC 768.
        case udp(sourcePort: UInt16, destinationPort: UInt16, payload: [UInt8])
        /// RFC 9260: one chunk, without data.
        case sctp(sourcePort: UInt16, destinationPort: UInt16, chunk: SCTPChunk)
    }

    package init(
        from source: IPAddress, to destination: IPAddress, _ content: Content, identification: UInt16 = 0
    ) {
        self.source = source
        self.destination = destination
        self.content = content
        self.identification = identification
    }

    /// The packet from its IPv4 header on.
    package var bytes: [UInt8] { bytes(of: payload, at: 0, isLast: true) }

    /// The packet in pieces of no more than `size` bytes of payload, a multiple of 8.
    package func fragments(of size: Int) -> [[UInt8]] {
        precondition(size > 0 && size % 8 == 0, "fragments begin at multiples of 8 bytes")
        let payload = payload
        return stride(from: 0, to: payload.count, by: size).map { offset in
            let end = min(offset + size, payload.count)
            return bytes(of: Array(payload[offset..<end]), at: offset, isLast: end == payload.count)
        }
    }

    private func bytes(of part: [UInt8], at offset: Int, isLast: Bool) -> [UInt8] {
        IPv4Packet.bytes(
            source: source, destination: destination, protocolNumber: protocolNumber, identification: identification,
            fragment: (offset, isLast), payload: part)
    }

    private var protocolNumber: UInt8 {
        switch content {
        case .icmp: UInt8(IPPROTO_ICMP)
        case .tcp: UInt8(IPPROTO_TCP)
        case .udp: UInt8(IPPROTO_UDP)
        case .sctp: UInt8(IPPROTO_SCTP)
        }
    }

    private var payload: [UInt8] {
        var bytes: [UInt8] = []
        switch content {
        case .icmp(let type, let code, let identifier, let sequence):
            bytes += [type, code, 0, 0]
            bytes.append(bigEndian: identifier)
            bytes.append(bigEndian: sequence)
            // What a timestamp request carries, and anything else may.
            bytes += [UInt8](repeating: 0, count: 12)
            bytes.setChecksum(at: 2)
        case .tcp(let sourcePort, let destinationPort, let flags):
            bytes.append(bigEndian: sourcePort)
            bytes.append(bigEndian: destinationPort)
            // Any sequence number will do, and nothing is acknowledged.
            bytes.append(bigEndian: UInt32(1) << 20)
            bytes.append(bigEndian: UInt32(0))
            bytes += [5 << 4, flags.rawValue]
            bytes.append(bigEndian: UInt16(64240))
            bytes.append(bigEndian: UInt32(0))
            bytes.setChecksum(at: 16, pseudoHeader: pseudoHeader(bytes.count))
        case .udp(let sourcePort, let destinationPort, let payload):
            bytes.append(bigEndian: sourcePort)
            bytes.append(bigEndian: destinationPort)
            bytes.append(bigEndian: UInt16(8 + payload.count))
            bytes.append(bigEndian: UInt16(0))
            bytes += payload
            bytes.setChecksum(at: 6, pseudoHeader: pseudoHeader(bytes.count))
        case .sctp(let sourcePort, let destinationPort, let chunk):
            bytes.append(bigEndian: sourcePort)
            bytes.append(bigEndian: destinationPort)
            // Who asks for an association has no verification tag yet; any other will do where none is known.
            bytes.append(bigEndian: chunk == .initiation ? UInt32(0) : UInt32(1) << 20)
            bytes.append(bigEndian: UInt32(0))
            bytes += chunk.bytes
            bytes.setCRC32C(at: 8)
        }
        return bytes
    }

    private func pseudoHeader(_ length: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: source.v4)
        bytes.append(bigEndian: destination.v4)
        bytes += [0, protocolNumber]
        bytes.append(bigEndian: UInt16(length))
        return bytes
    }
}

/// The flags of a TCP segment (RFC 9293, section 3.1).
package struct TCPFlags: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let fin = TCPFlags(rawValue: 0x01)
    package static let syn = TCPFlags(rawValue: 0x02)
    package static let rst = TCPFlags(rawValue: 0x04)
    package static let ack = TCPFlags(rawValue: 0x10)
}

extension TCPFlags: CustomStringConvertible {
    /// `SYN,ACK`.
    package var description: String {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"]
        return names.indices.filter { rawValue >> $0 & 1 != 0 }.map { names[$0] }.joined(separator: ",")
    }
}

/// Sends whole packets from a namespace.
package struct PacketSender: Sendable {
    private let socket: Socket

    /// - Parameter address: One of the namespace's own, which decides by which routes the packets go; they may bear
    ///   another.
    package init(in namespace: NetworkNamespace, as address: IPAddress) throws {
        socket = try namespace.run {
            // IPPROTO_RAW: what is sent begins with the IPv4 header.
            let socket = try Socket(AF_INET, SOCK_RAW, Int32(IPPROTO_RAW))
            try socket.bind(SocketAddress(address, 0))
            return socket
        }
    }

    /// - Returns: 0, or the error number.
    package func send(_ bytes: [UInt8], to destination: IPAddress) -> Int32 {
        socket.send(bytes, to: SocketAddress(destination, 0))
    }

    /// - Returns: 0, or the error number.
    package func send(_ packet: OutgoingPacket) -> Int32 { send(packet.bytes, to: packet.destination) }
}

/// Telling one's own packets from others'.
extension OutgoingPacket {
    /// As errors name it.
    package var flow: Flow? { IPv4Packet(bytes[...])?.flow }

    /// Whether a packet that was seen is this one, or one that was sent again.
    package func isSame(as seen: IPv4Packet) -> Bool {
        guard seen.source == source, seen.destination == destination, seen.protocolNumber == protocolNumber else {
            return false
        }
        switch content {
        case .icmp(let type, let code, let identifier, _):
            return seen.icmp.map { $0 == (type, code) } == true && seen.payload.word(at: 4) == identifier
        case .tcp(let sourcePort, let destinationPort, let flags):
            return seen.ports.map { $0 == (sourcePort, destinationPort) } == true && seen.tcpFlags == flags
        case .udp(let sourcePort, let destinationPort, _):
            return seen.ports.map { $0 == (sourcePort, destinationPort) } == true
        case .sctp(let sourcePort, let destinationPort, let chunk):
            return seen.ports.map { $0 == (sourcePort, destinationPort) } == true && seen.sctpChunk == chunk
        }
    }

    /// Whether a packet is what the destination answers to this one, ICMP errors aside.
    package func isAnswered(by seen: IPv4Packet) -> Bool {
        guard seen.source == destination, seen.destination == source, seen.protocolNumber == protocolNumber else {
            return false
        }
        switch content {
        case .icmp(let type, _, let identifier, _):
            // Echo and timestamp (RFC 792); others have no answers.
            let answer: UInt8? = type == 8 ? 0 : type == 13 ? 14 : nil
            return seen.icmp.map { $0.type == answer } == true && seen.payload.word(at: 4) == identifier
        case .tcp(let sourcePort, let destinationPort, _), .udp(let sourcePort, let destinationPort, _),
            .sctp(let sourcePort, let destinationPort, _):
            return seen.ports.map { $0 == (destinationPort, sourcePort) } == true
        }
    }
}
