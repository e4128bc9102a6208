package import Foundation
import Glibc

/// One run of a program, to its end.
package struct Run: Sendable {
    package var status: Int32
    package var output: String
    package var error: String

    /// - Parameters:
    ///   - environment: What is added to, or replaced in, the environment of the tests.
    ///   - mergingErrors: Standard error goes where the output goes.
    package init(
        _ command: [String], input: Data = Data(), environment: [String: String] = [:], mergingErrors: Bool = false
    ) throws {
        let (given, output, error) = (try NamelessFile(input), try NamelessFile(), try NamelessFile())
        let program = try Program(
            command, environment: environment, input: given.descriptor, output: output.descriptor,
            error: mergingErrors ? output.descriptor : error.descriptor)
        status = program.wait()
        self.output = output.content
        self.error = error.content
    }

    /// Runs a command that has to succeed.
    /// - Returns: what it printed.
    @discardableResult
    package static func checked(_ command: [String]) throws -> String {
        let run = try Run(command)
        guard run.status == 0 else {
            throw ProgramFailure("\(command.joined(separator: " ")): \(run.error)\(run.output)")
        }
        return run.output
    }

    @discardableResult
    package static func checked(_ command: String...) throws -> String { try checked(command) }

    // MARK: Built programs

    /// They lie beside the test executable.
    package static let folder: URL = {
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count)
        let executable = URL(filePath: String(decoding: path[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
        let beside = executable.deletingLastPathComponent()
        // `swift test` runs the bundle; without it the executable is the toolchain's runner.
        return FileManager.default.fileExists(atPath: beside.appending(path: "vpcctl").path())
            ? beside : checkout.appending(path: ".build/debug")
    }()

    package static func program(_ name: String) -> String { folder.appending(path: name).path() }
}

package let checkout = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..").standardized
package let examples = checkout.appending(path: "Examples")

/// A file without a name, unlike a pipe: whoever writes waits for nobody.
private final class NamelessFile {
    let descriptor: Int32

    init(_ content: Data = Data()) throws {
        var name = Array("\(FileManager.default.temporaryDirectory.path())/program-XXXXXX".utf8CString)
        descriptor = mkstemp(&name)
        guard descriptor >= 0 else { throw ProgramFailure("mkstemp: \(String(cString: strerror(errno)))") }
        unlink(name)
        try handle.write(contentsOf: content)
        lseek(descriptor, 0, SEEK_SET)
    }

    deinit { close(descriptor) }

    private var handle: FileHandle { FileHandle(fileDescriptor: descriptor, closeOnDealloc: false) }

    /// All of it.
    var content: String {
        lseek(descriptor, 0, SEEK_SET)
        return String(decoding: (try? handle.readToEnd()) ?? Data(), as: UTF8.self)
    }
}
