/// How things are with a pair, seen from one of the two.
public struct PairStatus: Codable, Hashable, Sendable {
    /// Name of the external network.
    public var network: String
    /// Names of the NAT gateways that the pair serves.
    public var gateways: [String]
    public var endpoint: String
    /// Underlay addresses.
    public var own: String
    public var peer: String
    /// `active`, `standby`, `unfit`.
    public var role: String
    /// Why it is that: one phrase.
    public var reason: String
    /// The underlay address of the active one; nil: nobody says that he is.
    public var active: String?
    /// Since when it has been what it is: seconds since 1970.
    public var since: Double
    /// What the other one says that it is; nil: it is silent.
    public var peerRole: String?
    /// Whether who stands by has all connections.
    public var isSynchronized: Bool
    /// Connections that were taken over from the other one, or sent to it.
    public var connections: Int
    /// How often it has become active since its process began.
    public var takeovers: Int
    /// How often it has heard that the other one is active as well.
    public var conflicts: Int
    /// How often the kernel has thrown news of connections away, so that everything was compared.
    public var resyncs: Int
    /// What somebody should look at; empty: all is well.
    public var problems: [String]

    public init(
        network: String, gateways: [String], endpoint: String, own: String, peer: String, role: String,
        reason: String, active: String?, since: Double, peerRole: String?, isSynchronized: Bool, connections: Int,
        takeovers: Int, conflicts: Int, resyncs: Int, problems: [String]
    ) {
        (self.network, self.gateways, self.endpoint) = (network, gateways, endpoint)
        (self.own, self.peer, self.role, self.reason) = (own, peer, role, reason)
        (self.active, self.since) = (active, since)
        (self.peerRole, self.isSynchronized, self.connections) = (peerRole, isSynchronized, connections)
        (self.takeovers, self.conflicts, self.resyncs) = (takeovers, conflicts, resyncs)
        self.problems = problems
    }
}
