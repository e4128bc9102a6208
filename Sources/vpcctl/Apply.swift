import ArgumentParser
import CommandOptions
import Console
import Glibc
import KernelModel
import Reconciler
import VPCManifest

struct Apply: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the current network namespace be a host of the manifests.",
        discussion: "Exit codes: 0 done, 3 applied but reading back found a difference, 4 partly applied.")

    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var host: HostOption
    @Flag(name: [.customShort("y"), .long], help: "Do not ask, even on a terminal.") var yes = false
    @Flag(name: .customLong("dry-run"), help: "Show what would be done, and do nothing.") var dryRun = false
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let manifests = try Manifests(manifests, global)
        let kernel = try Kernel.open(global, toModify: !dryRun)
        let reconciler = HostReconciler(kernel: kernel)
        let (plan, name) = try Kernel.reporting(global) {
            let host = try manifests.host(host, kernel)
            return (try reconciler.plan(manifests.topology, host: host), manifests.topology.hosts[host].metadata.name)
        }
        let presentation = PlanPresentation(plan: plan, manifests: manifests)
        if dryRun { return presentation.show(output.format, host: name, global) }
        try presentation.carryOut(
            with: reconciler, subject: "host \(name)", host: name, output.format, askUnless: yes, global)
    }
}

extension PlanPresentation {
    /// Asks where that is due, commits, verifies and reports.
    /// - Throws: `ExitCode` 1, 3 or 4 when not everything is as it should be.
    func carryOut(
        with reconciler: HostReconciler<some KernelAccess>, subject: String, host: String?, _ format: OutputFormat,
        askUnless yes: Bool, _ global: GlobalOptions
    ) throws {
        let counts = plan.changes.counts
        let isInteractive = isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1
        if counts.total > 0, !yes, isInteractive {
            showOperations(global)
            Streams.error(
                "\(subject): create \(counts.created), change \(counts.changed), delete \(counts.deleted)? [y/N] ")
            guard let answer = readLine(), ["y", "yes"].contains(answer.lowercased()) else {
                global.note("nothing was changed")
                throw ExitStatus.failed.code
            }
        } else if global.verbose, format == .table || format == .wide {
            showOperations(global)
        }
        let outcome = try Kernel.reporting(global) { try reconciler.apply(plan) }
        report(outcome, subject: subject, host: host, format, global)
        try exit(after: outcome)
    }

    private func report(
        _ outcome: HostOutcome, subject: String, host: String?, _ format: OutputFormat, _ global: GlobalOptions
    ) {
        let applied = outcome.report.applied
        switch format {
        case .json, .yaml:
            let value = structured(outcome, host: host)
            Streams.output(format == .json ? value.json : value.yaml)
        case .name, .table, .wide:
            Streams.outputLine(
                "\(subject): created \(applied.created), changed \(applied.changed), deleted \(applied.deleted)")
        }
        for obstacle in obstacles { global.error(obstacle) }
        for failure in outcome.report.failures { global.error(describe(failure)) }
        if outcome.report.failures.isEmpty, plan.changes.conflicts.isEmpty {
            outcome.remaining.forEachOperation { operation in
                global.error("verification: still to do: " + line(operation, style: .plain))
            }
        }
    }

    private func describe(_ failure: CommitReport.Failure) -> String {
        let operation = failure.operation
        let owner = resource(operation.origin).map { place($0) + ": " } ?? ""
        let guest = operation.namespace.map { " in namespace \($0)" } ?? ""
        return "\(owner)\(operation.action.rawValue) \(operation.object)\(guest): \(failure.reason)" + remedy(failure)
    }

    /// What to do about the failures that have one cause.
    private func remedy(_ failure: CommitReport.Failure) -> String {
        guard case .refused(let code, _, _) = failure.reason, code == "EOPNOTSUPP", failure.operation.kind == .link
        else { return "" }
        return "; the kernel lacks a module (vrf, ip_gre or veth): 'vpcctl doctor' names it"
    }

    private func structured(_ outcome: HostOutcome, host: String?) -> StructuredValue {
        [
            "apiVersion": "vpcctl.dev/v1", "kind": "ApplyResult", "host": .string(orNull: host),
            "applied": outcome.report.applied.structured, "writes": .integer(outcome.report.writes),
            "failures": .list(outcome.report.failures.map { .string(describe($0)) }),
            "obstacles": .list(obstacles.map { .string($0) }), "remaining": outcome.remaining.counts.structured,
        ]
    }

    private func exit(after outcome: HostOutcome) throws {
        let failed = !outcome.report.failures.isEmpty || !obstacles.isEmpty
        if failed { throw ExitStatus.partlyApplied.code }
        if outcome.remaining.counts.total > 0 { throw ExitStatus.verificationFailed.code }
    }
}
