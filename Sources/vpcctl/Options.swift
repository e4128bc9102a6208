import ArgumentParser
import Console
import Glibc

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table
    case wide
    case json
    case yaml
    case name
}

/// Options that every command has.
struct GlobalOptions: ParsableArguments {
    @Flag(name: .customLong("no-color"), help: "No colours (as with NO_COLOR in the environment).")
    var noColor = false

    @Flag(name: .shortAndLong, help: "Print every operation.")
    var verbose = false

    @Flag(name: .shortAndLong, help: "Print errors only.")
    var quiet = false

    func style(for descriptor: Int32) -> Style { noColor ? .plain : .automatic(for: descriptor) }
    var outputStyle: Style { style(for: STDOUT_FILENO) }
    var errorStyle: Style { style(for: STDERR_FILENO) }

    /// Progress and remarks: standard error, unless `--quiet`.
    func note(_ line: String) {
        if !quiet { Streams.errorLine(line) }
    }

    func error(_ message: String) { Streams.errorLine(errorStyle.red("error:") + " " + message) }
    func warning(_ message: String) {
        if !quiet { Streams.errorLine(errorStyle.yellow("warning:") + " " + message) }
    }
}

struct OutputOptions: ParsableArguments {
    @Option(name: [.customShort("o"), .customLong("output")], help: "table, wide, json, yaml or name.")
    var format = OutputFormat.table
}

struct ManifestOptions: ParsableArguments {
    @Option(
        name: [.customShort("f"), .customLong("filename")], parsing: .upToNextOption,
        help: "Manifest files, directories (*.yaml, *.yml, *.json, recursively) or - for standard input.",
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var paths: [String] = []
}

struct HostOption: ParsableArguments {
    @Option(
        name: .customLong("host"),
        help: "The Host to be; by default the one whose underlay address is on this machine.")
    var name: String?
}

extension ExitStatus {
    var code: ExitCode { ExitCode(rawValue) }
}
