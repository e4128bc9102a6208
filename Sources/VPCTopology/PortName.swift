import IPAddressing
public import VPCModel

/// The name of an interface's network device on its host.
///
/// Like `GatewayKey` it depends on the interface's name alone, so that it stays when other interfaces come and go.
public struct PortName: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// At most 15 bytes, the most that the kernel takes (IFNAMSIZ - 1).
    public let rawValue: String

    /// What the names of devices made for interfaces begin with.
    public static let prefix = "e-"

    /// Whether a name fits as it is.
    static func isPlain(_ name: String) -> Bool { name.utf8.count <= 13 }

    /// `e-` and the name where that fits, else `e-`, the first 6 bytes of the name, `_` and 6 characters of a hash. A
    /// name has no `_`, so that a long name's device is never that of a short name.
    public init(interfaceName name: String) {
        if Self.isPlain(name) {
            rawValue = Self.prefix + name
            return
        }
        var digest = FNV1a()
        digest.add(name.utf8)
        // Folded to 30 bits.
        let hash = digest.value ^ digest.value >> 30 ^ digest.value >> 60
        let digits = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)
        let suffix = (0..<6).map { digits[Int(hash >> UInt64(25 - 5 * $0) & 31)] }
        rawValue =
            Self.prefix + String(decoding: name.utf8.prefix(6), as: UTF8.self) + "_"
            + String(decoding: suffix, as: UTF8.self)
    }

    /// The name of a device that exists already.
    public init(adopted device: String) { rawValue = device }

    public var description: String { rawValue }
    public static func < (left: PortName, right: PortName) -> Bool { left.rawValue < right.rawValue }
}

extension NetworkInterface.Attachment {
    /// The host-side device of an interface of this name: made by the controller, or adopted.
    public func portName(ofInterface name: String) -> PortName {
        switch self {
        case .namespace: PortName(interfaceName: name)
        case .device(let device): PortName(adopted: device)
        }
    }
}

extension ResolvedInterface {
    /// The name of its device on its host.
    public var portName: PortName { attachment.portName(ofInterface: name) }
}
