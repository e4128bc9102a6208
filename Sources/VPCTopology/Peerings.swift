public import IPAddressing
package import VPCModel

public struct ResolvedPeering: Sendable, Equatable {
    public var name: String
    public var requester: Side
    public var accepter: Side
    /// Whether it is in force.
    public var isAccepted: Bool
    /// What the manifest says.
    var accepted: Bool

    public struct Side: Sendable, Equatable {
        /// A number of `Topology.vpcs`.
        public var vpc: Int
        /// What the manifest says; empty: all.
        var stated: [IPPrefix]
        /// What of it the other side may reach; ascending.
        public var prefixes: [IPPrefix]
    }

    /// The other side; nil where the VPC is neither.
    public func far(from vpc: Int) -> Side? {
        vpc == requester.vpc ? accepter : vpc == accepter.vpc ? requester : nil
    }
}

public struct ResolvedPeeringAcceptance: Sendable, Equatable {
    public var name: String
    /// A number of `Topology.peerings`.
    public var peering: Int
    public var account: String
}

extension Topology {
    public var peerings: Slots<ResolvedPeering> {
        get { self[ResolvedPeering.self] }
        _modify { yield &self[ResolvedPeering.self] }
    }

    public var peeringAcceptances: Slots<ResolvedPeeringAcceptance> {
        get { self[ResolvedPeeringAcceptance.self] }
        _modify { yield &self[ResolvedPeeringAcceptance.self] }
    }

    /// Whether packets may get from one VPC to the other, as far as peerings go.
    public func arePeers(_ one: Int, _ other: Int) -> Bool {
        peerings.contains { $0.isAccepted && $0.far(from: one)?.vpc == other }
    }

    /// Blocks of addresses that only interfaces have, as a VPC sees it: its own, and those of VPCs that it has a peering
    /// with; ascending.
    public func insideBlocks(ofVPC vpc: Int) -> [IPPrefix] {
        let peers = peerings.filter(\.isAccepted).compactMap { $0.far(from: vpc)?.prefixes }
        return (vpcs[vpc].cidrs + peers.flatMap(\.self)).sorted()
    }

    /// The VPCs with which one has a peering, be it accepted or not.
    package func peers(ofVPC vpc: Int) -> [Int] {
        let peerings = peerings
        return peerings.isEmpty ? [] : peerings.compactMap { $0.far(from: vpc)?.vpc }
    }

    /// VPCs, and those that have an accepted peering with one of them.
    package func withPeers(_ vpcs: some Collection<Int>) -> Set<Int> {
        var all = Set(vpcs)
        let peerings = peerings
        if peerings.isEmpty { return all }
        let own = all
        for peering in peerings where peering.isAccepted {
            if own.contains(peering.requester.vpc) { all.insert(peering.accepter.vpc) }
            if own.contains(peering.accepter.vpc) { all.insert(peering.requester.vpc) }
        }
        return all
    }

    /// What a route by a peering leads to from a VPC: the addresses and blocks of the far side's interfaces that it may reach,
    /// inside of the route's destination.
    public func destinations(of route: IPPrefix, by peering: Int, from vpc: Int) -> [Destination] {
        guard peerings[peering].isAccepted, let far = peerings[peering].far(from: vpc) else { return [] }
        return far.prefixes.compactMap { $0.intersection(route) }.flatMap { reach in
            destinations(ofVPC: far.vpc).compactMap { destination in
                destination.prefix.intersection(reach).map {
                    Destination($0, isDelegated: destination.isDelegated, of: destination.interface)
                }
            }
        }
    }
}

extension IPPrefix {
    /// What both have: one of them, or nothing.
    package func intersection(_ other: IPPrefix) -> IPPrefix? {
        contains(other) ? other : other.contains(self) ? self : nil
    }
}

extension ResolvedPeering: ResolvedResource, NamedAlone {
    package static var kind: ResourceKind { .vpcPeering }

    package mutating func renumber(_ numbers: TopologyNumbers) {
        requester.vpc = numbers.vpcs[requester.vpc]
        accepter.vpc = numbers.vpcs[accepter.vpc]
    }
}

extension ResolvedPeeringAcceptance: ResolvedResource, NamedAlone {
    package static var kind: ResourceKind { .peeringAcceptance }

    package mutating func renumber(_ numbers: TopologyNumbers) { peering = numbers.peerings[peering] }
}
