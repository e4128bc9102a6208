import ArgumentParser
import CommandOptions
import Console
import Reconciler

struct Delete: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Remove everything that is ours from the current network namespace, and nothing else.")

    @OptionGroup var host: HostOption
    @Flag(name: [.customShort("y"), .long], help: "Do not ask, even on a terminal.") var yes = false
    @Flag(name: .customLong("dry-run"), help: "Show what would be removed, and do nothing.") var dryRun = false
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let kernel = try Kernel.open(global, toModify: !dryRun)
        let reconciler = HostReconciler(kernel: kernel)
        let plan = try Kernel.reporting(global) { try reconciler.removalPlan() }
        try requireHost(plan)
        let presentation = PlanPresentation(plan: plan, manifests: nil)
        if dryRun { return presentation.show(output.format, host: host.name, global) }
        try presentation.carryOut(
            with: reconciler, subject: host.name.map { "host \($0)" } ?? "this namespace", host: host.name,
            output.format, askUnless: yes, global)
    }

    /// A namespace that is another host is left alone: whoever names a host means that one.
    private func requireHost(_ plan: HostPlan) throws {
        guard let name = host.name, let present = plan.presentHost, present != name else { return }
        global.error("this namespace is host \(present), not \(name); nothing was removed")
        throw ExitStatus.failed.code
    }
}
