import Foundation
import TestSupport
import Testing

/// One run of a built program.
struct Run {
    var status: Int32
    var output: String
    var error: String

    /// The programs lie beside the test executable.
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

    static func vpcctl(_ arguments: String..., input: String = "", before: [String] = []) throws -> Run {
        try Run(before + [folder.appending(path: "vpcctl").path()] + arguments, input: input)
    }

    /// Runs a command to its end, with everything it prints.
    init(_ command: [String], input: String = "") throws {
        let result = try Program.run(command, input: Data(input.utf8))
        status = result.status
        output = String(decoding: result.output, as: UTF8.self)
        error = String(decoding: result.error, as: UTF8.self)
    }
}

let examples = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Examples").standardized
func example(_ name: String) -> String { examples.appending(path: name).path() }
