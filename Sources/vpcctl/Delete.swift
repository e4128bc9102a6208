import ArgumentParser
import CommandOptions
import Console
import Presentation
import Reconciler

struct Delete: KernelCommand {
    static let configuration = CommandConfiguration(
        abstract: "Remove everything that is ours from the current network namespace, and nothing else.")

    @OptionGroup var host: HostOption
    @Flag(name: [.customShort("y"), .long], help: "Do not ask, even on a terminal.") var yes = false
    @Flag(name: .customLong("dry-run"), help: "Show what would be removed, and do nothing.") var dryRun = false
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var debug: DebugOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        if !dryRun, let agent = try agent.find(global, host: host.name, toModify: true) {
            global.error(
                "the agent (pid \(agent.status["pid"]?.number ?? 0)) keeps this host as its manifests say and would make everything again; stop it first (systemctl stop vpcd)"
            )
            throw ExitStatus.failed.code
        }
        let kernel = try Kernel.open(global, toModify: !dryRun)
        let reconciler = HostReconciler(kernel: kernel)
        let plan = try Kernel.reporting(global) { try reconciler.removalPlan() }
        try requireHost(plan)
        let presentation = PlanPresentation(plan, nil, host: host.name)
        let display = PlanDisplay(presentation)
        if dryRun { return display.show(output.format, global) }
        try presentation.carryOut(
            with: reconciler, Change(format: output.format, global: global), subject: display.subject, askUnless: yes)
    }

    /// A namespace that is another host is left alone: whoever names a host means that one.
    private func requireHost(_ plan: HostPlan) throws {
        guard let name = host.name, let present = plan.presentHost, present != name else { return }
        global.error("this namespace is host \(present), not \(name); nothing was removed")
        throw ExitStatus.failed.code
    }
}
