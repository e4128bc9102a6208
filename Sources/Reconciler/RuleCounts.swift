public import NFTables
public import VPCCompiler

extension HostReconciler {
    /// What our counters have counted in the current namespace. One that somebody else has put into our table is left out.
    public func ruleCounts() throws -> [FirewallName: NFCounts] {
        let counters = try kernel.counters(of: FirewallTables.filter)
        let named = counters.compactMap { counter in FirewallName(counter.name).map { ($0, counter.counts) } }
        return Dictionary(named, uniquingKeysWith: { first, _ in first })
    }

    /// First packets of connections that the bounds of VPCs have refused, by VPC.
    public func refusedConnections() throws -> [String: Int] {
        var refused: [String: Int] = [:]
        for (name, counts) in try ruleCounts() {
            if let vpc = name.resource?.name, name == RuleCounter.refused(vpc: vpc) {
                refused[vpc] = Int(clamping: counts.packets)
            }
        }
        return refused
    }
}
