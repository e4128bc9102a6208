import KernelDriver
import KernelModel
import VPCCompiler

/// Moves one interface among many to another host, as the last steps of a pass see it: compile, compare with what was
/// read before, send.
func measureChange(_ network: Network) throws {
    let topology = Stages.topology(network.text())
    let kernel = KernelDriver()
    var intent = topology.compiled(for: 0, facts: Stages.facts).intent.routing
    let empty = try kernel.observe(ObservationRequest(owner: Conventions.ownership))
    Stages.commit("load", intent.changes(from: empty, owner: Conventions.ownership), kernel)
    let full = try kernel.observe(ObservationRequest(owner: Conventions.ownership))

    // The work of compiling is that of any change; what it changes is put in by hand.
    _ = Stages.intent(topology)
    let moved = intent.host.routes.count / 2
    let table = intent.host.routes[moved].object.key.table
    let present = intent.host.routes[moved].object.nexthop
    guard let elsewhere = intent.host.nexthops.first(where: { $0.object.id != present }) else {
        fail("all interfaces are on one host")
    }
    intent.host.routes[moved].object.nexthop = elsewhere.object.id
    let plan = Stages.plan("compare", intent, from: full)
    if plan.counts.total != 1 { fail("\(plan.counts.total) changes instead of one") }
    Stages.commit("change", plan, kernel)

    let seen = try kernel.routes(in: table, of: Conventions.ownership)
    guard seen.contains(intent.host.routes[moved].object) else { fail("the change has not come about") }
}
