import KernelDriver
import KernelModel
import VPCCompiler

extension KernelIntent {
    /// The tables of nf_tables alone, which any kernel takes.
    var firewall: KernelIntent {
        var result = KernelIntent()
        result.host.firewall = host.firewall
        return result
    }
}

/// Loads a host's firewall, reads it back, adds a member to a group and takes it away again.
func measureFirewall(_ network: GroupedNetwork) throws {
    let kernel = KernelDriver()
    let intent = Stages.intent(Stages.topology(network.text)).firewall
    note("elements", Double(intent.host.firewall.flatMap(\.sets).reduce(0) { $0 + $1.elements.count }))
    note("chains", Double(intent.host.firewall.reduce(0) { $0 + $1.chains.count }))
    note("rules", Double(intent.host.firewall.flatMap(\.chains).reduce(0) { $0 + $1.rules.count }))
    let empty = try Stages.observe("observe-empty", kernel, firewall: FirewallTables.all)
    Stages.commit("load", Stages.plan("plan", intent, from: empty), kernel)
    let full = try Stages.observe("observe", kernel, firewall: FirewallTables.all)
    Stages.expectNothing(Stages.plan("plan-nothing", intent, from: full))

    var larger = network
    larger.members += 1
    let second = Stages.intent(Stages.topology(larger.text)).firewall
    Stages.commit("add-one", Stages.plan("plan-one", second, from: full), kernel)
    let fuller = try kernel.observe(ObservationRequest(owner: Conventions.ownership, firewall: FirewallTables.all))
    Stages.expectNothing(second.changes(from: fuller, owner: Conventions.ownership))
    Stages.commit("remove-one", Stages.plan("plan-one", intent, from: fuller), kernel)
}
