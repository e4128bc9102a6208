import ArgumentParser
import CommandOptions

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table
    case wide
    case json
    case yaml
    case name
}

struct OutputOptions: ParsableArguments {
    @Option(name: [.customShort("o"), .customLong("output")], help: "table, wide, json, yaml or name.")
    var format = OutputFormat.table
}

struct HostOption: ParsableArguments {
    @Option(
        name: .customLong("host"),
        help: "The Host to be; by default the one whose underlay address is on this machine.",
        completion: .resourceNames(.host))
    var name: String?
}
