import Glibc
public import VPCManifest

/// Manifests in a directory or file, watched with inotify(7).
///
/// A change counts when it is complete: a file that is closed after writing, one that is renamed into its place (what
/// editors, `cp` followed by `mv` and mounted ConfigMaps do), one that is removed. What follows within a moment belongs
/// to it, and as long as somebody writes into a file, nothing is read.
public final class ManifestDirectory: DesiredStateSource {
    public let path: String
    private let inotify: Int32
    /// The path of every watched directory, by watch descriptor.
    private var watched: [Int32: String] = [:]
    /// Files that were written to and not closed since.
    private var unfinished: [String: ContinuousClock.Instant] = [:]
    private var firstChange: ContinuousClock.Instant?
    private var lastChange = ContinuousClock.now

    /// Quiet that ends a burst of changes, and how long a burst may go on.
    private static let quiet: Duration = .milliseconds(100)
    private static let longest: Duration = .seconds(2)
    /// How long a writer is waited for who does not close his file.
    private static let patience: Duration = .seconds(10)

    public init(path: String) throws(AgentError) {
        self.path = path
        inotify = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        guard inotify >= 0 else { throw .system("inotify_init1") }
        watch()
    }

    deinit { close(inotify) }

    public var name: String { path }
    public var fileDescriptor: Int32 { inotify }

    public func read(known: [String: FileStamp]) -> ManifestFiles {
        firstChange = nil
        // Directories may have come, or the one that was missing.
        watch()
        return ManifestFiles(paths: [path], known: known)
    }

    // MARK: Watching

    private static let events = UInt32(
        IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF
            | IN_MOVE_SELF | IN_ATTRIB)

    /// Watches every directory below the path, and the nearest that exists above it: the path itself may be a file, or
    /// missing, or be exchanged as a whole.
    private func watch() {
        var above = Files.directory(of: path)
        while access(above, F_OK) != 0, above != "/" { above = Files.directory(of: above) }
        add(above)
        watchTree(path)
    }

    private func watchTree(_ directory: String) {
        var status = stat()
        guard stat(directory, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, add(directory) else { return }
        guard let names = try? Files.names(in: directory) else { return }
        // Hidden ones too: behind the name `..data` a ConfigMap is exchanged, but there is nothing to read below.
        for name in names where !name.hasPrefix(".") { watchTree(directory + "/" + name) }
    }

    /// - Returns: Whether the directory was not watched before.
    @discardableResult
    private func add(_ directory: String) -> Bool {
        let descriptor = inotify_add_watch(inotify, directory, Self.events | UInt32(IN_ONLYDIR))
        guard descriptor >= 0 else { return false }
        return watched.updateValue(directory, forKey: descriptor) != directory
    }

    public func noteChanges() throws(AgentError) -> ContinuousClock.Instant? {
        let now = ContinuousClock.now
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(inotify, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { break }
            guard count > 0 else { throw .system("read from inotify") }
            buffer.withUnsafeBytes { take($0[..<count], now) }
        }
        return nextLoad(now)
    }

    private func take(_ bytes: Slice<UnsafeRawBufferPointer>, _ now: ContinuousClock.Instant) {
        let header = MemoryLayout<inotify_event>.size
        var rest = UnsafeRawBufferPointer(rebasing: bytes)
        while rest.count >= header {
            let event = rest.loadUnaligned(as: inotify_event.self)
            let end = min(header + Int(event.len), rest.count)
            let name = String(decoding: rest[header..<end].prefix { $0 != 0 }, as: UTF8.self)
            take(event, name, now)
            rest = UnsafeRawBufferPointer(rebasing: rest[end...])
        }
    }

    private func take(_ event: inotify_event, _ name: String, _ now: ContinuousClock.Instant) {
        if event.mask & UInt32(IN_Q_OVERFLOW) != 0 { return note(now) }
        if event.mask & UInt32(IN_IGNORED) != 0 {
            watched[event.wd] = nil
            return note(now)
        }
        guard let directory = watched[event.wd] else { return }
        let file = name.isEmpty ? directory : directory + "/" + name
        // Of what is beside the path nothing counts.
        guard file == path || file.hasPrefix(path + "/") || path.hasPrefix(file + "/") || file == "/" else { return }
        if event.mask & UInt32(IN_MODIFY) != 0 {
            unfinished[file] = now
            return
        }
        unfinished[file] = nil
        // A file that is only made is written to or renamed next; a directory may already hold something.
        if event.mask & UInt32(IN_CREATE) != 0, event.mask & UInt32(IN_ISDIR) == 0, !isLink(file) { return }
        note(now)
    }

    private func isLink(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }

    private func note(_ now: ContinuousClock.Instant) {
        if firstChange == nil { firstChange = now }
        lastChange = now
    }

    private func nextLoad(_ now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        // Somebody who keeps a file open for ever, like a log, holds nothing up.
        unfinished = unfinished.filter { now < $0.value + Self.patience }
        guard let firstChange else { return nil }
        let writers = unfinished.values.max().map { $0 + Self.patience }
        return writers ?? min(lastChange + Self.quiet, firstChange + Self.longest)
    }
}
