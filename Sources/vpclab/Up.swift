import ArgumentParser
import CommandOptions
import Console
import VPCLab
import VPCManifest
import VPCTopology

struct Up: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the lab, or bring it to what the manifests say now.",
        discussion: """
            Every host gets its part applied, as 'ip netns exec HOST vpcctl apply' would. A network namespace that \
            somebody else made is never taken over. Exit code 4: the lab is up, but not all of it could be applied.
            """)

    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var lab: LabOptions
    @OptionGroup var making: MakingOptions
    @Flag(name: .customLong("no-apply"), help: "Make and join the namespaces, and apply nothing to the hosts.")
    var withoutApplying = false
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let topology = try Manifests.topology(manifests, global)
        try requirePrivileges(global)
        Interruption.catchSignals()
        try reporting(global) {
            let lab = try makeLab(topology, self.lab.name(forManifests: manifests.paths), self.lab.store, making)
            let progress = global
            let clock = ContinuousClock()
            let start = clock.now
            let reports = try lab.up(applying: !withoutApplying) { progress.note($0) }
            if !withoutApplying { try lab.startGateways(Programs.beside("vpcgw")) }
            switch output.format {
            case .json: Streams.output(structured(reports, lab).json)
            case .table: if !withoutApplying { show(reports) }
            }
            global.note("lab \(lab.plan.name) is up after \(start.duration(to: clock.now).inSeconds) s")
            try report(problemsOf: reports, global)
        }
    }

    private func show(_ reports: [Lab.HostReport]) {
        var table = TextTable(["HOST", "CREATED", "CHANGED", "DELETED"])
        for report in reports {
            guard case .success(let applied) = report.result else {
                table.rows.append([report.host, "-", "-", "-"])
                continue
            }
            let counts = applied.outcome.report.applied
            table.rows.append([report.host, "\(counts.created)", "\(counts.changed)", "\(counts.deleted)"])
        }
        for line in table.lines(style: global.outputStyle) { Streams.outputLine(line) }
        guard global.verbose else { return }
        for report in reports {
            guard case .success(let applied) = report.result else { continue }
            for operation in applied.plan.changes.operations {
                let place = operation.place.guest.map { "[\($0)] " } ?? ""
                Streams.outputLine("\(report.host): \(operation.action.rawValue) \(place)\(operation.object)")
            }
        }
    }

    private func structured(_ reports: [Lab.HostReport], _ lab: Lab) -> StructuredValue {
        let hosts = reports.map { report -> StructuredValue in
            var members: [StructuredValue.Member] = [
                .init("host", .string(report.host)),
                .init("problems", .list(report.problems.map { .string($0) })),
            ]
            if case .success(let applied) = report.result {
                let counts = applied.outcome.report.applied
                members += [
                    .init("created", .integer(counts.created)), .init("changed", .integer(counts.changed)),
                    .init("deleted", .integer(counts.deleted)),
                    .init("writes", .integer(applied.outcome.report.writes)),
                ]
            }
            return .object(members)
        }
        let namespaces = lab.plan.nodes.map { node -> StructuredValue in
            [
                "role": .string(node.role.rawValue), "name": .string(node.name), "namespace": .string(node.namespace),
            ]
        }
        return [
            "apiVersion": "vpcctl.dev/v1", "kind": "LabReport", "lab": .string(lab.plan.name), "hosts": .list(hosts),
            "namespaces": .list(namespaces),
        ]
    }
}

func makeLab(_ topology: Topology, _ name: String, _ store: LabStore, _ making: MakingOptions) throws -> Lab {
    Lab(try LabPlan(topology, name: name, options: making.options(of: name, in: store)), store: store)
}

/// - Throws: `ExitCode` 4 after having printed what could not be applied.
func report(problemsOf reports: [Lab.HostReport], _ global: GlobalOptions) throws {
    let problems = reports.flatMap { report in report.problems.map { "\(report.host): \($0)" } }
    for problem in problems { global.error(problem) }
    if !problems.isEmpty { throw ExitStatus.partlyApplied.code }
}

extension Duration {
    /// `1.2`.
    var inSeconds: String {
        let tenths = (components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 + 50) / 100
        return "\(tenths / 10).\(tenths % 10)"
    }
}
