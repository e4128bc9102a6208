import CLab
import Glibc
import IPAddressing
import Netlink

/// Sees the packets that enter and leave a namespace, by all its devices.
final class Capture: Sendable {
    let socket: Socket

    enum Direction {
        case entering
        case leaving
    }

    enum Sight {
        case packet(IPv4Packet, Direction)
        /// An ARP request of the namespace itself: somebody in it has a packet for that neighbour.
        case question(about: IPAddress)
    }

    init(in namespace: NetworkNamespace) throws {
        socket = try namespace.run {
            // ETH_P_ALL: only those are shown what leaves.
            let socket = try Socket(AF_PACKET, SOCK_DGRAM, Int32(UInt16(ETH_P_ALL).bigEndian))
            try? socket.set(SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
            return socket
        }
    }

    /// The next one, nil when none is queued.
    func next(_ buffer: inout [UInt8]) -> Sight? {
        while true {
            var address = sockaddr_ll()
            var length = socklen_t(MemoryLayout<sockaddr_ll>.size)
            let count = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(socket.descriptor, &buffer, buffer.count, 0, $0, &length)
                }
            }
            if count < 0 {
                if errno == EINTR || errno == ENETDOWN { continue }
                return nil
            }
            let isLeaving = Int32(address.sll_pkttype) == PACKET_OUTGOING
            let bytes = buffer[..<count]
            switch Int32(UInt16(bigEndian: address.sll_protocol)) {
            case ETH_P_IP:
                if let packet = IPv4Packet(bytes) { return .packet(packet, isLeaving ? .leaving : .entering) }
            case ETH_P_ARP where isLeaving && bytes.word(at: 6) == UInt16(ARPOP_REQUEST):
                return .question(about: bytes.address(at: 24))
            default: break
            }
        }
    }
}
