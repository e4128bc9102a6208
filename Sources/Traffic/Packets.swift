import CTraffic
public import IPAddressing

/// The internet checksum (RFC 1071).
package func internetChecksum(_ bytes: some Collection<UInt8>) -> UInt16 {
    var sum: UInt32 = 0
    var isHigh = true
    for byte in bytes {
        sum += isHigh ? UInt32(byte) << 8 : UInt32(byte)
        isHigh.toggle()
    }
    while sum >> 16 != 0 { sum = sum & 0xFFFF + sum >> 16 }
    return ~UInt16(sum)
}

extension [UInt8] {
    package mutating func append(bigEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }

    /// Writes the internet checksum of all bytes, and of `pseudoHeader` before them, to an offset that holds zeros.
    package mutating func setChecksum(at offset: Int, pseudoHeader: [UInt8] = []) {
        let sum = internetChecksum(pseudoHeader + self)
        self[offset] = UInt8(sum >> 8)
        self[offset + 1] = UInt8(sum & 255)
    }
}

extension MACAddress {
    package init(_ bytes: ArraySlice<UInt8>) { self.init(rawValue: bytes.reduce(0) { $0 << 8 | UInt64($1) }) }

    /// As they are sent.
    package var bytes: [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: rawValue >> (40 - 8 * $0)) } }
}

extension ArraySlice<UInt8> {
    /// The 16-bit number in network byte order at `offset` from the start, 0 behind the end.
    package func word(at offset: Int) -> UInt16 {
        guard offset + 2 <= count else { return 0 }
        return UInt16(self[startIndex + offset]) << 8 | UInt16(self[startIndex + offset + 1])
    }

    package func byte(at offset: Int) -> UInt8 { offset < count ? self[startIndex + offset] : 0 }

    package func address(at offset: Int) -> IPAddress {
        IPAddress(v4: UInt32(word(at: offset)) << 16 | UInt32(word(at: offset + 2)))
    }
}

/// An IPv4 packet as it was captured.
package struct IPv4Packet {
    package let bytes: ArraySlice<UInt8>

    package init?(_ bytes: ArraySlice<UInt8>) {
        guard bytes.count >= 20, bytes.byte(at: 0) >> 4 == 4, bytes.count >= Int(bytes.byte(at: 0) & 15) * 4 else {
            return nil
        }
        self.bytes = bytes
    }

    package var protocolNumber: UInt8 { bytes.byte(at: 9) }
    package var source: IPAddress { bytes.address(at: 12) }
    package var destination: IPAddress { bytes.address(at: 16) }
    package var isFirstFragment: Bool { bytes.word(at: 6) & 0x1FFF == 0 }
    package var payload: ArraySlice<UInt8> { bytes.dropFirst(Int(bytes.byte(at: 0) & 15) * 4) }

    /// Source and destination port of TCP, UDP and SCTP, where they are in this packet.
    package var ports: (source: UInt16, destination: UInt16)? {
        let protocols = [IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP]
        guard isFirstFragment, payload.count >= 4, protocols.contains(Int(protocolNumber)) else { return nil }
        return (payload.word(at: 0), payload.word(at: 2))
    }

    package var tcpFlags: TCPFlags? {
        guard isFirstFragment, Int(protocolNumber) == IPPROTO_TCP, payload.count >= 14 else { return nil }
        return TCPFlags(rawValue: payload.byte(at: 13) & 0x3F)
    }

    /// The first chunk.
    package var sctpChunk: SCTPChunk? {
        guard isFirstFragment, Int(protocolNumber) == IPPROTO_SCTP, payload.count >= 13 else { return nil }
        return SCTPChunk(rawValue: payload.byte(at: 12))
    }

    /// Whether it says that nobody listens there: a TCP reset, an SCTP ABORT.
    package var isRefusal: Bool { tcpFlags?.contains(.rst) == true || sctpChunk == .abort }

    package var icmp: (type: UInt8, code: UInt8)? {
        guard isFirstFragment, Int(protocolNumber) == IPPROTO_ICMP, payload.count >= 2 else { return nil }
        return (payload.byte(at: 0), payload.byte(at: 1))
    }

    /// What the receiver of a packet would say who sent it.
    package var flow: Flow? {
        guard isFirstFragment else { return nil }
        switch Int32(protocolNumber) {
        case Int32(IPPROTO_ICMP):
            guard payload.byte(at: 0) == UInt8(ICMP_ECHO) else { return nil }
            return Flow(protocolNumber: protocolNumber, destination: destination, sender: payload.word(at: 4), port: 0)
        case Int32(IPPROTO_TCP), Int32(IPPROTO_UDP), Int32(IPPROTO_SCTP):
            return Flow(
                protocolNumber: protocolNumber, destination: destination, sender: payload.word(at: 0),
                port: payload.word(at: 2))
        default: return nil
        }
    }

    /// The error, where this is one.
    package var icmpError: ICMPError? {
        guard Int32(protocolNumber) == Int32(IPPROTO_ICMP), isFirstFragment else { return nil }
        let type = payload.byte(at: 0)
        guard [ICMP_DEST_UNREACH, ICMP_TIME_EXCEEDED, ICMP_PARAMETERPROB].contains(Int32(type)),
            let inner = IPv4Packet(payload.dropFirst(8))
        else { return nil }
        return ICMPError(
            type: type, code: payload.byte(at: 1), from: source, mtu: payload.word(at: 6), about: inner.flow)
    }

    /// A packet with a header of 20 bytes (RFC 791).
    /// - Parameter fragment: Where the payload stands in that of the whole packet, in bytes (a multiple of 8), and
    ///   whether more follows.
    package static func bytes(
        source: IPAddress, destination: IPAddress, protocolNumber: UInt8, ttl: UInt8 = 64, identification: UInt16 = 1,
        fragment: (offset: Int, isLast: Bool) = (0, true), payload: [UInt8]
    ) -> [UInt8] {
        var header: [UInt8] = [0x45, 0]
        header.append(bigEndian: UInt16(20 + payload.count))
        header.append(bigEndian: identification)
        header.append(bigEndian: UInt16(fragment.offset / 8) | (fragment.isLast ? 0 : 0x2000))
        header += [ttl, protocolNumber, 0, 0]
        header.append(bigEndian: source.v4)
        header.append(bigEndian: destination.v4)
        header.setChecksum(at: 10)
        return header + payload
    }
}

