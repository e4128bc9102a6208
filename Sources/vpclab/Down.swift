import ArgumentParser
import CommandOptions
import Console
import VPCLab
import VPCManifest

struct Down: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Remove all that was made for a lab, and nothing else.",
        discussion: "Also after 'up' was cut off at any point. Nothing to remove is no error.")

    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var lab: LabOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        try requirePrivileges(global)
        try reporting(global) {
            let name = try lab.name(forManifests: manifests.paths)
            let removal = try lab.store.remove(name)
            switch output.format {
            case .json:
                let report: StructuredValue = [
                    "apiVersion": "vpcctl.dev/v1", "kind": "LabRemoval", "lab": .string(name),
                    "removed": .list(removal.removed.sorted().map { .string($0) }),
                    "foreign": .list(removal.foreign.map { .string($0) }),
                ]
                Streams.output(report.json)
            case .table:
                let count = removal.removed.count
                Streams.outputLine("lab \(name): removed \(count) network namespace\(count == 1 ? "" : "s")")
            }
            for foreign in removal.foreign {
                global.note("network namespace \(foreign) was left alone: it is not the one that vpclab made")
            }
        }
    }
}
