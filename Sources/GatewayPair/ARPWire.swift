internal import CTraffic
internal import Glibc
internal import IPAddressing
internal import KernelDriver
internal import Netlink
internal import Traffic

/// ARP on a device (RFC 826, RFC 5227), beside what the kernel does with it.
struct ARPWire {
    private let socket: Socket
    private let index: UInt32
    private let own: MACAddress

    var descriptor: Int32 { socket.descriptor }

    /// Nil where the device is none of Ethernet: nobody is asked there.
    init?(on device: PairObservation.Device, in namespace: NetworkNamespace) throws(NetlinkError) {
        guard let own = device.hardwareAddress else { return nil }
        (index, self.own) = (device.index, own)
        let number = Int32(device.index)
        socket = try namespace.enter { () throws(NetlinkError) in
            let socket = try Socket(AF_PACKET, SOCK_DGRAM, 0)
            let result = Self.address(number).withPointer { Glibc.bind(socket.descriptor, $0, $1) }
            guard result == 0 else { throw NetlinkError(errno: errno, operation: "listen to ARP") }
            return socket
        }
    }

    private static func address(_ index: Int32) -> sockaddr_ll {
        var address = sockaddr_ll()
        address.sll_family = UInt16(AF_PACKET)
        address.sll_protocol = UInt16(ETH_P_ARP).bigEndian
        address.sll_ifindex = index
        address.sll_halen = 6
        withUnsafeMutableBytes(of: &address.sll_addr) { $0.copyBytes(from: [UInt8](repeating: 0xFF, count: 6)) }
        return address
    }

    /// Tells everybody that an address is here: once as a request and once as an answer, for some take notice of one of them
    /// only.
    func announce(_ address: IPAddress) {
        send(ARPOP_REQUEST, from: address, to: address)
        send(ARPOP_REPLY, from: address, to: address)
    }

    /// Asks who has an address.
    /// - Parameter source: Nil: without saying who asks, so that nobody learns anything of it (RFC 5227, 2.1.1).
    func ask(for address: IPAddress, from source: IPAddress? = nil) {
        send(ARPOP_REQUEST, from: source ?? .anyIPv4, to: address)
    }

    private func send(_ operation: Int32, from source: IPAddress, to target: IPAddress) {
        var packet: [UInt8] = [0, 1, 8, 0, 6, 4, 0, UInt8(operation)]
        packet += own.bytes
        packet.append(bigEndian: source.v4)
        packet += operation == ARPOP_REPLY ? own.bytes : [0, 0, 0, 0, 0, 0]
        packet.append(bigEndian: target.v4)
        let address = Self.address(Int32(index))
        // A device that is down takes none: whoever waits for an answer gets none then.
        _ = address.withPointer { sendto(socket.descriptor, packet, packet.count, 0, $0, $1) }
    }

    /// Who says that he has an address; nil when nothing is queued. What comes from the device itself is not counted.
    func receive() -> (address: IPAddress, hardware: MACAddress)? {
        var buffer = [UInt8](repeating: 0, count: 128)
        while true {
            let count = read(socket.descriptor, &buffer, buffer.count)
            if count < 0 { return nil }
            let packet = buffer[..<count]
            guard count >= 28, packet.word(at: 0) == 1, packet.word(at: 2) == 0x0800, packet.word(at: 4) == 0x0604
            else { continue }
            let (hardware, address) = (MACAddress(packet[8..<14]), packet.address(at: 14))
            if hardware != own, address != .anyIPv4 { return (address, hardware) }
        }
    }
}
