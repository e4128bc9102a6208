import ArgumentParser
import CommandOptions
import Console
import Presentation
import Reconciler
import VPCTopology

struct Apply: KernelCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the current network namespace be a host of the manifests.",
        discussion: """
            Where an agent (vpcd) looks after the namespace it takes the manifests over and keeps to them; else they are \
            brought to the kernel once. Exit codes: 0 done, 3 applied but reading back found a difference, 4 partly \
            applied, 75 not ready in time.

            The files are the whole desired state, beside what was made with --merge or by API, which stays. With --merge \
            they are resources that come to it.
            """)

    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var host: HostOption
    @Flag(name: [.customShort("y"), .long], help: "Do not ask, even on a terminal.") var yes = false
    @Flag(name: .customLong("dry-run"), help: "Show what would be done, and do nothing.") var dryRun = false
    @Flag(
        help: """
            Make the resources of the files, or replace those that are there, and leave all others as they are. Needs the \
            agent.
            """)
    var merge = false
    @Option(
        help: ArgumentHelp(
            "Go back by itself after this time, such as 60s, unless 'vpcctl confirm' comes before; needs the agent.",
            valueName: "time"))
    var confirm: Seconds?
    @Flag(help: "Wait until every resource is ready; --timeout says how long. Needs the agent.") var wait = false
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var debug: DebugOptions
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if merge, confirm != nil { throw ValidationError("--confirm goes with a whole set, not with --merge.") }
    }

    func run() throws {
        if merge { return try mergeResources() }
        let manifests = try Manifests(manifests, global, addresses: .recipient)
        if let agent = try findAgent() { return try apply(manifests, through: agent) }
        try manifests.requireAddresses(self.manifests, global)
        let kernel = try Kernel.open(global, toModify: !dryRun)
        let (reconciler, presentation) = try Kernel.reporting(global) {
            let host = try manifests.host(host, kernel)
            if manifests.topology.readsLiveness(on: host) {
                global.note("next hops with liveness are watched by vpcd: without it all of them are used")
            }
            if !manifests.topology.watchedTargets.isEmpty {
                global.note("targets with a healthCheck are asked by vpcd: without it all of them are used")
            }
            let reconciler = HostReconciler(kernel: kernel, for: host, in: manifests.topology)
            let presentation = PlanPresentation(
                try reconciler.plan(manifests.topology, host: host), manifests.resolved,
                host: manifests.topology.hosts[host].metadata.name)
            return (reconciler, presentation)
        }
        if dryRun { return PlanDisplay(presentation).show(output.format, global) }
        try presentation.carryOut(
            with: reconciler, Change(format: output.format, global: global), subject: PlanDisplay(presentation).subject,
            askUnless: yes)
    }

    private func findAgent() throws -> LocalAgent? {
        if confirm != nil { return try agent.require(global, host: host.name, "--confirm") }
        if wait { return try agent.require(global, host: host.name, "--wait") }
        return try agent.find(global, host: host.name, toModify: !dryRun)
    }

    private func mergeResources() throws {
        let set = try Manifests.parts(manifests, global)
        let agent = try agent.require(global, host: host.name, "--merge")
        let work = ResourceWork(agent: agent, change: Change(format: output.format, global: global), set: set)
        guard let (request, outcome) = try work.carryOut(isDryRun: dryRun, unless: yes, work.merged) else { return }
        if wait, outcome.failures.isEmpty { try agent.waitUntilReady(outcome.revision, global) }
        try work.report(request, outcome, hasWaited: wait)
    }

    private func apply(_ manifests: Manifests, through agent: LocalAgent) throws {
        let change = Change(format: output.format, global: global)
        if dryRun { return PlanDisplay(try agent.plan(manifests, global)).show(output.format, global) }
        if (!yes && Change.isInteractive) || global.verbose {
            try change.ask(PlanDisplay(try agent.plan(manifests, global)), unless: yes)
        }
        let outcome = try agent.apply(manifests, confirmSeconds: confirm?.count, global)
        if let confirm, !outcome.isReverted, let revision = outcome.revision {
            global.note(
                "revision \(revision) goes back by itself in \(confirm.count) s, unless 'vpcctl confirm' comes before")
        }
        // What cannot be there yet is waited for; what was refused is not.
        guard wait, let revision = outcome.revision, outcome.failures.isEmpty, !outcome.isReverted else {
            return try change.report(outcome, subject: agent.subject(outcome))
        }
        var applied = outcome
        try agent.waitUntilReady(revision, global)
        applied.obstacles = []
        (applied.remaining, applied.remainingOperations) = (.init(), [])
        try change.report(applied, subject: agent.subject(outcome))
    }
}

extension PlanPresentation {
    /// Asks where that is due, commits, verifies and reports.
    /// - Throws: `ExitCode` 1, 3 or 4 when not everything is as it should be.
    func carryOut(
        with reconciler: HostReconciler, _ change: Change, subject: String, askUnless yes: Bool
    ) throws {
        try change.ask(PlanDisplay(self), unless: yes)
        let outcome = try Kernel.reporting(change.global) { try reconciler.apply(plan) }
        try change.report(PresentedOutcome(outcome, of: self), subject: subject)
    }
}
