import ArgumentParser
import CommandOptions
import Console
import KernelDriver
import Netlink
import Presentation
import Reconciler
import VPCManifest

struct DoctorCommand: KernelCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Say what this kernel and machine offer and lack, each with its remedy.",
        discussion: """
            'costly' is what makes every packet dearer than need be; nothing is missing, and the exit code is 0. 'unsure' are \
            rules of others that may drop the packets of tunnels: what they ask for cannot be told from here.

            With --witness libnl-3 and libnl-route-3 read this host and its guests as well: links, addresses, neighbours,
            rules, VRF tables and routes. 'DIFFERS' is what it reads otherwise than vpcctl.
            """)

    @Flag(help: "Compare what vpcctl reads of this host with what libnl reads.")
    var witness = false

    @OptionGroup var output: OutputOptions
    @OptionGroup var debug: DebugOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let doctor = Doctor()
        var findings = doctor.environment()
        if findings.allSatisfy(\.isGood) {
            findings += try Kernel.reporting(global) {
                try NetworkNamespace.withTemporary { () throws(NetlinkError) in
                    // First: what is tried asks for connection tracking.
                    let tracking = doctor.unaskedTracking(KernelDriver())
                    return doctor.kernelObjects(KernelDriver()) + [tracking]
                }
            }
            findings += doctor.otherFilters()
            findings += try Kernel.reporting(global) {
                doctor.filters(try HostReconciler(kernel: KernelDriver()).tunnelObstacles())
            }
            if witness { findings += try Kernel.reporting(global) { try WitnessFindings.all() } }
        }
        show(findings)
        if !findings.allSatisfy(\.isGood) { throw ExitStatus.failed.code }
    }

    private func show(_ findings: [Finding]) {
        switch output.format {
        case .json, .yaml:
            let items = findings.map { finding -> StructuredValue in
                [
                    "subject": .string(finding.subject), "good": .boolean(finding.isGood),
                    "costly": .boolean(finding.isCostly), "uncertain": .boolean(finding.isUncertain),
                    "disputed": .boolean(finding.isDisputed),
                    "detail": .string(finding.detail), "remedy": .string(orNull: finding.remedy),
                ]
            }
            let value: StructuredValue = [
                "apiVersion": "vpcctl.dev/v1", "kind": "DoctorReport", "findings": .list(items),
            ]
            Streams.output(output.format == .json ? value.json : value.yaml)
        case .name: for finding in findings where !finding.isGood { Streams.outputLine(finding.subject) }
        case .table, .wide:
            let style = global.outputStyle
            for finding in findings {
                let mark =
                    finding.isCostly || finding.isUncertain
                    ? style.yellow(finding.isCostly ? "costly " : "unsure ")
                    : finding.isGood
                        ? style.green("ok     ") : style.red(finding.isDisputed ? "DIFFERS" : "MISSING")
                Streams.outputLine("\(mark) \(finding.subject): \(finding.detail)")
                if let remedy = finding.remedy { Streams.outputLine("        remedy: \(remedy)") }
            }
        }
    }
}
