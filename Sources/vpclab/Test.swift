import ArgumentParser
import CommandOptions
import Console
import VPCLab
import VPCManifest
import VPCModel

struct Test: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Carry out the manifests' Probes with real packets.",
        discussion: """
            Brings the lab up first where it is not, and takes it down afterwards. 'allow' is passed when the target's \
            own answer came back, 'deny' when the question left the sender, no answer came back, and the target answers \
            in its own namespace. Exit code 1: a probe failed.
            """)

    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var lab: LabOptions
    @OptionGroup var making: MakingOptions
    @Flag(help: "Leave the lab up.") var keep = false
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let topology = try Manifests.topology(manifests, global)
        try requirePrivileges(global)
        Interruption.catchSignals()
        try reporting(global) {
            let lab = try makeLab(topology, self.lab.name(forManifests: manifests.paths), self.lab.store, making)
            let wasUp: Bool
            if case .complete = lab.presence { wasUp = true } else { wasUp = false }
            if wasUp { try lab.requireUp() }
            defer { if !wasUp, !keep { takeDown(lab) } }
            var reports: [Lab.HostReport] = []
            let progress = global
            if !wasUp { reports = try lab.up { progress.note($0) } }
            try lab.startGateways(Programs.beside("vpcgw"))
            let count = topology.probes.count
            global.note("probing: \(count) probe\(count == 1 ? "" : "s")")
            let report = try lab.runProbes()
            show(report, lab)
            guard report.failures.isEmpty else {
                for report in reports {
                    for problem in report.problems { global.error("\(report.host): \(problem)") }
                }
                throw ExitStatus.failed.code
            }
            try vpclab.report(problemsOf: reports, global)
        }
    }

    private func takeDown(_ lab: Lab) {
        do {
            _ = try lab.store.remove(lab.plan.name)
        } catch {
            global.error("\(error); run 'vpclab down --name \(lab.plan.name)'")
        }
    }

    private func show(_ report: ProbeReport, _ lab: Lab) {
        switch output.format {
        case .json: Streams.output(structured(report, lab).json)
        case .table:
            let style = global.outputStyle
            var table = TextTable(["PROBE", "FROM", "TO", "PROTOCOL", "EXPECTED", "SEEN", "TIME", "RESULT"])
            for result in report.results {
                let verdict = result.isPassed ? "passed" : "FAILED"
                table.rows.append([
                    result.name, result.from, result.to, result.transport.words, result.expected.rawValue,
                    result.seen.rawValue, "\(result.time.inMilliseconds) ms",
                    result.reason.isEmpty ? verdict : "\(verdict): \(result.reason)",
                ])
            }
            let lines = table.lines(style: style)
            Streams.outputLine(lines[0])
            for (line, result) in zip(lines.dropFirst(), report.results) {
                Streams.outputLine(result.isPassed ? line : style.red(line))
            }
            Streams.outputLine(report.failures.isEmpty ? style.green(report.summary) : style.red(report.summary))
        }
    }

    private func structured(_ report: ProbeReport, _ lab: Lab) -> StructuredValue {
        let probes = report.results.map { result -> StructuredValue in
            [
                "name": .string(result.name), "from": .string(result.from), "to": .string(result.to),
                "protocol": .string(result.transport.words), "expected": .string(result.expected.rawValue),
                "seen": .string(result.seen.rawValue), "milliseconds": .integer(result.time.inMilliseconds),
                "passed": .boolean(result.isPassed), "reason": .string(result.reason),
            ]
        }
        return [
            "apiVersion": "vpcctl.dev/v1", "kind": "ProbeReport", "lab": .string(lab.plan.name),
            "passed": .integer(report.passed), "failed": .integer(report.failures.count), "probes": .list(probes),
        ]
    }
}

extension Probe.Transport {
    fileprivate var words: String {
        switch self {
        case .icmp: "icmp"
        case .tcp(let port): "tcp \(port)"
        case .udp(let port): "udp \(port)"
        case .sctp(let port): "sctp \(port)"
        }
    }
}

extension Duration {
    fileprivate var inMilliseconds: Int {
        Int(components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000)
    }
}
