public import IPAddressing

/// How a connection is ended.
public enum ConnectionEnd: Hashable, Sendable {
    /// It is forgotten: its next packet is judged as a first one.
    case forgotten
    /// It gets this mark, by which the firewall drops what belongs to it, and is forgotten after that many seconds. For
    /// protocols where any packet can be a first one: an answer on its way would begin the connection from the other end.
    case marked(UInt32, seconds: UInt32)
}

/// A tracked connection, by the packets of its original direction.
public struct Connection: Hashable, Sendable, CustomStringConvertible {
    /// The kernel's number of the entry; another entry with the same addresses has another one.
    public var id: UInt32
    public var zone: UInt16
    public var ipProtocol: UInt8
    public var source: IPAddress
    public var destination: IPAddress
    /// 0 for protocols without ports.
    public var sourcePort: UInt16
    public var destinationPort: UInt16
    /// Of the answers; others than the ones above where addresses are translated.
    public var replySource: IPAddress
    public var replyDestination: IPAddress
    /// 0 for protocols without ports; of ICMP's questions the identifier is their answers' destination port.
    public var replySourcePort: UInt16
    public var replyDestinationPort: UInt16
    public var icmp: ICMP?
    /// `ct mark`.
    public var mark: UInt32
    /// `IPS_*` of linux/netfilter/nf_conntrack_common.h.
    public var status: UInt32

    public struct ICMP: Hashable, Sendable {
        public var type: UInt8
        public var code: UInt8
        public var id: UInt16

        public init(type: UInt8, code: UInt8, id: UInt16) {
            self.type = type
            self.code = code
            self.id = id
        }
    }

    public init(
        id: UInt32, zone: UInt16, ipProtocol: UInt8, source: IPAddress, destination: IPAddress, sourcePort: UInt16,
        destinationPort: UInt16, replySource: IPAddress? = nil, replyDestination: IPAddress? = nil,
        replySourcePort: UInt16? = nil, replyDestinationPort: UInt16? = nil, icmp: ICMP? = nil,
        mark: UInt32 = 0, status: UInt32 = 0
    ) {
        self.id = id
        self.zone = zone
        self.ipProtocol = ipProtocol
        self.source = source
        self.destination = destination
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.replySource = replySource ?? destination
        self.replyDestination = replyDestination ?? source
        self.replySourcePort = replySourcePort ?? destinationPort
        self.replyDestinationPort = replyDestinationPort ?? sourcePort
        self.icmp = icmp
        self.mark = mark
        self.status = status
    }

    /// `connection 10.0.1.11:40000 to 10.0.2.11:80 protocol 6 zone 1`.
    public var description: String {
        let from = sourcePort == 0 ? "\(source)" : "\(source):\(sourcePort)"
        let to = destinationPort == 0 ? "\(destination)" : "\(destination):\(destinationPort)"
        let type = icmp.map { " type \($0.type)" } ?? ""
        return "connection \(from) to \(to) protocol \(ipProtocol)\(type) zone \(zone)"
    }
}

/// The table of a namespace's tracked connections.
public struct TrackingTable: Hashable, Sendable {
    /// Connections, of all zones.
    public var count: Int
    /// The most there can be (`net.netfilter.nf_conntrack_max`).
    public var room: Int

    public init(count: Int, room: Int) {
        self.count = count
        self.room = room
    }
}
