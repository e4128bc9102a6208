public import VPCCompiler

/// What was seen of a real packet and of its answer, on the host of its sender and in the sender's own namespace.
public struct Sighting: Sendable, Hashable {
    /// It left the sender's namespace, or went around inside it.
    public var hasLeftGuest = false
    /// The sender asked by ARP for the destination; without an answer the packet goes no further.
    public var isNeighborSought = false
    /// It came into the host by its sender's port.
    public var hasEnteredHost = false
    /// How it left the host again.
    public var exits: Set<Exit> = []
    /// The answer that the trace follows came into the host, from another host or from a guest here.
    public var hasAnswerEnteredHost = false
    /// What came back into the sender's namespace.
    public var answer: Answer?
    /// Why the sender's own kernel did not send it.
    public var failure: String?
    /// By how much the host's counters have grown since before it was sent; those that have not are left out.
    public var counted: [FirewallName: UInt64] = [:]
    /// No packet before it had these ports or this identifier, so nothing was decided about it before.
    public var isNewConnection = true

    public init() {}

    /// The names of the devices of the exits to other hosts.
    public var tunnels: Set<String> = []

    /// A way out of a host.
    public enum Exit: Sendable, Hashable, Comparable {
        /// To a guest of the same host: a number of `Topology.interfaces`.
        case port(Int)
        /// To another host.
        case tunnel
        /// By a device that no packet of a VPC should leave by.
        case other(String)
    }

    public enum Answer: Sendable, Hashable {
        /// What was asked for: an echo reply, a segment that takes the connection on, a datagram.
        case reply
        /// A TCP reset of the destination: it was reached, and nobody listens there.
        case refused
        /// The destination says by ICMP that nobody listens there: it was reached, but that is not the answer that the
        /// trace follows, and other lines of ACLs may decide on it.
        case portUnreachable
        /// Somebody on the way says that it goes no further.
        case error(String)
    }

    /// Whether the destination itself has answered, whatever it said.
    public var isAnswered: Bool {
        switch answer {
        case .reply, .refused, .portUnreachable: true
        case .error, nil: false
        }
    }
}
