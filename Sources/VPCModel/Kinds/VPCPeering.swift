public import IPAddressing

/// Two VPCs whose interfaces reach each other, where the route tables of both say so.
public struct VPCPeering: Hashable, Sendable {
    public var metadata: Metadata
    /// Who asks for it.
    public var requester: Side
    public var accepter: Side
    /// Whether it is accepted here. Of VPCs of different accounts a ``PeeringAcceptance`` says so.
    public var isAccepted: Bool

    public struct Side: Hashable, Sendable {
        /// Name of the VPC.
        public var vpc: String
        /// What of it the other side may reach; empty: all its blocks.
        public var prefixes: [IPPrefix]
        /// As what the other side sees its addresses, block by block.
        public var translate: [Translation]

        public init(vpc: String, prefixes: [IPPrefix] = [], translate: [Translation] = []) {
            self.vpc = vpc
            self.prefixes = prefixes
            self.translate = translate
        }
    }

    /// Two blocks of one length; an address keeps its place in them.
    public struct Translation: Hashable, Sendable {
        public var inside: IPPrefix
        public var outside: IPPrefix

        public init(inside: IPPrefix, outside: IPPrefix) {
            self.inside = inside
            self.outside = outside
        }
    }

    public init(metadata: Metadata, requester: Side, accepter: Side, isAccepted: Bool = false) {
        self.metadata = metadata
        self.requester = requester
        self.accepter = accepter
        self.isAccepted = isAccepted
    }
}

extension VPCPeering: ResourceType {
    public static let names = KindNames("VPCPeering", short: ["pcx"])
    public static var kind: ResourceKind { .vpcPeering }
}

extension ResourceKind {
    public static let vpcPeering = ResourceKind(of: VPCPeering.self)
}

extension Model {
    public var vpcPeerings: [VPCPeering] {
        get { self[VPCPeering.self] }
        _modify { yield &self[VPCPeering.self] }
    }
}