/// What tells the packets of one sender apart.
package struct Flow: Hashable, Sendable {
    package var protocolNumber: UInt8
    package var destination: IPAddress
    /// The source port; of an ICMP echo, its identifier.
    package var sender: UInt16
    /// The destination port; 0 for ICMP.
    package var port: UInt16

    package init(protocolNumber: UInt8, destination: IPAddress, sender: UInt16, port: UInt16) {
        self.protocolNumber = protocolNumber
        self.destination = destination
        self.sender = sender
        self.port = port
    }
}

/// What a router or host said about a packet (RFC 792).
public struct ICMPError: Hashable, Sendable, CustomStringConvertible {
    public var type: UInt8
    public var code: UInt8
    /// Who said it.
    public var from: IPAddress
    /// Of the next hop, where the packet is too big for it.
    public var mtu: UInt16
    /// The packet that it is about.
    package var about: Flow?

    public var isFragmentationNeeded: Bool { Int32(type) == ICMP_DEST_UNREACH && Int32(code) == ICMP_FRAG_NEEDED }
    /// Protocol or port unreachable: what a host says that has the packet, and nobody who wants it.
    public var isServiceUnreachable: Bool {
        Int32(type) == ICMP_DEST_UNREACH && [ICMP_PROT_UNREACH, ICMP_PORT_UNREACH].contains(Int32(code))
    }
    public var isTimeExceeded: Bool { Int32(type) == ICMP_TIME_EXCEEDED }

    /// `host unreachable, says 10.0.1.1`.
    public var description: String {
        var text: String
        switch (Int32(type), Int32(code)) {
        case (ICMP_DEST_UNREACH, ICMP_NET_UNREACH): text = "network unreachable"
        case (ICMP_DEST_UNREACH, ICMP_HOST_UNREACH): text = "host unreachable"
        case (ICMP_DEST_UNREACH, ICMP_PORT_UNREACH): text = "port unreachable"
        case (ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED): text = "too big for an MTU of \(mtu)"
        case (ICMP_DEST_UNREACH, ICMP_PKT_FILTERED): text = "administratively prohibited"
        case (ICMP_DEST_UNREACH, _): text = "unreachable (code \(code))"
        case (ICMP_TIME_EXCEEDED, _): text = "time to live exceeded"
        default: text = "ICMP type \(type) code \(code)"
        }
        text += ", says \(from)"
        return text
    }
}

/// A GRE packet (RFC 2890) as one would forge it.
public enum GREPacket {
    /// - Parameter key: Of the tunnel it pretends to come from.
    /// - Returns: GRE header and inner packet, without the outer IP header.
    public static func bytes(key: UInt32, inner: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: UInt16(0x2000))  // A key follows.
        bytes.append(bigEndian: UInt16(0x0800))  // IPv4.
        bytes.append(bigEndian: key)
        return bytes + inner
    }

    /// A UDP datagram over IPv4, without a checksum.
    public static func datagram(
        source: IPAddress, destination: IPAddress, sourcePort: UInt16, destinationPort: UInt16, _ text: String
    ) -> [UInt8] {
        var payload: [UInt8] = []
        payload.append(bigEndian: sourcePort)
        payload.append(bigEndian: destinationPort)
        payload.append(bigEndian: UInt16(8 + text.utf8.count))
        payload.append(bigEndian: UInt16(0))
        return IPv4Packet.bytes(
            source: source, destination: destination, protocolNumber: UInt8(IPPROTO_UDP), payload: payload + text.utf8)
    }
}
