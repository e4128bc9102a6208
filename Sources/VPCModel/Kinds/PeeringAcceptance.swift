/// The word of the account that is asked for a peering.
public struct PeeringAcceptance: Hashable, Sendable {
    public var metadata: Metadata
    /// Name of the peering.
    public var peering: String
    /// That of the accepter's VPC.
    public var account: String

    public init(metadata: Metadata, peering: String, account: String) {
        self.metadata = metadata
        self.peering = peering
        self.account = account
    }
}

extension PeeringAcceptance: ResourceType {
    public static let names = KindNames("PeeringAcceptance")
    public static var kind: ResourceKind { .peeringAcceptance }
}

extension ResourceKind {
    public static let peeringAcceptance = ResourceKind(of: PeeringAcceptance.self)
}

extension Model {
    public var peeringAcceptances: [PeeringAcceptance] {
        get { self[PeeringAcceptance.self] }
        _modify { yield &self[PeeringAcceptance.self] }
    }
}
