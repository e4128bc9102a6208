import Glibc
public import VPCManifest

/// Manifests in a directory or file, watched with inotify(7).
///
/// A change counts when it is complete: a file that is closed after writing, one that is renamed into its place (what
/// editors, `cp` followed by `mv` and mounted ConfigMaps do), one that is removed. When it is read says ``ManifestBurst``.
public final class ManifestDirectory: DesiredStateSource {
    public let path: String
    private let clock: any WaitingClock
    private let inotify: Int32
    private var watches: ManifestWatches
    private var lastRead: ContinuousClock.Instant
    /// Files that were written to and not closed since.
    private var unfinished: [String: ContinuousClock.Instant] = [:]
    private var burst = ManifestBurst()
    /// Manifests that were written to or renamed into their place since the last reading.
    private var touched = TouchedManifests()

    /// How long a writer is waited for who does not close his file.
    private static let patience: Duration = .seconds(10)
    /// How often everything is looked at where not everything can be watched.
    private static let lookInterval: Duration = .seconds(10)

    public convenience init(path: String) throws(AgentError) { try self.init(path: path, SystemClock()) }

    /// - Parameter watchLimit: How many things may be watched.
    init(path: String, _ clock: any WaitingClock, watchLimit: Int = 32_768) throws(AgentError) {
        self.path = path
        self.clock = clock
        lastRead = clock.now
        isWholeFrom = clock.now
        inotify = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        watches = ManifestWatches(inotify: inotify, limit: watchLimit)
        guard inotify >= 0 else { throw .system("inotify_init1") }
        watches.follow(path)
    }

    deinit { close(inotify) }

    /// A file that is renamed into its place is read at once: another one may follow.
    public private(set) var isWholeFrom: ContinuousClock.Instant

    public var name: String { path }
    public var fileDescriptor: Int32 { inotify }

    public func read(known: [String: FileStamp]) -> ManifestFiles {
        noteReading()
        touched = TouchedManifests()
        // Directories and links may have come, or lead elsewhere.
        watches.follow(path)
        return ManifestFiles(paths: [path], limits: .ofDaemon, known: known)
    }

    public func readChanged(_ isKnown: (String) -> Bool) -> [ManifestFile]? {
        guard watches.gap == nil, let names = touched.names, names.allSatisfy(isKnown) else { return nil }
        noteReading()
        touched = TouchedManifests()
        var files: [ManifestFile] = []
        for name in names {
            guard !isLink(name), let file = ManifestFile(reading: name, limits: .ofDaemon) else { return nil }
            files.append(file)
        }
        return files
    }

    private func noteReading() {
        lastRead = clock.now
        isWholeFrom = burst.isWholeFrom ?? isWholeFrom
        burst = ManifestBurst()
    }

    public var warnings: [String] {
        var warnings = watches.openFolders.sorted().map {
            "\($0), on the way to the manifests, can be written to by anybody: whoever does decides on this host's network"
        }
        if let gap = watches.gap {
            warnings.append(
                "not every change of \(path) is heard of (\(gap)): it is looked at every \(Self.lookInterval.components.seconds) s"
            )
        }
        return warnings
    }

    /// How many things are watched.
    var watchCount: Int { watches.count }

    // MARK: Events

    public func noteChanges() throws(AgentError) -> ContinuousClock.Instant? {
        let now = clock.now
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
        if event.mask & UInt32(IN_Q_OVERFLOW) != 0 {
            touched.addOther()
            return burst.add(.other, at: now)
        }
        if event.mask & UInt32(IN_IGNORED) != 0 {
            if watches.forget(event.wd) {
                touched.addOther()
                burst.add(.other, at: now)
            }
            return
        }
        guard let watch = watches[event.wd] else { return }
        // Of what else a folder holds nothing counts.
        if !name.isEmpty, let names = watch.names, !names.contains(name) { return }
        let file = name.isEmpty ? watch.path : watch.path + "/" + name
        noteTouch(of: file, event, name, watch)
        if event.mask & UInt32(IN_MODIFY) != 0 {
            unfinished[file] = now
            return
        }
        unfinished[file] = nil
        // A file that is only made is written to or renamed next; a directory may already hold something.
        if event.mask & UInt32(IN_CREATE) != 0, event.mask & UInt32(IN_ISDIR) == 0, !isLink(file) { return }
        burst.add(change(event, name, watch, file), at: now)
    }

    private func noteTouch(of file: String, _ event: inotify_event, _ name: String, _ watch: ManifestWatches.Watch) {
        if event.mask & UInt32(IN_ISDIR) != 0 || name.isEmpty || watch.names != nil || isLink(file) {
            touched.addOther()
        } else {
            touched.add(file, event, isManifest: ManifestFiles.isManifest(name))
        }
    }

    private func change(
        _ event: inotify_event, _ name: String, _ watch: ManifestWatches.Watch, _ file: String
    ) -> ManifestBurst.Change {
        if event.mask & UInt32(IN_ISDIR) != 0 || name.isEmpty { return .other }
        let hasArrived = event.mask & UInt32(IN_MOVED_TO) != 0
        // Whatever leads to manifests counts, like the hidden link of a mounted ConfigMap.
        let counts = watch.names != nil || ManifestFiles.isManifest(name) || hasArrived && isLink(file)
        if !counts { return .beside }
        if hasArrived { return .arrival(cookie: event.cookie) }
        return event.mask & UInt32(IN_MOVED_FROM) != 0 ? .departure(cookie: event.cookie) : .other
    }

    private func isLink(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }

    private func nextLoad(_ now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        // Somebody who keeps a file open for ever, like a log, holds nothing up.
        unfinished = unfinished.filter { now < $0.value + Self.patience }
        let writers = unfinished.values.max().map { $0 + Self.patience }
        return burst.end(waitingForWriters: writers) ?? (watches.gap == nil ? nil : lastRead + Self.lookInterval)
    }
}
