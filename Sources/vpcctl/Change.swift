import ArgumentParser
import CommandOptions
import Console
import Glibc
import Presentation
import VPCManifest

/// From a plan that is shown to a result that is reported: what `apply`, `delete` and `rollback` have in common.
struct Change {
    let format: OutputFormat
    let global: GlobalOptions

    /// Whether somebody is there to be asked.
    static var isInteractive: Bool { isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1 }

    /// Asks on a terminal, unless told not to.
    /// - Throws: `ExitCode` 1 for a no.
    func ask(_ plan: PlanDisplay, unless yes: Bool) throws {
        let counts = plan.counts
        if counts.total > 0, !yes, Self.isInteractive {
            plan.showOperations(global)
            Streams.error(
                "\(plan.subject): create \(counts.created), change \(counts.changed), delete \(counts.deleted)? [y/N] ")
            guard let answer = readLine(), ["y", "yes"].contains(answer.lowercased()) else {
                global.note("nothing was changed")
                throw ExitStatus.failed.code
            }
        } else if global.verbose, format == .table || format == .wide {
            plan.showOperations(global)
        }
    }

    /// Prints what became of it.
    /// - Throws: `ExitCode` 1, 3 or 4 when not everything is as it should be.
    func report(_ outcome: PresentedOutcome, subject: String) throws {
        switch format {
        case .json: Streams.output(outcome.structured.json)
        case .yaml: Streams.output(outcome.structured.yaml)
        case .name, .table, .wide:
            let applied = outcome.applied
            let revision = outcome.revision.map { " (revision \($0))" } ?? ""
            Streams.outputLine(
                "\(subject): created \(applied.created), changed \(applied.changed), deleted \(applied.deleted)"
                    + revision)
        }
        for probe in outcome.probes {
            let line = "probe \(probe.name) \(probe.verdict): \(probe.reason)"
            if probe.verdict == "failed" { global.error(line) } else { global.note(line) }
        }
        for warning in outcome.warnings { global.warning(warning) }
        for obstacle in outcome.obstacles { global.error(obstacle) }
        for failure in outcome.failures { global.error(failure) }
        for operation in outcome.remainingOperations {
            global.error("verification: still to do: " + operation.line(style: .plain))
        }
        if outcome.isReverted {
            global.error("revision \(outcome.revision ?? 0) was taken back: a probe failed")
            throw ExitStatus.failed.code
        }
        if !outcome.failures.isEmpty || !outcome.obstacles.isEmpty { throw ExitStatus.partlyApplied.code }
        if outcome.remaining.total > 0 { throw ExitStatus.verificationFailed.code }
    }
}
