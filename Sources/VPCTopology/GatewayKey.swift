/// The GRE key of traffic for one gateway, an interface or a NAT gateway: 2^31 | a hash of its name.
///
/// A key below 2^31 is a VPC id and means "deliver by the VPC's base table"; one at or above 2^31 means "deliver to
/// this interface, whatever the destination". The key is on the wire between hosts that compile on their own, so it
/// must be the same everywhere and must not change when other interfaces come and go: it depends on the name alone.
public struct GatewayKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt32

    public init(interfaceName: String) { self.init(name: interfaceName) }

    /// No interface can have a name like this.
    public init(natGatewayName: String) { self.init(name: "nat/" + natGatewayName) }

    private init(name: String) {
        // FNV-1a, 32 bits, folded to 31.
        var hash: UInt32 = 0x811C_9DC5
        for byte in name.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        rawValue = 0x8000_0000 | (hash ^ hash >> 31)
    }

    public var description: String { String(rawValue) }
    public static func < (left: GatewayKey, right: GatewayKey) -> Bool { left.rawValue < right.rawValue }
}
