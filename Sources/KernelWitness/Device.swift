import IPAddressing
import KernelModel
import KernelNames

/// A network device, as far as both readers tell of it.
struct Device: KernelObject {
    var name: InterfaceName
    var index: UInt32
    /// IFLA_INFO_KIND; empty for hardware.
    var kindName: String
    var isUp: Bool
    var isOperational: Bool
    var isLoopback: Bool
    var alias: String
    var master: InterfaceName?
    var group: UInt32
    var mtu: UInt32?
    var hardwareAddress: MACAddress?
    /// IFLA_LINK.
    var lower: UInt32
    var isLowerElsewhere: Bool
    var ipv4: IPv4DeviceConfiguration?
    var promotesSecondaries: Bool?
    var addressGeneration: UInt8?
    /// Nil where it is not told: of somebody else's device.
    var form: Form?

    enum Form: Hashable, Sendable {
        case vrf(table: TableID)
        case gre(local: IPAddress, key: UInt32, ttl: UInt8)
    }

    static var kind: ObjectKind { .link }
    var key: InterfaceName { name }
    var description: String { "link \(name)" }
}

extension Device.Form: CustomStringConvertible {
    var description: String {
        switch self {
        case .vrf(let table): "vrf table \(table)"
        case .gre(let local, let key, let ttl): "gre local \(local) key \(key) ttl \(ttl)"
        }
    }
}

extension Device {
    /// As our own reader tells it.
    init(_ seen: ObservedLink) {
        let link = seen.link
        self.init(
            name: link.name, index: seen.index, kindName: seen.kindName, isUp: link.isUp,
            isOperational: seen.isOperational, isLoopback: seen.isLoopback, alias: link.alias, master: link.master,
            group: link.group, mtu: link.mtu, hardwareAddress: link.hardwareAddress, lower: seen.peerIndex,
            isLowerElsewhere: seen.isPeerElsewhere, ipv4: link.ipv4, promotesSecondaries: link.promotesSecondaries,
            addressGeneration: link.addressGeneration)
        switch link.kind {
        case .vrf(let table): form = .vrf(table: table)
        case .gre(let tunnel): form = .gre(local: tunnel.local, key: tunnel.key, ttl: tunnel.ttl)
        default: break
        }
    }
}
