import CTraffic
import Glibc
public import IPAddressing
import Netlink
import Traffic

extension Station {
    /// Asks on the wire who has an address, as arping does; the kernel's own neighbour table is not involved.
    /// - Returns: The first answer.
    public func resolve(
        _ address: IPAddress, on device: String, timeout: Duration = .seconds(1), attempts: Int = 3
    ) throws -> MACAddress? {
        let (socket, index, own) = try namespace.run {
            let socket = try Socket(AF_PACKET, SOCK_DGRAM, Int32(UInt16(ETH_P_ARP).bigEndian))
            let index = if_nametoindex(device)
            guard index != 0 else { throw LabError.system("find device \(device)") }
            return (socket, index, try Self.hardwareAddress(of: device))
        }
        var request: [UInt8] = [0, 1, 8, 0, 6, 4, 0, UInt8(ARPOP_REQUEST)]
        request += own
        request.append(bigEndian: (source ?? .anyIPv4).v4)
        request += [0, 0, 0, 0, 0, 0]
        request.append(bigEndian: address.v4)

        var target = sockaddr_ll()
        target.sll_family = UInt16(AF_PACKET)
        target.sll_protocol = UInt16(ETH_P_ARP).bigEndian
        target.sll_ifindex = Int32(index)
        target.sll_halen = 6
        withUnsafeMutableBytes(of: &target.sll_addr) { $0.copyBytes(from: [UInt8](repeating: 0xFF, count: 6)) }

        let start = ContinuousClock.now
        var polls = PollSet()
        var buffer = [UInt8](repeating: 0, count: 256)
        for attempt in 1...attempts {
            let sent = withUnsafePointer(to: target) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(
                        socket.descriptor, request, request.count, 0, $0,
                        socklen_t(MemoryLayout<sockaddr_ll>.size))
                }
            }
            guard sent == request.count else { throw LabError.system("send an ARP request on \(device)") }
            let deadline = start + timeout * attempt
            while ContinuousClock.now < deadline {
                polls.removeAll()
                polls.add(socket.descriptor, POLLIN)
                polls.wait(until: deadline)
                while true {
                    let count = read(socket.descriptor, &buffer, buffer.count)
                    if count < 28 { break }
                    let packet = buffer[..<count]
                    guard packet.word(at: 6) == UInt16(ARPOP_REPLY), packet.address(at: 14) == address else { continue }
                    return MACAddress(rawValue: packet[8..<14].reduce(0) { $0 << 8 | UInt64($1) })
                }
            }
        }
        return nil
    }

    private static func hardwareAddress(of device: String) throws -> [UInt8] {
        let socket = try Socket(AF_INET, SOCK_DGRAM)
        var request = ifreq()
        withUnsafeMutableBytes(of: &request.ifr_ifrn) { $0.copyBytes(from: device.utf8.prefix(15)) }
        guard ioctl(socket.descriptor, UInt(SIOCGIFHWADDR), &request) == 0 else {
            throw LabError.system("read the address of \(device)")
        }
        return withUnsafeBytes(of: request.ifr_ifru.ifru_hwaddr.sa_data) { Array($0.prefix(6)) }
    }
}
