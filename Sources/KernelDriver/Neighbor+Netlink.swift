import CLinux
import IPAddressing
import KernelModel
import KernelNames
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
                switch linkLayerAddress {
                case .ethernet(let address): message.put(NDA_LLADDR, address)
                case .tunnel(let address): message.put(NDA_LLADDR, address)
                }
                message.put(NDA_PROTOCOL, owner.routeProtocol.rawValue)
            }
        }
    }
}

/// What RTM_NEWNEIGH says.
struct NeighborReading {
    var index: UInt32
    var isPermanent: Bool
    var address: IPAddress
    var linkLayerAddress: LinkLayerAddress?
    var routeProtocol = RouteProtocol(0)

    /// Nil for an entry of another kind: a bridge's, a proxied one.
    init?(_ message: borrowing Message) throws(CodecError) {
        let header = try message.header(as: ndmsg.self)
        guard header.ndm_family == UInt8(AF_INET) || header.ndm_family == UInt8(AF_INET6),
            header.ndm_flags & UInt8(NTF_PROXY) == 0
        else { return nil }
        index = UInt32(bitPattern: header.ndm_ifindex)
        isPermanent = header.ndm_state & UInt16(NUD_PERMANENT) != 0
        var address: IPAddress?
        var attributes = message.attributes(after: ndmsg.self)
        while let attribute = try attributes.next() {
            switch attribute.type {
            case NDA_DST: address = try attribute.address()
            case NDA_LLADDR: linkLayerAddress = try attribute.linkLayerAddress()
            case NDA_PROTOCOL: routeProtocol = RouteProtocol(try attribute.value(as: UInt8.self))
            default: break
            }
        }
        guard let address else { return nil }
        self.address = address
    }

    /// The entry as the model sees it; nil when it is not the owner's, or not permanent.
    func neighbor(_ owner: RouteProtocol, _ names: DeviceNames) -> Neighbor? {
        guard isPermanent, routeProtocol == owner, let linkLayerAddress else { return nil }
        return Neighbor(device: names[index], address: address, linkLayerAddress: linkLayerAddress)
    }
}

extension NetlinkSocket {
    /// The owner's permanent entries, sorted by key.
    ///
    /// - Parameter device: Only those of the device with this number.
    // ip neigh show nud permanent [dev DEVICE]
    mutating func neighbors(
        _ owner: RouteProtocol, _ names: DeviceNames, device: UInt32? = nil
    ) throws(NetlinkError) -> [Neighbor] {
        var list = try dump(MessageType(RTM_GETNEIGH), ndmsg(), into: [Neighbor]()) { message in
            if let device { message.put(NDA_IFINDEX, device) }
        } each: { list, message throws(CodecError) in
            guard let neighbor = try NeighborReading(message)?.neighbor(owner, names) else { return }
            list.append(neighbor)
        }
        list.sort { $0.key < $1.key }
        return list
    }
}
