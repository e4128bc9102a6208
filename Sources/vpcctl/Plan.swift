import ArgumentParser
import CommandOptions
import Console
import Reconciler

struct Plan: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what apply would do; exit code 2 when there is something.")

    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var host: HostOption
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let manifests = try Manifests(manifests, global)
        let kernel = try Kernel.open(global, toModify: false)
        let (plan, name) = try Kernel.reporting(global) {
            let host = try manifests.host(host, kernel)
            let plan = try HostReconciler(kernel: kernel).plan(manifests.topology, host: host)
            return (plan, manifests.topology.hosts[host].metadata.name)
        }
        let presentation = PlanPresentation(plan: plan, manifests: manifests)
        presentation.show(output.format, host: name, global)
        if !plan.changes.isEmpty || !plan.unattached.isEmpty { throw ExitStatus.changesPending.code }
    }
}

extension PlanPresentation {
    func show(_ format: OutputFormat, host: String?, _ global: GlobalOptions) {
        switch format {
        case .json: Streams.output(structured(host: host).json)
        case .yaml: Streams.output(structured(host: host).yaml)
        case .name: plan.changes.forEachOperation { Streams.outputLine($0.object) }
        case .table, .wide:
            showOperations(global)
            for obstacle in obstacles { global.warning(obstacle) }
            let counts = plan.changes.counts
            let subject = host.map { "host \($0)" } ?? "this namespace"
            Streams.outputLine(
                counts.total == 0
                    ? "\(subject) is up to date"
                    : "plan for \(subject): \(counts.created) to create, \(counts.changed) to change, \(counts.deleted) to delete"
            )
        }
    }

    func showOperations(_ global: GlobalOptions) {
        let style = global.outputStyle
        // One write for many lines: a plan can have a million.
        var text = ""
        plan.changes.forEachOperation { operation in
            text += line(operation, style: style) + "\n"
            if text.utf8.count > 1 << 16 {
                Streams.output(text)
                text = ""
            }
        }
        Streams.output(text)
    }
}
