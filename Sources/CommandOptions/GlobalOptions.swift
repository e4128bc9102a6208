public import ArgumentParser
public import Console
import Glibc

/// Options that every command of every program has.
public struct GlobalOptions: ParsableArguments, Sendable {
    @Flag(name: .customLong("no-color"), help: "No colours (as with NO_COLOR in the environment).")
    public var noColor = false

    @Flag(name: .shortAndLong, help: "Print every operation.")
    public var verbose = false

    @Flag(name: .shortAndLong, help: "Print errors only.")
    public var quiet = false

    public init() {}

    private func style(for descriptor: Int32) -> Style { noColor ? .plain : .automatic(for: descriptor) }
    public var outputStyle: Style { style(for: STDOUT_FILENO) }
    public var errorStyle: Style { style(for: STDERR_FILENO) }

    /// Progress and remarks: standard error, unless `--quiet`.
    public func note(_ line: String) {
        if !quiet { Streams.errorLine(line) }
    }

    public func error(_ message: String) { Streams.errorLine(errorStyle.red("error:") + " " + message) }
    public func warning(_ message: String) {
        if !quiet { Streams.errorLine(errorStyle.yellow("warning:") + " " + message) }
    }
}

extension ExitStatus {
    /// What a command throws to end with this status.
    public var code: ExitCode { ExitCode(rawValue) }
}
