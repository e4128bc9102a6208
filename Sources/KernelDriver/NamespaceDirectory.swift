import Glibc
import KernelNames
import Netlink

/// Watches the directory of named namespaces with inotify(7), and for its coming where there is none.
struct NamespaceDirectory: ~Copyable {
    /// What has changed.
    enum Changes {
        case names(Set<NamespaceName>)
        /// Nobody can say: look at all of them.
        case any
    }

    let descriptor: Int32
    private var directoryWatch: Int32 = -1
    private var parentWatch: Int32 = -1

    init() throws(NetlinkError) {
        descriptor = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        guard descriptor >= 0 else { throw NetlinkError(errno: errno, operation: "inotify_init1") }
        try watch()
    }

    deinit { close(descriptor) }

    private static let directory = NetworkNamespace.directory
    private static let parent = String(directory[..<(directory.lastIndex(of: "/") ?? directory.startIndex)])

    /// The parent is only watched as long as there is no directory: `/run` is busy.
    private mutating func watch() throws(NetlinkError) {
        if !addDirectory() {
            parentWatch = inotify_add_watch(
                descriptor, Self.parent, UInt32(IN_CREATE) | UInt32(IN_MOVED_TO) | UInt32(IN_ONLYDIR))
            guard parentWatch >= 0 else { throw NetlinkError(errno: errno, operation: "watch \(Self.parent)") }
            // It may have come just now.
            guard addDirectory() else { return }
        }
        if parentWatch >= 0 { inotify_rm_watch(descriptor, parentWatch) }
        parentWatch = -1
    }

    private mutating func addDirectory() -> Bool {
        directoryWatch = inotify_add_watch(
            descriptor, Self.directory,
            UInt32(IN_CREATE) | UInt32(IN_DELETE) | UInt32(IN_MOVED_TO) | UInt32(IN_MOVED_FROM) | UInt32(IN_ONLYDIR))
        return directoryWatch >= 0
    }

    /// What has happened since the last call.
    mutating func changes() throws(NetlinkError) -> Changes {
        var names: Set<NamespaceName> = []
        var isAny = false
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { break }
            guard count > 0 else { throw NetlinkError(errno: errno, operation: "read from inotify") }
            for event in Self.events(buffer[..<count]) {
                if event.mask & UInt32(IN_Q_OVERFLOW) != 0 { isAny = true }
                if event.watch == parentWatch {
                    isAny = isAny || Self.directory.hasSuffix("/" + event.name)
                } else if event.watch == directoryWatch {
                    if event.mask & UInt32(IN_IGNORED) != 0 { isAny = true } else { names.insert(.init(event.name)) }
                }
            }
        }
        if isAny {
            // Adding a watch that is there already gives the same one.
            try watch()
            return .any
        }
        return .names(names)
    }

    private static func events(_ bytes: ArraySlice<UInt8>) -> [(watch: Int32, mask: UInt32, name: String)] {
        var events: [(Int32, UInt32, String)] = []
        bytes.withUnsafeBytes { bytes in
            let header = MemoryLayout<inotify_event>.size
            var position = 0
            while position + header <= bytes.count {
                let event = bytes.loadUnaligned(fromByteOffset: position, as: inotify_event.self)
                let end = min(position + header + Int(event.len), bytes.count)
                let name = String(decoding: bytes[position + header..<end].prefix { $0 != 0 }, as: UTF8.self)
                events.append((event.wd, event.mask, name))
                position = end
            }
        }
        return events
    }
}

/// Tells of mounts: a named namespace is a file first, and only then a namespace is mounted on it, of which inotify does
/// not tell.
final class MountTable {
    /// Has an exceptional condition (EPOLLPRI) when something was mounted or unmounted since it was opened (proc(5)).
    let descriptor: Int32

    init() throws(NetlinkError) {
        descriptor = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw NetlinkError(errno: errno, operation: "open /proc/self/mountinfo") }
    }

    deinit { close(descriptor) }
}
