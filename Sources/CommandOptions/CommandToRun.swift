public import ArgumentParser
import Console

/// A command of somebody else's that takes the place of ours.
public struct CommandToRun: ParsableArguments {
    @Argument(parsing: .postTerminator, help: "The command, after --.") var words: [String] = []

    public init() {}

    public func validate() throws {
        if words.isEmpty { throw ValidationError("No command: write it behind --.") }
    }

    /// - Parameter start: Replaces this process by the command.
    /// - Throws: `ExitCode` 127 where it cannot be started, as a shell says it.
    public func start(_ global: GlobalOptions, _ start: ([String]) throws -> Never) throws {
        do {
            try start(words)
        } catch {
            global.error("\(error)")
            throw ExitCode(127)
        }
    }
}
