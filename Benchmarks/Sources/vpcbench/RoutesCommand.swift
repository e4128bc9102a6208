import KernelDriver
import KernelModel
import VPCCompiler

/// A host's whole first pass and the next one, which has nothing to do.
func measureRoutes(_ network: Network) throws {
    let topology = Stages.topology(network.text())
    let intent = Stages.intent(topology).routing
    let kernel = KernelDriver()
    let plan = Stages.plan("plan", intent, from: try Stages.observe("observe-empty", kernel))
    Stages.commit("commit", plan, kernel)
    note("routes", Double(intent.host.routes.count))
    let full = try Stages.observe("observe", kernel, likelyRoutes: intent.host.routes.count)
    Stages.expectNothing(Stages.plan("plan-nothing", intent, from: full))
    try measureOneTable(intent, kernel)
}

/// What is to be done in the first table alone.
private func measureOneTable(_ intent: KernelIntent, _ kernel: KernelDriver) throws {
    guard let table = intent.host.routes.first?.object.key.table else { return }
    var wanted = KernelIntent()
    wanted.host.routes = Array(intent.host.routes.prefix { $0.object.key.table == table })
    let plan = try timed("one-table") {
        var seen = KernelSnapshot()
        seen.host.routes = try kernel.routes(in: table, of: Conventions.ownership)
        return wanted.changes(from: seen, owner: Conventions.ownership)
    }
    Stages.expectNothing(plan)
}
