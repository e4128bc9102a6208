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
    /// What somebody should look at; empty: all is well.
    public var problems: [String]

    public init(
        network: String, gateways: [String], endpoint: String, own: String, peer: String, role: String,
        active: String?, since: Double, peerRole: String?, isSynchronized: Bool, connections: Int, problems: [String]
    ) {
        (self.network, self.gateways, self.endpoint) = (network, gateways, endpoint)
        (self.own, self.peer, self.role, self.active, self.since) = (own, peer, role, active, since)
        (self.peerRole, self.isSynchronized, self.connections) = (peerRole, isSynchronized, connections)
        self.problems = problems
    }
}
