import CommandOptions
import Console
import KernelModel
import Presentation
import VPCCompiler
import VPCManifest

/// A plan for the terminal, whoever made it.
struct PlanDisplay {
    let host: String?
    let counts: ChangePlan.Counts
    let obstacles: [String]
    let warnings: [String]
    let aggregation: RouteAggregation?
    let isRefused: Bool
    /// Hands over every operation in order; a plan can have a million, so there is no list of them.
    let forEachOperation: ((PresentedOperation) -> Void) -> Void
    private let structured: () -> StructuredValue

    init(_ plan: PlanPresentation) {
        host = plan.host
        counts = plan.plan.changes.counts
        obstacles = plan.obstacles
        warnings = plan.warnings
        aggregation = plan.plan.aggregation
        isRefused = plan.isRefused
        forEachOperation = { body in plan.plan.changes.forEachOperation { body(plan.presented($0)) } }
        structured = { plan.presented.structured }
    }

    init(_ plan: PresentedPlan) {
        host = plan.host
        counts = plan.counts
        obstacles = plan.obstacles
        warnings = plan.warnings
        aggregation = plan.aggregation
        isRefused = plan.isRefused
        forEachOperation = { plan.operations.forEach($0) }
        structured = { plan.structured }
    }

    /// `host h1`.
    var subject: String { host.map { "host \($0)" } ?? "this namespace" }

    func show(_ format: OutputFormat, _ global: GlobalOptions) {
        switch format {
        case .json: Streams.output(structured().json)
        case .yaml: Streams.output(structured().yaml)
        case .name: forEachOperation { Streams.outputLine($0.object) }
        case .table, .wide:
            showOperations(global)
            for line in obstacles + warnings { global.warning(line) }
            if let aggregation {
                Streams.outputLine(
                    "routes of \(subject): \(aggregation.routes) instead of \(aggregation.withoutAggregation), aggregated"
                )
            }
            Streams.outputLine(
                counts.total == 0
                    ? "\(subject) is up to date"
                    : "plan for \(subject): \(counts.created) to create, \(counts.changed) to change, \(counts.deleted) to delete"
            )
        }
    }

    func showOperations(_ global: GlobalOptions) {
        let style = global.outputStyle
        // One write for many lines.
        var text = ""
        forEachOperation { operation in
            text += operation.line(style: style) + "\n"
            if text.utf8.count > 1 << 16 {
                Streams.output(text)
                text = ""
            }
        }
        Streams.output(text)
    }
}

extension PresentedOperation {
    /// `+ link vpc-v1000001 type vrf table 1000001  (VPC/blue)`.
    func line(style: Style) -> String {
        let place = namespace.map { "[\($0)] " } ?? ""
        let was = action == .change && kind == .sysctl ? previous : nil
        var text = place + object
        if let value = was?.split(separator: "=", maxSplits: 1).last { text += " (was \(value))" }
        let owner = resource.map { style.dim("  (\($0))") } ?? ""
        return switch action {
        case .create: style.green("+ " + text) + owner
        case .change: style.yellow("~ " + text) + owner
        case .delete: style.red("- " + text) + owner
        case .wait: style.dim("  wait: " + text)
        }
    }
}
