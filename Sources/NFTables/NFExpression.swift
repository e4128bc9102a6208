public import KernelNames

/// A 4-byte register, 0…15 (`NFT_REG32_00`…`NFT_REG32_15`). Longer values continue in the next ones.
public struct NFRegister: Hashable, Sendable, ExpressibleByIntegerLiteral {
    public let index: UInt8
    public init(_ index: UInt8) { self.index = index }
    public init(integerLiteral value: UInt8) { index = value }
}

/// What is known of a packet beside its bytes (`enum nft_meta_keys`).
public enum NFMetaKey: String, Hashable, Sendable, CaseIterable {
    case length
    case `protocol`
    case priority
    case mark
    case iif
    case oif
    case iifname
    case oifname
    case iiftype
    case oiftype
    case nftrace
    case nfproto
    case l4proto
    case pkttype
    case iifgroup
    case oifgroup
    case sdif
    case sdifname
}

/// What is known of a packet's connection (`enum nft_ct_keys`).
public enum NFConnectionKey: String, Hashable, Sendable, CaseIterable {
    case state
    case direction
    case status
    case mark
    case zone
    case id
    /// Of what is told of it: bits by `enum ip_conntrack_events`.
    case eventMask
    /// The IPv4 destination of one direction's packets.
    case ipDestination
}

/// Bytes of a packet.
public struct NFPayload: Hashable, Sendable {
    /// What offsets count from (`enum nft_payload_bases`).
    public enum Base: String, Hashable, Sendable {
        case link
        case network
        case transport
    }

    public var base: Base
    public var offset: UInt32
    public var length: UInt32

    public init(_ base: Base, _ offset: UInt32, _ length: UInt32) {
        self.base = base
        self.offset = offset
        self.length = length
    }
}

/// How two values are compared (`enum nft_cmp_ops`); all but equality treat them as numbers in network byte order.
public enum NFComparison: String, Hashable, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
}

/// Where a packet is reported (`NFTA_LOG_*`).
public struct NFLog: Hashable, Sendable {
    /// The nfnetlink_log group; nil writes to the kernel's log.
    public let group: UInt16?
    public let prefix: String
    /// For a group, bytes of each packet to hand over; nil all.
    public let snapLength: UInt32?
    /// For a group, packets to gather before handing them over; 0 is the kernel's own choice.
    public let threshold: UInt16
    /// For the kernel's log, syslog's level; the kernel's own choice is 4, a warning.
    public let level: UInt32?

    public init(
        group: UInt16? = nil, prefix: String = "", snapLength: UInt32? = nil, threshold: UInt16 = 0,
        level: UInt32? = nil
    ) {
        self.group = group
        self.prefix = prefix
        self.snapLength = group == nil ? nil : snapLength
        self.threshold = group == nil ? 0 : threshold
        self.level = group == nil ? level ?? 4 : nil
    }
}

/// A token bucket (`NFTA_LIMIT_*`).
public struct NFLimit: Hashable, Sendable {
    public enum Unit: String, Hashable, Sendable {
        case packets
        case bytes
    }

    /// So many per `seconds`.
    public let rate: UInt64
    public let seconds: UInt64
    public let burst: UInt32
    public let unit: Unit
    /// Match what is over the rate instead of what is within.
    public let isOver: Bool

    public init(_ rate: UInt64, per seconds: UInt64 = 1, burst: UInt32 = 5, unit: Unit = .packets, isOver: Bool = false)
    {
        self.rate = rate
        self.seconds = seconds
        // The kernel's own choice.
        self.burst = unit == .packets && burst == 0 ? 5 : burst
        self.unit = unit
        self.isOver = isOver
    }
}

/// How a packet is refused (`enum nft_reject_types`).
public enum NFReject: Hashable, Sendable {
    case tcpReset
    /// ICMP or ICMPv6, by the packet's version: `enum nft_reject_inet_code`.
    case unreachable(Code)
    /// ICMP or ICMPv6 destination unreachable, with that code.
    case icmp(code: UInt8)

    public enum Code: String, Hashable, Sendable {
        case noRoute
        case port
        case host
        case prohibited
    }
}

