package import Glibc
import VPCManifest

/// Files as a daemon needs them: whole, and on the disk when it says so.
package enum Files {
    /// Writes a new file and waits until the disk has it.
    static func write(_ bytes: [UInt8], to path: String, mode: mode_t = 0o640) throws(AgentError) {
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard file >= 0 else { throw .system("write \(path)") }
        defer { close(file) }
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(file, $0.baseAddress?.advanced(by: offset), $0.count - offset)
            }
            if count > 0 {
                offset += count
            } else if errno != EINTR {
                throw .system("write \(path)")
            }
        }
        guard fsync(file) == 0 else { throw .system("write \(path)") }
    }

    /// Puts a file in the place of another: whoever reads sees the one or the other, also after a power failure.
    static func replace(_ path: String, with bytes: [UInt8], mode: mode_t = 0o640) throws(AgentError) {
        let temporary = path + ".new"
        unlink(temporary)
        do throws(AgentError) {
            try write(bytes, to: temporary, mode: mode)
            guard rename(temporary, path) == 0 else { throw .system("rename \(temporary)") }
        } catch {
            unlink(temporary)
            throw error
        }
        try sync(directory: Self.directory(of: path))
    }

    /// Waits until the disk has the names in a directory.
    static func sync(directory path: String) throws(AgentError) {
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw .system("open \(path)") }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw .system("write \(path)") }
    }

    /// The whole content; nil where there is no such file.
    ///
    /// What is no regular file is an error, at once: a pipe would have us wait for its writer, a device might never end.
    static func read(_ path: String, limit: Int = largest) throws(AgentError) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
        if file < 0, errno == ENOENT { return nil }
        // A link, a socket.
        if file < 0, errno == ELOOP || errno == ENXIO { throw AgentError(.storage, "\(path) is no regular file") }
        guard file >= 0 else { throw .system("read \(path)") }
        defer { close(file) }
        guard isRegular(file) else { throw AgentError(.storage, "\(path) is no regular file") }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count > 0 {
                bytes += chunk[..<count]
                guard bytes.count <= limit else {
                    throw AgentError(.storage, "\(path) is larger than \(limit) bytes")
                }
            } else if errno != EINTR {
                throw .system("read \(path)")
            }
        }
    }

    /// As large as a manifest may be.
    static let largest = ManifestLimits().fileSize

    static func isRegular(_ file: Int32) -> Bool {
        var status = stat()
        return fstat(file, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    /// What a symbolic link says; nil where there is none.
    static func link(at path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = buffer.withUnsafeMutableBytes { bytes in
            bytes.bindMemory(to: CChar.self).baseAddress.map { readlink(path, $0, bytes.count) } ?? -1
        }
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// Makes a directory and those above it that are missing.
    package static func makeDirectory(_ path: String, mode: mode_t = 0o750) throws(AgentError) {
        var status = stat()
        if stat(path, &status) == 0 {
            if status.st_mode & S_IFMT == S_IFDIR { return }
            throw AgentError(.storage, "\(path) is no directory")
        }
        let parent = directory(of: path)
        if parent != path { try makeDirectory(parent, mode: 0o755) }
        guard mkdir(path, mode) == 0 || errno == EEXIST else { throw .system("make directory \(path)") }
    }

    /// The names in a directory, sorted.
    static func names(in path: String) throws(AgentError) -> [String] {
        guard let directory = opendir(path) else { throw .system("read \(path)") }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Removes a directory with all that is in it; one that is not there is as good as removed.
    static func removeTree(_ path: String) throws(AgentError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in try names(in: path) { try removeTree(path + "/" + name) }
            guard rmdir(path) == 0 || errno == ENOENT else { throw .system("remove \(path)") }
        } else {
            guard unlink(path) == 0 || errno == ENOENT else { throw .system("remove \(path)") }
        }
    }

    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

extension AgentError {
    /// The error of the system call that has just failed on this thread.
    static func system(_ operation: String, code: Code = .storage, _ number: Int32 = errno) -> AgentError {
        let reason = strerror(number).map { String(cString: $0) } ?? "error \(number)"
        return AgentError(code, "\(operation): \(reason)")
    }
}
