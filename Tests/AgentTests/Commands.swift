import TestSupport
import Testing

/// Runs a command, and returns what it printed.
@discardableResult
func runCommand(_ command: String...) throws -> String {
    let result = try Program.run(command)
    try #require(result.status == 0, "\(command): \(String(decoding: result.error, as: UTF8.self))")
    return String(decoding: result.output, as: UTF8.self)
}
