public import IPAddressing
import Traffic

/// UDP, of servers and clients (RFC 2131).
public enum DHCPPort {
    public static let server: UInt16 = 67
    public static let client: UInt16 = 68
}

extension DHCPMessage {
    /// Reads what a client has sent, from the IPv4 header on; nil where it is nothing for a server.
    public init?(packet bytes: [UInt8]) {
        guard let packet = IPv4Packet(bytes[...]), packet.protocolNumber == 17, packet.isFirstFragment,
            packet.ports?.destination == DHCPPort.server
        else { return nil }
        self.init(packet.payload.dropFirst(8))
    }

    /// As a frame of Ethernet from a router to a guest, which may have no address yet (RFC 2131, section 4.1).
    public func frame(from router: IPAddress, _ routerMAC: MACAddress) -> [UInt8] {
        let isBroadcast = clientAddress == .anyIPv4 && wantsBroadcast
        let to = clientAddress != .anyIPv4 ? clientAddress : isBroadcast ? .broadcastIPv4 : yourAddress
        let datagram = OutgoingPacket(
            from: router, to: to,
            .udp(sourcePort: DHCPPort.server, destinationPort: DHCPPort.client, payload: bytes))
        let destination = isBroadcast ? [UInt8](repeating: 0xFF, count: 6) : hardwareAddress.bytes
        return destination + routerMAC.bytes + [0x08, 0x00] + datagram.bytes
    }
}

extension IPAddress {
    fileprivate static let broadcastIPv4 = IPAddress(v4: .max)
}
