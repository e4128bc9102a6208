import KernelModel
import VPCCompiler
import VPCManifest
import VPCTopology

/// Where ``runStages(_:until:)`` stops. What a stage costs is what a run costs that ends with it, less one that ends
/// before it.
enum LastStage: String, CaseIterable {
    case generate
    case parse
    case resolve
    case compile
    /// The plan for a kernel that has nothing.
    case plan
    /// The plan for a kernel that holds the routes and nexthop objects already, on top of the one before.
    case nothing
}

/// A pass without a kernel, up to and including one stage, for those who count its instructions.
func runStages(_ network: Network, until last: LastStage) {
    let text = network.text()
    if last == .generate { return }
    let set = ManifestSet(text: text, name: "bench.yaml")
    if last == .parse { return }
    guard set.isValid, let topology = Topology.resolve(set.model).topology else { fail("the manifest is invalid") }
    if last == .resolve { return }
    let intent = topology.compiled(for: 0, facts: Stages.facts).intent
    if last == .compile { return }
    let everything = intent.changes(from: KernelSnapshot(), owner: Conventions.ownership)
    if everything.isEmpty { fail("there is nothing to plan") }
    if last == .plan { return }
    let routing = intent.routing
    Stages.expectNothing(routing.changes(from: routing.whenCarriedOut, owner: Conventions.ownership))
}

extension KernelIntent {
    /// What the kernel holds of the routes and nexthop objects when all has been done.
    fileprivate var whenCarriedOut: KernelSnapshot {
        var snapshot = KernelSnapshot()
        snapshot.host.nexthops = host.nexthops.map(\.object)
        snapshot.host.routes = host.routes.map(\.object)
        return snapshot
    }
}
