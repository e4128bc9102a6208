import Foundation
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
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = command
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let folder = FileManager.default.temporaryDirectory.appending(path: "run-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        // Files, not pipes: whatever is long waits for nobody.
        func file(_ name: String, _ content: Data = Data()) throws -> FileHandle {
            let url = folder.appending(path: name)
            try content.write(to: url)
            return try FileHandle(forUpdating: url)
        }
        process.standardInput = try file("input", input)
        process.standardOutput = try file("output")
        process.standardError = try file("error")
        try process.run()
        process.waitUntilExit()
        status = process.terminationStatus
        output = String(decoding: try Data(contentsOf: folder.appending(path: "output")), as: UTF8.self)
        error = String(decoding: try Data(contentsOf: folder.appending(path: "error")), as: UTF8.self)
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
