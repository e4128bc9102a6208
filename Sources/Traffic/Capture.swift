import CTraffic
import Glibc
package import IPAddressing
package import Netlink

/// Sees the packets that enter and leave a namespace, by all its devices.
package final class Capture: Sendable {
    package let socket: Socket

    package enum Direction {
        case entering
        case leaving
    }

    package enum Sight {
        /// - Parameter device: The index of the device in that namespace.
        case packet(IPv4Packet, Direction, device: UInt32)
        /// An ARP request of the namespace itself: somebody in it has a packet for that neighbour.
        case question(about: IPAddress)
    }

    /// - Parameter filter: What to see; the kernel drops copies of the rest. Nil sees everything.
    package init(in namespace: NetworkNamespace, filter: CaptureFilter? = nil) throws {
        socket = try namespace.run {
            // Nothing arrives before it is bound to a protocol, so the filter is there before the first packet.
            let socket = try Socket(AF_PACKET, SOCK_DGRAM)
            try? socket.set(SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
            try filter?.attach(to: socket)
            // ETH_P_ALL: only those are shown what leaves.
            try socket.bindToPackets(UInt16(ETH_P_ALL))
            return socket
        }
    }

    /// The next one, nil when none is queued.
    package func next(_ buffer: inout [UInt8]) -> Sight? {
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
                if let packet = IPv4Packet(bytes) {
                    return .packet(
                        packet, isLeaving ? .leaving : .entering, device: UInt32(bitPattern: address.sll_ifindex))
                }
            case ETH_P_ARP where isLeaving && bytes.word(at: 6) == UInt16(ARPOP_REQUEST):
                return .question(about: bytes.address(at: 24))
            default: break
            }
        }
    }
}
