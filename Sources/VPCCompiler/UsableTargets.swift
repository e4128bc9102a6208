import VPCModel
import VPCTopology

extension ResolvedTargetGroup {
    /// The targets that connections may be given to: those that are healthy; all of them where nobody asks, or where none is and
    /// the group says so (``whenAllUnhealthy``).
    func usableTargets(_ known: KnownLiveness, in topology: Topology) -> [Target] {
        guard healthCheck != nil, let healthy = known.healthyTargets else { return targets }
        let usable = targets.filter {
            healthy.contains(WatchedTarget(group: name, interface: topology.interfaces[$0.interface].name))
        }
        return usable.isEmpty && whenAllUnhealthy == .useAll ? targets : usable
    }
}
