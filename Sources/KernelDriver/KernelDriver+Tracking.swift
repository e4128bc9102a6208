import CLinux
import Glibc
import Netlink

extension KernelDriver {
    public func tracksLoopback() throws -> Bool {
        var links = try NetlinkSocket(.route, in: underlay)
        // The first device of every namespace.
        let loopback: UInt32 = 1
        try links.modify { $0.message(MessageType(RTM_SETLINK), [], ifinfomsg(index: loopback, isUp: true)) }
        var connections = try ConntrackSocket(in: underlay)
        let before = try connections.count()
        try underlay.enter { () throws(NetlinkError) in try Self.sendByLoopback() }
        // The entry is there when the packet is on its way in.
        return try connections.count() > before
    }

    private static func sendByLoopback() throws(NetlinkError) {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw NetlinkError(errno: errno, operation: "open a socket") }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        // Discard (RFC 863): whether anybody listens does not matter.
        address.sin_port = UInt16(9).bigEndian
        let sent = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, nil, 0, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard sent == 0 else { throw NetlinkError(errno: errno, operation: "send by the loopback device") }
    }
}
