internal import CLinux
internal import Glibc

/// Mount namespaces (mount_namespaces(7)).
///
/// `ip netns exec` and sandboxes give their child mounts of its own. What is mounted there is not seen outside, and gone
/// with the child.
enum Mounts {
    /// Brings the calling thread, for good, among the mounts of the first process, or of the farthest ancestor whose mounts
    /// are not ours.
    ///
    /// - Parameter directory: Where something is to be mounted that outlives this process.
    /// Whoever has another directory there, in which he sees no names of others, keeps his to himself.
    ///
    /// - Returns: whether it has other mounts now.
    /// - Throws: `EPERM` where ours are a copy of others that are not to be had.
    static func enterOuter(than own: Int32, for directory: String) throws(NetlinkError) -> Bool {
        let identity = identity(of: own)
        let place = Place(directory)
        for process in [1] + ancestors().reversed() {
            let descriptor = OwnedDescriptor(open("/proc/\(process)/ns/mnt", O_RDONLY | O_CLOEXEC))
            guard descriptor.number >= 0 else { continue }
            // There is nothing outside of those.
            if process == 1, self.identity(of: descriptor.number) == identity { return false }
            guard self.identity(of: descriptor.number) != identity else { continue }
            guard linux_enter_mount_namespace(descriptor.number) == 0 else { continue }
            if Place(directory) == place { return true }
            guard linux_enter_mount_namespace(own) == 0 else { throw .system("return to the mounts of this process") }
        }
        guard isCopy(directory) else { return false }
        throw NetlinkError(
            errno: EPERM,
            operation: "leave the mounts of this process, which end with it (CAP_SYS_PTRACE, CAP_SYS_CHROOT)")
    }

    /// Which directory a path leads to; where there is none yet, in which one it would be.
    private struct Place: Equatable {
        var device: UInt64 = 0
        var inode: UInt64 = 0
        var isThere = false

        init(_ path: String) {
            var status = stat()
            isThere = stat(path, &status) == 0
            if !isThere, let slash = path.lastIndex(of: "/") { stat(String(path[..<slash]), &status) }
            (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino))
        }
    }

    private static func identity(of descriptor: Int32) -> UInt64? {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? UInt64(status.st_ino) : nil
    }

    /// The parent first.
    private static func ancestors() -> [Int32] {
        var list: [Int32] = []
        var process = getppid()
        while process > 1, list.count < 64 {
            list.append(process)
            process = parent(of: process) ?? 0
        }
        return list
    }

    /// The fourth field of /proc/PID/stat; the second one, a name in brackets, may hold anything.
    private static func parent(of process: Int32) -> Int32? {
        guard let text = text(of: "/proc/\(process)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.count > 1 ? Int32(fields[1]) : nil
    }

    /// Whether the mount that a directory is in gets what is mounted elsewhere, and gives nothing back
    /// (`master:` of /proc/PID/mountinfo).
    private static func isCopy(_ directory: String) -> Bool {
        guard let text = text(of: "/proc/thread-self/mountinfo") else { return false }
        var best: (length: Int, isCopy: Bool) = (-1, false)
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 6 else { continue }
            let point = fields[4]
            let isAbove = point == "/" || directory == point || directory.hasPrefix(point + "/")
            // Of several at one place the last one is on top.
            guard isAbove, point.utf8.count >= best.length else { continue }
            let options = fields[6...].prefix { $0 != "-" }
            best = (point.utf8.count, options.contains { $0.hasPrefix("master:") })
        }
        return best.isCopy
    }

    private static func text(of path: String) -> String? {
        let descriptor = OwnedDescriptor(open(path, O_RDONLY | O_CLOEXEC))
        guard descriptor.number >= 0 else { return nil }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = read(descriptor.number, &buffer, buffer.count)
            guard count > 0 else { return count == 0 ? String(decoding: bytes, as: UTF8.self) : nil }
            bytes += buffer[..<count]
        }
    }
}
