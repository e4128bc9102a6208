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

/// Of commands that talk to the kernel themselves.
struct DebugOptions: ParsableArguments {
    @Flag(
        name: .customLong("debug-netlink"),
        help: "Print every netlink message to and from the kernel on standard error. What an agent does is not shown.")
    var netlink = false
}

/// A command that talks to the kernel, where no agent does it for it.
protocol KernelCommand: ParsableCommand {
    var debug: DebugOptions { get }
}