/// An address translation (`NFTA_NAT_*`). Addresses and ports come from registers.
public struct NFTranslation: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable {
        case source
        case destination
    }

    public var kind: Kind
    /// `ip` or `ip6`.
    public var family: NFFamily
    public var address: NFRegister?
    public var lastAddress: NFRegister?
    public var port: NFRegister?
    public var lastPort: NFRegister?
    public var options: Options

    /// `NF_NAT_RANGE_*` that can be chosen (linux/netfilter/nf_nat.h).
    public struct Options: OptionSet, Hashable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let random = Options(rawValue: 1)
        public static let fullyRandom = Options(rawValue: 2)
        public static let persistent = Options(rawValue: 4)
        public static let networkMap = Options(rawValue: 8)
    }

    public init(
        _ kind: Kind, _ family: NFFamily, address: NFRegister? = nil, lastAddress: NFRegister? = nil,
        port: NFRegister? = nil, lastPort: NFRegister? = nil, options: Options = []
    ) {
        self.kind = kind
        self.family = family
        self.address = address
        self.lastAddress = lastAddress
        self.port = port
        self.lastPort = lastPort
        self.options = options
    }
}

/// A number made of registers' bytes (`NFTA_HASH_*` with `NFT_HASH_JENKINS`): `jhash … mod … seed …`.
public struct NFHash: Hashable, Sendable {
    public var modulus: UInt32
    public var seed: UInt32
    public var offset: UInt32

    public init(modulus: UInt32, seed: UInt32, offset: UInt32 = 0) {
        self.modulus = modulus
        self.seed = seed
        self.offset = offset
    }
}

/// How the checksums are kept right when a packet is written to (`NFTA_PAYLOAD_CSUM_*`).
public struct NFChecksum: Hashable, Sendable {
    /// Where in the same header the checksum is.
    public var offset: UInt32
    /// Whether the written bytes are part of the pseudo header that layer 4 checksums.
    public var coversPseudoHeader: Bool

    public init(offset: UInt32, coversPseudoHeader: Bool) {
        self.offset = offset
        self.coversPseudoHeader = coversPseudoHeader
    }
}

/// One instruction of nf_tables' machine. A rule is a list of them; the first that does not match ends the rule.
///
/// ``NFStatement`` says the same in nft(8)'s words and finds the registers.
public enum NFExpression: Hashable, Sendable {
    case meta(NFMetaKey, into: NFRegister)
    case setMeta(NFMetaKey, from: NFRegister)
    case payload(NFPayload, into: NFRegister)
    case writePayload(NFPayload, from: NFRegister, NFChecksum?)
    case connection(NFConnectionKey, NFDirection? = nil, into: NFRegister)
    case setConnection(NFConnectionKey, NFDirection? = nil, from: NFRegister)
    case compare(NFRegister, NFComparison, [UInt8])
    case range(NFRegister, isNegated: Bool, [UInt8], [UInt8])
    case bitwise(NFRegister, into: NFRegister, and: [UInt8], xor: [UInt8])
    /// Turns numbers of `size` bytes around, `length` bytes of them.
    case byteOrder(NFRegister, into: NFRegister, toNetwork: Bool, length: UInt32, size: UInt32)
    case immediate([UInt8], into: NFRegister)
    case lookup(set: String, NFRegister, into: NFRegister? = nil, isNegated: Bool = false)
    /// Looks a verdict up.
    case verdictMap(set: String, NFRegister)
    case verdict(NFVerdict)
    /// A counter of the rule's own.
    case counter
    case namedCounter(String)
    /// Counts in the named counter that the element bears, or does what another object does.
    case objectMap(set: String, NFRegister)
    case log(NFLog)
    case limit(NFLimit)
    case notrack
    /// Puts the connection into a flowtable (`NFTA_FLOW_TABLE_NAME`); where that cannot be, the rule ends.
    case offload(flowtable: String)
    /// Gives the packet to the device whose number is in the register; in the family netdev.
    case forward(NFRegister)
    case reject(NFReject)
    case translate(NFTranslation)
    case masquerade(NFTranslation.Options)
    case hash(NFRegister, length: UInt32, into: NFRegister, NFHash)
    /// Something that is not known here; what the kernel says about it, byte for byte.
    case unknown(name: String, [UInt8])

    /// The flowtable that it refers to.
    package var flowtable: String? { if case .offload(let name) = self { name } else { nil } }

    /// The set that it refers to by name; setting it is for those that refer to one.
    package var set: String? {
        get {
            switch self {
            case .lookup(let set, _, _, _), .verdictMap(let set, _), .objectMap(let set, _): set
            default: nil
            }
        }
        set(name) {
            guard let name else { return }
            switch self {
            case .lookup(_, let key, let into, let isNegated):
                self = .lookup(set: name, key, into: into, isNegated: isNegated)
            case .verdictMap(_, let key): self = .verdictMap(set: name, key)
            case .objectMap(_, let key): self = .objectMap(set: name, key)
            default: break
            }
        }
    }
}

