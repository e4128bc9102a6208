/// What the bytes of a key or of a map's data mean.
///
/// Each has a number among the data types of nft(8), which the kernel stores for nft(8)'s listings
/// (`NFTA_SET_KEY_TYPE`) and attaches no meaning to.
public enum NFType: Hashable, Sendable, CaseIterable {
    case ipv4Address
    case ipv6Address
    case etherAddress
    case etherType
    case arpOperation
    case internetProtocol
    case internetService
    case icmpType
    case icmpv6Type
    case mark
    case zone
    case interfaceIndex
    case interfaceGroup
    case interfaceName
    case connectionState
    case connectionDirection
    case connectionStatus

    /// The number of the type (`enum datatypes` of nftables' include/datatype.h).
    @inlinable public var code: UInt32 {
        switch self {
        case .ipv4Address: 7
        case .ipv6Address: 8
        case .etherAddress: 9
        case .etherType: 10
        case .arpOperation: 11
        case .internetProtocol: 12
        case .internetService: 13
        case .icmpType: 14
        // nft(8) has no name for a zone, and lists a short mark as what it is: a number.
        case .mark, .zone: 19
        case .interfaceIndex: 20
        case .connectionState: 26
        case .connectionDirection: 27
        case .connectionStatus: 28
        case .icmpv6Type: 29
        case .interfaceGroup: 35
        case .interfaceName: 41
        }
    }

    /// Bytes of a value.
    @inlinable public var width: Int {
        switch self {
        case .internetProtocol, .icmpType, .icmpv6Type, .connectionDirection: 1
        case .zone, .etherType, .arpOperation, .internetService: 2
        case .ipv4Address, .mark, .interfaceIndex, .interfaceGroup, .connectionState, .connectionStatus: 4
        case .etherAddress: 6
        case .ipv6Address, .interfaceName: 16
        }
    }

    /// Whether the kernel holds it as a number of the machine; all else is in network byte order.
    @inlinable public var isHostOrder: Bool {
        switch self {
        case .zone, .mark, .interfaceIndex, .interfaceGroup, .connectionState, .connectionStatus: true
        default: false
        }
    }

    /// The 4-byte registers that a value takes.
    @inlinable public var slots: Int { (width + 3) / 4 }

    /// Bits of a type in the number of a concatenation (`TYPE_BITS` of nftables' include/datatype.h).
    @usableFromInline package static let codeBits: UInt32 = 6

    /// Bytes of registers that a concatenation of types takes.
    package static func registerBytes(ofCode code: UInt32) -> Int {
        var (code, bytes) = (code, 0)
        while code != 0 {
            let part = code & (1 << codeBits - 1)
            bytes += (allCases.first { $0.code == part }?.slots ?? 0) * 4
            code >>= codeBits
        }
        return bytes
    }

    /// The number of a concatenation of types.
    public static func code(of types: [NFType]) -> UInt32 {
        types.reduce(0) { $0 << codeBits | $1.code }
    }
}
