public import KernelModel
import VPCCompiler

extension HostReconciler {
    /// What the rules of groups and ACLs have counted in the current namespace, by the counters' names.
    public func ruleCounts() throws -> [String: NFCounts] {
        let counters = try kernel.counters(of: FirewallTables.filter)
        return Dictionary(counters.map { ($0.name, $0.counts) }, uniquingKeysWith: { first, _ in first })
    }
}
