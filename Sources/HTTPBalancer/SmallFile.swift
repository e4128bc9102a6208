import Glibc

/// Small files of an instance, whole.
enum SmallFile {
    /// As large as a file of certificates may be.
    private static let limit = 1 << 20

    /// - Throws: where it cannot be read; what is no regular file is not waited for.
    static func read(_ path: String) throws(BalancerError) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard file >= 0 else { throw .system(path) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw BalancerError("\(path) is no regular file")
        }
        var bytes = [UInt8](repeating: 0, count: Self.limit + 1)
        var count = 0
        while count < bytes.count {
            let more = bytes.withUnsafeMutableBytes {
                Glibc.read(file, $0.baseAddress?.advanced(by: count), $0.count - count)
            }
            if more == 0 { break }
            guard more > 0 || errno == EINTR else { throw .system(path) }
            count += max(0, more)
        }
        guard count <= Self.limit else { throw BalancerError("\(path) is larger than \(Self.limit) bytes") }
        return Array(bytes[..<count])
    }

    static func text(_ path: String) -> String? {
        (try? read(path)).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Puts a file in the place of another, for root alone: whoever reads sees the one or the other.
    static func replace(_ path: String, with bytes: [UInt8]) throws(BalancerError) {
        let temporary = path + ".new"
        try write(bytes, to: temporary)
        guard rename(temporary, path) == 0 else { throw .system("rename \(temporary)") }
    }

    static func write(_ bytes: [UInt8], to path: String) throws(BalancerError) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw .system("write \(path)") }
        defer { close(file) }
        guard Glibc.write(file, bytes, bytes.count) == bytes.count else { throw .system("write \(path)") }
    }

    static func names(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
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

    static func makeDirectory(_ path: String, mode: mode_t) throws(BalancerError) {
        guard mkdir(path, mode) == 0 || errno == EEXIST else { throw .system("make directory \(path)") }
    }

    /// Changes whenever the file is written; nil where there is none.
    static func stamp(_ path: String) -> Stamp? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Stamp(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int(status.st_size),
            seconds: status.st_ctim.tv_sec, nanoseconds: status.st_ctim.tv_nsec)
    }

    struct Stamp: Hashable {
        var device: UInt64
        var inode: UInt64
        var size: Int
        var seconds: Int
        var nanoseconds: Int
    }
}

extension SmallFile {
    /// Of the kernel's, whose size is not told; nil where there is none.
    static func special(_ path: String) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        let count = Glibc.read(file, &bytes, bytes.count)
        return count > 0 ? Array(bytes[..<count]) : nil
    }
}
