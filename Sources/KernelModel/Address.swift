public import IPAddressing
public import KernelNames

/// An address of a device (RTM_NEWADDR).
public struct Address: Hashable, Sendable, KernelObject {
    public var device: InterfaceName
    public var address: IPAddress
    /// Bits of the on-link prefix; the full width makes no connected route.
    public var prefixLength: UInt8

    public init(device: InterfaceName, address: IPAddress, prefixLength: UInt8) {
        self.device = device
        self.address = address
        self.prefixLength = prefixLength
    }

    public static var kind: ObjectKind { .address }
    public var key: Key { Key(device: device, address: address, prefixLength: prefixLength) }

    public struct Key: Hashable, Comparable, Sendable {
        public var device: InterfaceName
        public var address: IPAddress
        public var prefixLength: UInt8

        public static func < (left: Key, right: Key) -> Bool {
            if left.device != right.device { return left.device < right.device }
            if left.address != right.address { return left.address < right.address }
            return left.prefixLength < right.prefixLength
        }
    }

    /// `address 10.0.1.1/32 dev e-web1`.
    public var description: String { "address \(address)/\(prefixLength) dev \(device)" }
}
