import CLinux
import IPAddressing
import KernelModel
import Netlink

extension Neighbor {
    // ip neigh replace ADDRESS lladdr MAC dev DEVICE nud permanent proto OWNER
    func encode(
        _ type: MessageType, _ flags: MessageFlags, index: UInt32, _ owner: Ownership, into writer: inout MessageWriter
    ) {
        var header = ndmsg()
        header.ndm_family = address.familyNumber
        header.ndm_ifindex = Int32(bitPattern: index)
        header.ndm_state = UInt16(NUD_PERMANENT)
        writer.message(type, flags, header) { message in
            message.put(NDA_DST, address)
            if type == MessageType(RTM_NEWNEIGH) {
                message.put(NDA_LLADDR, hardwareAddress)
                message.put(NDA_PROTOCOL, owner.routeProtocol.rawValue)
            }
        }
    }
}

extension NetlinkSocket {
    /// The owner's permanent entries, sorted by key.
    // ip neigh show nud permanent
    mutating func neighbors(
        _ owner: RouteProtocol, _ names: DeviceNames
    ) throws(NetlinkError) -> [Neighbor] {
        var list = try dump(MessageType(RTM_GETNEIGH), ndmsg(), into: [Neighbor]()) {
            list, message throws(CodecError) in
            let header = try message.header(as: ndmsg.self)
            guard header.ndm_state & UInt16(NUD_PERMANENT) != 0 else { return }
            var address: IPAddress?
            var hardwareAddress: MACAddress?
            var routeProtocol = RouteProtocol(0)
            var attributes = message.attributes(after: ndmsg.self)
            while let attribute = try attributes.next() {
                switch attribute.type {
                case NDA_DST: address = try attribute.address()
                case NDA_LLADDR: hardwareAddress = attribute.macAddress()
                case NDA_PROTOCOL: routeProtocol = RouteProtocol(try attribute.value(as: UInt8.self))
                default: break
                }
            }
            guard routeProtocol == owner, let address, let hardwareAddress else { return }
            list.append(
                Neighbor(
                    device: names[UInt32(bitPattern: header.ndm_ifindex)], address: address,
                    hardwareAddress: hardwareAddress))
        }
        list.sort { $0.key < $1.key }
        return list
    }
}
