import Glibc

/// Lines in a file of a bounded size, and in those that were full before: `NAME`, `NAME.1` (the one before) and so on.
struct RecordFile {
    private let path: String
    private let largest: Int
    private let kept: Int
    private var file: OpenFile?

    private final class OpenFile {
        let descriptor: Int32
        init(_ descriptor: Int32) { self.descriptor = descriptor }
        deinit { close(descriptor) }
    }

    /// - Parameters:
    ///   - largest: Bytes of a file.
    ///   - kept: Files that are kept, with the one that is written.
    init(_ path: String, largest: Int = 64 << 20, kept: Int = 16) {
        (self.path, self.largest, self.kept) = (path, largest, kept)
    }

    /// Adds whole lines, all of them or none.
    mutating func append(_ lines: [UInt8]) throws(AgentError) {
        var open = try opened()
        var size = try size(of: open)
        if size > 0, size + lines.count > largest {
            turn()
            open = try opened()
            size = try self.size(of: open)
        }
        var offset = 0
        while offset < lines.count {
            let count = lines.withUnsafeBytes {
                Glibc.write(open.descriptor, $0.baseAddress?.advanced(by: offset), $0.count - offset)
            }
            if count > 0 {
                offset += count
            } else if errno != EINTR {
                let error = AgentError.system("write \(path)")
                // Half a line would spoil the next one.
                _ = ftruncate(open.descriptor, off_t(size))
                throw error
            }
        }
    }

    /// The one of that name: whoever has moved it away gets what comes in another one.
    private mutating func opened() throws(AgentError) -> OpenFile {
        var (there, mine) = (stat(), stat())
        if let file, fstat(file.descriptor, &mine) == 0, stat(path, &there) == 0, there.st_ino == mine.st_ino {
            return file
        }
        try Files.makeDirectory(Files.directory(of: path))
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard descriptor >= 0 else { throw .system("write \(path)") }
        let file = OpenFile(descriptor)
        self.file = file
        guard Files.isRegular(descriptor) else { throw AgentError(.storage, "\(path) is no regular file") }
        return file
    }

    private func size(of file: OpenFile) throws(AgentError) -> Int {
        var status = stat()
        guard fstat(file.descriptor, &status) == 0 else { throw .system("write \(path)") }
        return Int(status.st_size)
    }

    private mutating func turn() {
        file = nil
        for number in (1..<kept).reversed() {
            rename(number == 1 ? path : "\(path).\(number - 1)", "\(path).\(number)")
        }
    }
}
