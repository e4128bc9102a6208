import ArgumentParser
import CommandOptions
import Console
import Foundation
import Netlink
import Presentation
import Reconciler
import VPCTopology

struct Delete: KernelCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Remove everything that is ours from the current network namespace, or with -f resources of the agent.",
        discussion: """
            Without -f, every kernel object of ours on this machine is removed, and nothing else. With -f, \
            the resources that the files name are deleted from the agent's desired state, as far as they were made by API \
            or with 'vpcctl apply --merge': all of them or none. The kernel is never emptied by that.
            """)

    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var host: HostOption
    @Flag(name: [.customShort("y"), .long], help: "Do not ask, even on a terminal.") var yes = false
    @Flag(name: .customLong("dry-run"), help: "Show what would be removed, and do nothing.") var dryRun = false
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var debug: DebugOptions
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if !manifests.paths.isEmpty, host.name != nil {
            throw ValidationError(
                "-f deletes resources of the agent, --host everything that is ours in this namespace: name one of both."
            )
        }
    }

    func run() throws {
        if !manifests.paths.isEmpty { return try deleteResources() }
        if !dryRun, let agent = try agent.find(global, host: host.name, toModify: true) {
            global.error(
                "the agent (pid \(agent.status["pid"]?.number ?? 0)) keeps this host as its manifests say and would make everything again; stop it first (systemctl stop vpcd)"
            )
            throw ExitStatus.failed.code
        }
        let kernel = try Kernel.open(global, toModify: !dryRun)
        let (reconciler, plan) = try Kernel.reporting(global) {
            let reconciler = try HostReconciler(formerLayoutOf: kernel) ?? HostReconciler(kernel: kernel)
            return (reconciler, try reconciler.removalPlan())
        }
        try requireHost(plan)
        let presentation = PlanPresentation(plan, nil, host: host.name)
        let display = PlanDisplay(presentation)
        warnOfInstances()
        if dryRun { return display.show(output.format, global) }
        try presentation.carryOut(
            with: reconciler, Change(format: output.format, global: global), subject: display.subject, askUnless: yes)
    }

    /// They are processes of units of their own, which go on when the daemon is stopped.
    private func warnOfInstances() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: NetworkNamespace.directory)) ?? []
        let instances = names.filter { $0.hasPrefix(BalancerInstance.namespacePrefix) }.sorted()
        if instances.isEmpty { return }
        global.warning(
            "load balancers of HTTP stay, in \(instances.joined(separator: ", ")): end them with 'systemctl stop \"vpc-lb@*\"', and remove their namespaces with 'ip netns del'"
        )
    }

    private func deleteResources() throws {
        let set = try Manifests.parts(manifests, global)
        let agent = try agent.require(global, host: nil, "delete -f")
        let work = ResourceWork(agent: agent, change: Change(format: output.format, global: global), set: set)
        guard let (request, outcome) = try work.carryOut(isDryRun: dryRun, unless: yes, work.deleted) else { return }
        try work.report(request, outcome)
    }

    /// A namespace that is another host is left alone: whoever names a host means that one.
    private func requireHost(_ plan: HostPlan) throws {
        guard let name = host.name, let present = plan.presentHost, present != name else { return }
        global.error("this namespace is host \(present), not \(name); nothing was removed")
        throw ExitStatus.failed.code
    }
}
