public import KernelModel
import VPCCompiler

extension HostReconciler {
    /// What the rules of groups and ACLs have counted in the current namespace, by the counters' names.
    public func ruleCounts() throws -> [String: NFCounts] {
        let snapshot = try kernel.observe(
            ObservationRequest(owner: Conventions.ownership, firewall: [FirewallTables.filter]))
        let objects = snapshot.host.firewall.table(FirewallTables.filter)?.objects ?? []
        return Dictionary(objects.map { ($0.name, $0.counts) }, uniquingKeysWith: { first, _ in first })
    }
}
