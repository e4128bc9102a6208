public import IPAddressing
public import KernelNames

/// A nexthop object (RTM_NEWNEXTHOP, linux/nexthop.h).
public struct Nexthop: Hashable, Sendable, KernelObject {
    public var id: NexthopID
    public var body: Body

    public enum Body: Hashable, Sendable {
        /// Encapsulate and send by an external GRE device.
        case encapsulate(GREEncapsulation, device: InterfaceName)
        /// To a neighbour of the device, taken as on-link.
        case gateway(IPAddress, device: InterfaceName)
        case group(NexthopGroup)

        public var isGroup: Bool {
            if case .group = self { true } else { false }
        }
    }

    public init(id: NexthopID, body: Body) {
        self.id = id
        self.body = body
    }

    public static var kind: ObjectKind { .nexthop }
    public var key: NexthopID { id }

    /// The device that a single nexthop leaves by.
    public var device: InterfaceName? {
        switch body {
        case .encapsulate(_, let device), .gateway(_, let device): device
        case .group: nil
        }
    }

    public var description: String {
        switch body {
        case .encapsulate(let tunnel, let device):
            "nexthop \(tunnel.payload == .ipv6 ? "family inet6 " : "")id \(id) encap ip id \(tunnel.key)"
                + " src \(tunnel.source) dst \(tunnel.destination) dev \(device)"
        case .gateway(let address, let device):
            "nexthop id \(id) via \(address) dev \(device) onlink"
        case .group(let group):
            "nexthop id \(id) group \(group)"
        }
    }
}

/// The outer header of a GRE packet (LWTUNNEL_ENCAP_IP).
public struct GREEncapsulation: Hashable, Sendable {
    public var key: UInt32
    public var source: IPAddress
    public var destination: IPAddress
    /// 0 would inherit the inner packet's.
    public var ttl: UInt8
    /// Of the packets inside: routes of one family cannot use the nexthops of the other.
    public var payload: AddressFamily

    public init(
        key: UInt32, source: IPAddress, destination: IPAddress, ttl: UInt8, payload: AddressFamily = .ipv4
    ) {
        self.key = key
        self.source = source
        self.destination = destination
        self.ttl = ttl
        self.payload = payload
    }
}

/// Several nexthops that share the flows.
public struct NexthopGroup: Hashable, Sendable, CustomStringConvertible {
    /// By id, each id once.
    public var members: [Member]
    public var algorithm: Algorithm

    public struct Member: Hashable, Sendable {
        public var id: NexthopID
        /// 1…256.
        public var weight: UInt16

        public init(id: NexthopID, weight: UInt16) {
            self.id = id
            self.weight = weight
        }
    }

    public enum Algorithm: Hashable, Sendable {
        /// NEXTHOP_GRP_TYPE_MPATH.
        case hashThreshold
        /// NEXTHOP_GRP_TYPE_RES: `buckets` slots; a slot without traffic for `idleTimer` hundredths of a second may move.
        case resilient(buckets: UInt16, idleTimer: UInt32)
    }

    public init(members: [Member], algorithm: Algorithm) {
        self.members = members
        self.algorithm = algorithm
    }

    public var description: String {
        let list = members.map { "\($0.id),\($0.weight)" }.joined(separator: "/")
        switch algorithm {
        case .hashThreshold: return list
        case .resilient(let buckets, let idleTimer):
            return "\(list) type resilient buckets \(buckets) idle_timer \(idleTimer / 100)"
        }
    }
}
