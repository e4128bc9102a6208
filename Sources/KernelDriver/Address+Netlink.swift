import CLinux
import IPAddressing
import KernelModel
import KernelNames
import Netlink

/// An address with who made it.
struct AddressReading {
    var address: Address
    var routeProtocol: RouteProtocol
    /// Whether it names another end than itself. Only of such addresses a device can have several that have one key.
    var isPointToPoint: Bool
}

extension AddressReading {
    /// The address that IPv6 makes for every device (IFAPROT_KERNEL_LL): nobody's.
    var isKernelLinkLocal: Bool { address.address.family == .ipv6 && routeProtocol == Self.kernelLinkLocal }

    private static let kernelLinkLocal = RouteProtocol(UInt8(IFAPROT_KERNEL_LL))

    init?(_ message: borrowing Message, _ names: DeviceNames) throws(CodecError) {
        let header = try message.header(as: ifaddrmsg.self)
        var address: IPAddress?
        var local: IPAddress?
        routeProtocol = RouteProtocol(0)
        var attributes = message.attributes(after: ifaddrmsg.self)
        while let attribute = try attributes.next() {
            switch attribute.type {
            case IFA_ADDRESS: address = try attribute.address()
            case IFA_LOCAL: local = try attribute.address()
            case IFA_PROTO: routeProtocol = RouteProtocol(try attribute.value(as: UInt8.self))
            default: break
            }
        }
        // On a point-to-point device IFA_ADDRESS is the other end; IPv6 has no IFA_LOCAL.
        guard let own = local ?? address else { return nil }
        isPointToPoint = local != nil && address != local
        self.address = Address(device: names[header.ifa_index], address: own, prefixLength: header.ifa_prefixlen)
    }
}

extension Address {
    // ip addr add ADDRESS/LENGTH dev DEVICE proto OWNER
    func encode(
        _ type: MessageType, _ flags: MessageFlags, index: UInt32, _ owner: Ownership, into writer: inout MessageWriter
    ) {
        var header = ifaddrmsg()
        header.ifa_family = address.familyNumber
        header.ifa_prefixlen = prefixLength
        header.ifa_index = index
        writer.message(type, flags, header) { message in
            message.put(IFA_LOCAL, address)
            message.put(IFA_ADDRESS, address)
            message.put(IFA_PROTO, owner.routeProtocol.rawValue)
        }
    }
}

extension NetlinkSocket {
    // ip addr
    mutating func addresses(_ names: DeviceNames) throws(NetlinkError) -> [AddressReading] {
        try dump(MessageType(RTM_GETADDR), ifaddrmsg(), into: []) { addresses, message throws(CodecError) in
            guard let reading = try AddressReading(message, names) else { return }
            addresses.append(reading)
        }
    }
}
