public import NFTables
public import VPCCompiler

extension HostReconciler {
    /// What our counters have counted in the current namespace. One that somebody else has put into our table is left out.
    public func ruleCounts() throws -> [FirewallName: NFCounts] {
        let counters = try kernel.counters(of: FirewallTables.filter)
        let named = counters.compactMap { counter in FirewallName(counter.name).map { ($0, counter.counts) } }
        return Dictionary(named, uniquingKeysWith: { first, _ in first })
    }

    /// What bounds and rates have refused.
    public func refusals() throws -> Refusals {
        var refusals = Refusals()
        for (name, counts) in try ruleCounts() {
            if let owner = name.resource?.name { refusals.add(Int(clamping: counts.packets), name, of: owner) }
        }
        return refusals
    }
}

/// What bounds and rates have refused since their counters were made, in packets, by the names of the resources.
public struct Refusals: Sendable, Hashable {
    /// First packets of connections, by VPC.
    public var vpcs: [String: Int] = [:]
    public var natGateways: [String: OfEdge] = [:]
    public var elasticIPs: [String: OfEdge] = [:]

    /// Of a NAT gateway, or of an elastic IP.
    public struct OfEdge: Sendable, Hashable {
        /// More than its bandwidth; nil: it has none.
        public var egress: Int?
        public var ingress: Int?
        /// First packets of connections. An elastic IP has no bound of its own.
        public var connections = 0

        public init() {}
    }

    public init() {}

    fileprivate mutating func add(_ count: Int, _ name: FirewallName, of owner: String) {
        switch name {
        case RuleCounter.refused(vpc: owner): vpcs[owner] = count
        case RuleCounter.refused(natGateway: owner): natGateways[owner, default: OfEdge()].connections = count
        case RuleCounter.over(natGateway: owner, .egress): natGateways[owner, default: OfEdge()].egress = count
        case RuleCounter.over(natGateway: owner, .ingress): natGateways[owner, default: OfEdge()].ingress = count
        case RuleCounter.over(elasticIP: owner, .egress): elasticIPs[owner, default: OfEdge()].egress = count
        case RuleCounter.over(elasticIP: owner, .ingress): elasticIPs[owner, default: OfEdge()].ingress = count
        default: break
        }
    }
}
