import ArgumentParser
import CommandOptions
import Console
import Glibc

/// Text in a temporary file that only its user can read, while he has it in an editor.
struct EditedText {
    let path: String
    /// Without the lines above it.
    private(set) var text: String
    private let global: GlobalOptions

    /// What each line above the text begins with.
    private static let mark = "#| "

    /// - Throws: `ExitCode` 1 where there is no room for it.
    init(_ text: String, _ global: GlobalOptions) throws {
        let folder = getenv("TMPDIR").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        // Made with mode 600, and by nobody else.
        var name = (folder + "/vpcctl-edit-XXXXXX.yaml").utf8CString
        let file = name.withUnsafeMutableBufferPointer { name in name.baseAddress.map { mkstemps($0, 5) } ?? -1 }
        guard file >= 0 else { throw Self.failed("make a file in \(folder)", global) }
        close(file)
        path = name.withUnsafeBufferPointer { name in name.baseAddress.map { String(cString: $0) } ?? "" }
        (self.text, self.global) = (text, global)
    }

    /// Has it edited.
    /// - Parameter head: Single lines that stand above it.
    /// - Throws: `ExitCode` 1 where the editor fails.
    mutating func edit(under head: [String]) throws {
        try write(head.map { Self.mark + $0 + "\n" }.joined() + text)
        let quoted = "'" + path.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
        // system(3) leaves the terminal's signals to the editor.
        let status = system("${VISUAL:-${EDITOR:-vi}} " + quoted)
        let edited = try read()
        guard status == 0 else {
            if edited == text { remove() }
            let place = edited == text ? "" : "; your text is in \(path)"
            global.error("the editor has failed: nothing was changed\(place)")
            throw ExitStatus.failed.code
        }
        text = edited
    }

    func remove() { unlink(path) }

    /// What is wrong with the text.
    struct Complaint {
        /// Of the text, from 1; nil where it is about no line.
        var line: Int?
        var message: String
    }

    /// - Parameter text: What is wrong, behind the place in this file, if it has one: `PATH:7:3: …`.
    func complaint(_ text: String) -> Complaint {
        guard text.hasPrefix(path + ":") else { return Complaint(message: text) }
        let parts = text.dropFirst(path.count + 1).split(separator: ":", maxSplits: 2)
        guard parts.count == 3, let line = Int(parts[0]) else { return Complaint(message: text) }
        return Complaint(line: line, message: String(parts[2].drop { $0 == " " }))
    }

    // MARK: The file

    private func write(_ text: String) throws {
        let file = open(path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC)
        guard file >= 0 else { throw Self.failed("write \(path)", global) }
        defer { close(file) }
        let bytes = Array(text.utf8)
        var offset = 0
        while offset < bytes.count {
            let count = bytes[offset...].withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            guard count > 0 else { throw Self.failed("write \(path)", global) }
            offset += count
        }
    }

    /// What is below the lines above.
    private func read() throws -> String {
        let file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard file >= 0 else { throw Self.failed("read \(path)", global) }
        defer { close(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(file, &chunk, chunk.count)
            guard count >= 0 else { throw Self.failed("read \(path)", global) }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        var rest = bytes[...]
        while rest.starts(with: Self.mark.dropLast().utf8) {
            rest = (rest.firstIndex(of: UInt8(ascii: "\n")).map { rest[($0 + 1)...] }) ?? []
        }
        return String(decoding: rest, as: UTF8.self)
    }

    private static func failed(_ operation: String, _ global: GlobalOptions) -> ExitCode {
        let reason = strerror(errno).map { String(cString: $0) } ?? "error \(errno)"
        global.error("\(operation): \(reason)")
        return ExitStatus.failed.code
    }
}
