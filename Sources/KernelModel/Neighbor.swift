public import IPAddressing
public import KernelNames

/// A permanent neighbour entry (RTM_NEWNEIGH, NUD_PERMANENT).
public struct Neighbor: Hashable, Sendable, KernelObject {
    public var device: InterfaceName
    public var address: IPAddress
    public var hardwareAddress: MACAddress

    public init(device: InterfaceName, address: IPAddress, hardwareAddress: MACAddress) {
        self.device = device
        self.address = address
        self.hardwareAddress = hardwareAddress
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
    public var description: String { "neigh \(address) lladdr \(hardwareAddress) dev \(device)" }
}
