import Foundation
import TestSupport
import Testing

/// One run of a program.
struct Run {
    var status: Int32
    var output: String
    var error: String

    /// The built programs lie beside the test executable.
    static let folder: URL = {
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count)
        let executable = URL(filePath: String(decoding: path[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
        let beside = executable.deletingLastPathComponent()
        // `swift test` runs the bundle; without it the executable is the toolchain's runner.
        return FileManager.default.fileExists(atPath: beside.appending(path: "vpcctl").path())
            ? beside
            : URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../.build/debug").standardized
    }()

    static func program(_ name: String) -> String { folder.appending(path: name).path() }

    /// Runs a command to its end, with everything it prints.
    init(_ command: [String], input: Data = Data(), environment: [String: String] = [:]) throws {
        let result = try Program.run(command, input: input, environment: environment)
        status = result.status
        output = String(decoding: result.output, as: UTF8.self)
        error = String(decoding: result.error, as: UTF8.self)
    }

    /// Runs a command that has to succeed.
    @discardableResult
    static func checked(_ command: String..., input: Data = Data()) throws -> String {
        let run = try Run(command, input: input)
        try #require(run.status == 0, "\(command): \(run.error)\(run.output)")
        return run.output
    }
}

/// Runs what blocks its thread on a thread of its own: the server under test needs Swift's few.
func waiting<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result { try body() }) }
    }
}

let examples = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Examples").standardized

/// A script beside the tests, for Debian's own Python.
func script(_ name: String) -> [String] {
    ["/usr/bin/python3", URL(filePath: #filePath).deletingLastPathComponent().appending(path: name).path()]
}
