import ArgumentParser
import CommandOptions
import Console
import Presentation
import Reconciler

struct Plan: KernelCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what apply would do; exit code 2 when there is something, 4 when a part is refused.")

    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var host: HostOption
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var debug: DebugOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let manifests = try Manifests(manifests, global, addresses: .recipient)
        let plan = try display(of: manifests)
        plan.show(output.format, global)
        if plan.isRefused { throw ExitStatus.partlyApplied.code }
        if plan.counts.total > 0 || !plan.obstacles.isEmpty { throw ExitStatus.changesPending.code }
    }

    private func display(of manifests: Manifests) throws -> PlanDisplay {
        if let agent = try agent.find(global, host: host.name, toModify: false) {
            return PlanDisplay(try agent.plan(manifests, global))
        }
        try manifests.requireAddresses(self.manifests, global)
        let kernel = try Kernel.open(global, toModify: false)
        return try Kernel.reporting(global) {
            let host = try manifests.host(host, kernel)
            let plan = try HostReconciler(kernel: kernel, for: host, in: manifests.topology).plan(
                manifests.topology, host: host)
            return PlanDisplay(
                PlanPresentation(plan, manifests.resolved, host: manifests.topology.hosts[host].metadata.name))
        }
    }
}