extension NFExpression: CustomStringConvertible {
    public var description: String {
        func hex(_ bytes: [UInt8]) -> String {
            "0x" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        func direction(_ direction: NFDirection?) -> String { direction.map { "\($0) " } ?? "" }
        switch self {
        case .meta(let key, let register): return "meta \(key.rawValue) => \(register)"
        case .setMeta(let key, let register): return "meta \(key.rawValue) set \(register)"
        case .payload(let payload, let register): return "\(payload) => \(register)"
        case .writePayload(let payload, let register, let checksum):
            let sum = checksum.map { " csum \($0.offset)\($0.coversPseudoHeader ? " l4" : "")" } ?? ""
            return "\(payload) set \(register)\(sum)"
        case .connection(let key, let way, let register): return "ct \(direction(way))\(key.rawValue) => \(register)"
        case .setConnection(let key, let way, let register):
            return "ct \(direction(way))\(key.rawValue) set \(register)"
        case .compare(let register, let comparison, let value):
            return "\(register) \(comparison.rawValue) \(hex(value))"
        case .range(let register, let isNegated, let lower, let upper):
            return "\(register) \(isNegated ? "!=" : "==") \(hex(lower))-\(hex(upper))"
        case .bitwise(let from, let into, let mask, let xor):
            return "\(from) & \(hex(mask)) ^ \(hex(xor)) => \(into)"
        case .byteOrder(let from, let into, let toNetwork, let length, let size):
            return "\(toNetwork ? "hton" : "ntoh")(\(from), \(length), \(size)) => \(into)"
        case .immediate(let value, let register): return "\(hex(value)) => \(register)"
        case .lookup(let set, let key, let into, let isNegated):
            return "lookup \(isNegated ? "!" : "")@\(set) \(key)\(into.map { " => \($0)" } ?? "")"
        case .verdictMap(let set, let key): return "vmap @\(set) \(key)"
        case .verdict(let verdict): return verdict.description
        case .counter: return "counter"
        case .namedCounter(let name): return "counter name \(name)"
        case .objectMap(let set, let key): return "object map @\(set) \(key)"
        case .log(let log):
            var text = "log"
            if !log.prefix.isEmpty { text += " prefix \"\(log.prefix)\"" }
            if let group = log.group { text += " group \(group)" }
            if let length = log.snapLength { text += " snaplen \(length)" }
            if log.threshold != 0 { text += " queue-threshold \(log.threshold)" }
            if let level = log.level { text += " level \(level)" }
            return text
        case .limit(let limit):
            return "limit rate \(limit.isOver ? "over " : "")\(limit.rate) \(limit.unit.rawValue)/\(limit.seconds)s "
                + "burst \(limit.burst)"
        case .notrack: return "notrack"
        case .offload(let name): return "flow add @\(name)"
        case .forward(let device): return "fwd to \(device)"
        case .reject(let reject): return "reject \(reject)"
        case .translate(let translation):
            let last = { (register: NFRegister?) in register.map { "-\($0)" } ?? "" }
            var text = translation.kind == .source ? "snat" : "dnat"
            text += " \(translation.family.rawValue) to"
            if let address = translation.address { text += " \(address)\(last(translation.lastAddress))" }
            if let port = translation.port { text += " port \(port)\(last(translation.lastPort))" }
            if !translation.options.isEmpty { text += " options \(translation.options.rawValue)" }
            return text
        case .masquerade(let options):
            return options.isEmpty ? "masquerade" : "masquerade options \(options.rawValue)"
        case .hash(let from, let length, let into, let hash):
            return "jhash(\(from), \(length)) mod \(hash.modulus) seed \(hash.seed) offset \(hash.offset) => \(into)"
        case .unknown(let name, let bytes): return "\(name) \(hex(bytes))"
        }
    }
}

extension NFRegister: CustomStringConvertible {
    public var description: String { "r\(index)" }
}

extension NFPayload: CustomStringConvertible {
    public var description: String { "@\(base.rawValue),\(offset),\(length)" }
}

/// A rule: expressions that are evaluated one after the other.
public struct NFRule: Hashable, Sendable {
    public var expressions: [NFExpression]
    /// nft(8) shows it. At most 127 bytes are kept.
    public var comment: String? { didSet { comment = storable(comment) } }
    public var origin: Origin

    public init(expressions: [NFExpression], comment: String? = nil, origin: Origin = .none) {
        self.expressions = expressions
        self.comment = storable(comment)
        self.origin = origin
    }

    /// Whether the rule does the same as `other` and says the same of itself.
    package func isSame(as other: NFRule) -> Bool { expressions == other.expressions && comment == other.comment }
}

extension NFRule: CustomStringConvertible {
    public var description: String {
        var text = expressions.map(\.description).joined(separator: "; ")
        if let comment { text += " comment \"\(comment)\"" }
        return text
    }
}
