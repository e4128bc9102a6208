import CTraffic
import Glibc
package import Netlink

/// Sends whole frames by the devices of a namespace, and takes none.
package struct FrameSender: Sendable {
    private let socket: Socket

    package init(in namespace: NetworkNamespace) throws {
        // Protocol 0: no packet is handed to it, so that nobody's take longer.
        socket = try namespace.run { try Socket(AF_PACKET, SOCK_RAW, 0) }
    }

    /// - Parameter frame: From the destination's address on.
    /// - Returns: 0, or the error number.
    package func send(_ frame: [UInt8], by device: UInt32) -> Int32 {
        var address = sockaddr_ll()
        address.sll_family = UInt16(AF_PACKET)
        address.sll_ifindex = Int32(bitPattern: device)
        let count = address.withPointer { sendto(socket.descriptor, frame, frame.count, 0, $0, $1) }
        return count == frame.count ? 0 : errno
    }

    /// The name of a device; nil where it is gone.
    package func name(of device: UInt32) -> String? {
        var name = [CChar](repeating: 0, count: Int(IFNAMSIZ))
        guard device_name(socket.descriptor, device, &name) == 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    package func index(of device: String) -> UInt32? {
        var index: UInt32 = 0
        return device_index(socket.descriptor, device, &index) == 0 ? index : nil
    }
}
