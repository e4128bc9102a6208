public import KernelNames

/// A family of tables: which packets pass its chains (`NFPROTO_*` of linux/netfilter.h).
public enum NFFamily: String, Hashable, Sendable, Comparable, CaseIterable {
    case ip
    case ip6
    case inet
    case arp
    case bridge
    case netdev

    public static func < (left: NFFamily, right: NFFamily) -> Bool { left.rawValue < right.rawValue }
}

/// A table's key: family and name. A table that is ours is ours as a whole; nobody else's is ever listed or touched.
public struct NFTable: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var family: NFFamily
    public var name: String

    public init(_ family: NFFamily, _ name: String) {
        self.family = family
        self.name = name
    }

    public static func < (left: NFTable, right: NFTable) -> Bool {
        left.family != right.family ? left.family < right.family : left.name < right.name
    }

    /// `inet filter`.
    public var description: String { "\(family.rawValue) \(name)" }
}

/// The longest text that can be stored with a table, rule or element: 127 bytes and a zero byte
/// (`NFTNL_UDATA_COMMENT_MAXLEN`). A longer one is cut, between characters.
func storable(_ comment: String?) -> String? {
    guard let comment, comment.utf8.count > 127 else { return comment }
    var room = 127
    return String(
        comment.prefix { character in
            room -= character.utf8.count
            return room >= 0
        })
}

/// What happens to the packet next.
public enum NFVerdict: Hashable, Sendable {
    case accept
    case drop
    case `continue`
    case `return`
    case jump(String)
    case goto(String)

    /// The chain that evaluation goes on in.
    public var chain: String? {
        switch self {
        case .jump(let chain), .goto(let chain): chain
        default: nil
        }
    }
}

extension NFVerdict: CustomStringConvertible {
    public var description: String {
        switch self {
        case .accept: "accept"
        case .drop: "drop"
        case .continue: "continue"
        case .return: "return"
        case .jump(let chain): "jump \(chain)"
        case .goto(let chain): "goto \(chain)"
        }
    }
}

/// Where the kernel enters a base chain.
public struct NFBaseChain: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable {
        case filter
        case nat
        case route
    }

    /// `enum nf_inet_hooks`, `enum nf_dev_hooks` and, for the family arp, `NF_ARP_*`.
    public enum Hook: String, Hashable, Sendable {
        case prerouting
        case input
        case forward
        case output
        case postrouting
        case ingress
        case egress
    }

    public enum Policy: String, Hashable, Sendable {
        case accept
        case drop
    }

    public var kind: Kind
    public var hook: Hook
    /// Lower is earlier: -300 is before, -150 behind connection tracking.
    public var priority: Int32
    /// What becomes of packets that reach the chain's end.
    public var policy: Policy
    /// The devices whose packets pass, sorted; for the family netdev and for inet's ingress.
    public var devices: [InterfaceName]

    public init(
        _ kind: Kind = .filter, _ hook: Hook, priority: Int32, policy: Policy = .accept, devices: [InterfaceName] = []
    ) {
        self.kind = kind
        self.hook = hook
        self.priority = priority
        self.policy = policy
        self.devices = devices.sorted()
    }

    /// Whether `self` can be had from `other` without making the chain anew.
    package func differsOnlyInPolicy(from other: NFBaseChain) -> Bool {
        var other = other
        other.policy = policy
        return self == other
    }
}

extension NFBaseChain: CustomStringConvertible {
    public var description: String {
        var text = "type \(kind.rawValue) hook \(hook.rawValue)"
        if !devices.isEmpty { text += " devices { \(devices.map(\.description).joined(separator: ", ")) }" }
        return text + " priority \(priority) policy \(policy.rawValue)"
    }
}

/// An ordered list of rules.
public struct NFChain: Hashable, Sendable {
    public var name: String
    /// Nil: only reached by a jump or goto.
    public var base: NFBaseChain?
    public var rules: [NFRule]
    public var origin: Origin

    public init(_ name: String, _ base: NFBaseChain? = nil, rules: [NFRule] = [], origin: Origin = .none) {
        self.name = name
        self.base = base
        self.rules = rules
        self.origin = origin
    }
}

/// A counter with a name, which rules and elements share (`NFT_OBJECT_COUNTER`).
public struct NFCounter: Hashable, Sendable {
    public var name: String
    public var origin: Origin

    public init(_ name: String, origin: Origin = .none) {
        self.name = name
        self.origin = origin
    }
}

/// What was counted.
public struct NFCounts: Hashable, Sendable {
    public var packets: UInt64
    public var bytes: UInt64

    public init(packets: UInt64 = 0, bytes: UInt64 = 0) {
        self.packets = packets
        self.bytes = bytes
    }
}
