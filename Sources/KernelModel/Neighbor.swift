public import IPAddressing
public import KernelNames

/// What a device puts before a packet for a neighbour (`NDA_LLADDR`).
public enum LinkLayerAddress: Hashable, Sendable, CustomStringConvertible {
    case ethernet(MACAddress)
    /// Of a tunnel without a far end of its own: where it is.
    case tunnel(IPAddress)

    public var description: String {
        switch self {
        case .ethernet(let address): address.description
        case .tunnel(let address): address.description
        }
    }
}

/// A permanent neighbour entry (RTM_NEWNEIGH, NUD_PERMANENT).
public struct Neighbor: Hashable, Sendable, KernelObject {
    public var device: InterfaceName
    public var address: IPAddress
    public var linkLayerAddress: LinkLayerAddress

    public init(device: InterfaceName, address: IPAddress, linkLayerAddress: LinkLayerAddress) {
        self.device = device
        self.address = address
        self.linkLayerAddress = linkLayerAddress
    }

    public init(device: InterfaceName, address: IPAddress, hardwareAddress: MACAddress) {
        self.init(device: device, address: address, linkLayerAddress: .ethernet(hardwareAddress))
    }

    public static var kind: ObjectKind { .neighbor }
    public var key: Key { Key(device: device, address: address) }

    public struct Key: Hashable, Comparable, Sendable {
        public var device: InterfaceName
        public var address: IPAddress

        public init(device: InterfaceName, address: IPAddress) {
            self.device = device
            self.address = address
        }

        public static func < (left: Key, right: Key) -> Bool {
            left.device != right.device ? left.device < right.device : left.address < right.address
        }
    }

    /// `neigh 10.0.1.10 lladdr 02:00:0a:00:01:0a dev e-web1`.
    public var description: String { "neigh \(address) lladdr \(linkLayerAddress) dev \(device)" }
}
