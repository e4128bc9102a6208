import Glibc

/// The watches of inotify(7) by which any change on the way to a manifest is noticed, wherever links lead.
///
/// A path is followed component by component. Of what lies on the way, a link or a directory, only the thing itself is
/// watched: it tells when it is moved, replaced or removed, and a busy folder around it, such as /tmp, does not wake us. Where
/// a component is missing its folder is watched until it comes, and where a file is, its folder: a file that is renamed
/// into its place is another one. Folders with manifests are watched as a whole.
struct ManifestWatches {
    private let inotify: Int32
    private let limit: Int
    private var watches: [Int32: Watch] = [:]
    /// Of the walk that is under way: what is still needed.
    private var needed: [Int32: Watch] = [:]
    /// What the walk under way has found at a path.
    private var found: [String: Entry] = [:]
    /// Folders that are watched as a whole.
    private var folders: Set<String> = []
    /// Nil where everything is watched, else why not.
    private(set) var gap: String?
    /// Folders on the way in which anybody may put something else in the place of what is there.
    private(set) var openFolders: Set<String> = []

    struct Watch: Equatable {
        var path: String
        /// Names that count; nil: all.
        var names: Set<String>? = []
    }

    private enum Entry {
        case missing
        case file
        case directory
        case link(to: String)
    }

    /// - Parameter limit: How many things may be watched: each takes memory of the kernel's.
    init(inotify: Int32, limit: Int = 32_768) {
        self.inotify = inotify
        self.limit = limit
    }

    /// How many there are.
    var count: Int { watches.count }

    /// The watch that an event belongs to.
    subscript(descriptor: Int32) -> Watch? { watches[descriptor] }

    /// The kernel has taken one back.
    /// - Returns: whether it was still needed.
    mutating func forget(_ descriptor: Int32) -> Bool { watches.removeValue(forKey: descriptor) != nil }

    // MARK: Walking

    /// Watches all that decides on what is read at a path, and nothing else any more.
    mutating func follow(_ path: String) {
        (needed, found, folders, gap, openFolders) = ([:], [:], [], nil, [])
        var pending = [walk(Self.components(path), from: "/")].compactMap(\.self)
        while let folder = pending.popLast() {
            guard folders.insert(folder).inserted, watchFolder(folder, names: nil) else { continue }
            for (name, type) in Self.entries(of: folder) where !name.hasPrefix(".") {
                switch type {
                case DT_DIR: pending.append(Self.path(folder, name))
                // Regular files have what they need: their folder.
                case DT_REG: break
                default: if let inner = walk([name], from: folder) { pending.append(inner) }
                }
            }
        }
        for descriptor in watches.keys where needed[descriptor] == nil { inotify_rm_watch(inotify, descriptor) }
        watches = needed
        (needed, found, folders) = ([:], [:], [])
    }

    /// As many links as the kernel follows (path_resolution(7)).
    private static let mostLinks = 40

    /// - Returns: the folder that the components lead to, without links; nil where that is none.
    private mutating func walk(_ components: [String], from start: String) -> String? {
        var rest = Array(components.reversed())
        var folder = start
        var links = 0
        while let name = rest.popLast() {
            if name == ".." {
                folder = Files.directory(of: folder)
                continue
            }
            let path = Self.path(folder, name)
            switch entry(name, in: folder) {
            case .missing, .file: return nil
            case .directory: folder = path
            case .link(let target):
                links += 1
                if links > Self.mostLinks { return nil }
                if target.hasPrefix("/") { folder = "/" }
                rest += Self.components(target).reversed()
            }
        }
        return folder
    }

    /// Watches a component, and looks what it is: in this order, so that what changes in between is heard of.
    private mutating func entry(_ name: String, in folder: String) -> Entry {
        let path = Self.path(folder, name)
        if let entry = found[path] { return entry }
        for _ in 0..<8 {
            guard let before = Self.status(path) else {
                watchFolder(folder, names: [name])
                if Self.status(path) == nil { return note(.missing, path) }
                continue
            }
            let type = before.st_mode & S_IFMT
            let isOnTheWay = type == S_IFLNK || type == S_IFDIR
            if !isOnTheWay { watchFolder(folder, names: [name]) } else { watchItself(path, type) }
            let target = type == S_IFLNK ? Files.link(at: path) : nil
            guard let after = Self.status(path), after.st_ino == before.st_ino, after.st_dev == before.st_dev,
                type != S_IFLNK || target != nil
            else { continue }
            noteOpenFolder(folder, before)
            return note(target.map { .link(to: $0) } ?? (type == S_IFDIR ? .directory : .file), path)
        }
        gap = "\(path) changes all the time"
        return note(.missing, path)
    }

    private mutating func note(_ entry: Entry, _ path: String) -> Entry {
        found[path] = entry
        return entry
    }

    /// Whose folder is everybody's: in one with the sticky bit nobody replaces what is another's.
    private mutating func noteOpenFolder(_ folder: String, _ entry: stat) {
        guard let status = Self.status(folder), status.st_mode & S_IWOTH != 0 else { return }
        let isProtected = status.st_mode & S_ISVTX != 0 && (entry.st_uid == 0 || entry.st_uid == geteuid())
        if !isProtected { openFolders.insert(folder) }
    }

    // MARK: Watching

    private static let itself = UInt32(IN_DELETE_SELF | IN_MOVE_SELF)
    private static let content = UInt32(
        IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB)

    private mutating func watchItself(_ path: String, _ type: mode_t) {
        // In a folder that is watched as a whole it needs no watch of its own.
        if folders.contains(Files.directory(of: path)) { return }
        // A link that is replaced has one name less: that is all it tells while somebody still holds it.
        let more = type == S_IFLNK ? UInt32(IN_ATTRIB) : 0
        add(path, Self.itself | more | UInt32(IN_DONT_FOLLOW), names: [])
    }

    @discardableResult
    private mutating func watchFolder(_ path: String, names: Set<String>?) -> Bool {
        add(path, Self.itself | Self.content | UInt32(IN_ONLYDIR), names: names)
    }

    /// - Returns: whether it is watched.
    @discardableResult
    private mutating func add(_ path: String, _ mask: UInt32, names: Set<String>?) -> Bool {
        guard needed.count < limit else {
            gap = "there are more than \(limit) folders and links on the way"
            return false
        }
        let descriptor = inotify_add_watch(inotify, path, mask | UInt32(IN_MASK_ADD))
        guard descriptor >= 0 else {
            if errno != ENOENT, errno != ENOTDIR {
                let reason =
                    errno == ENOSPC ? "fs.inotify.max_user_watches is too low" : String(cString: strerror(errno))
                gap = "\(path): \(reason)"
            }
            return false
        }
        var watch = needed[descriptor] ?? Watch(path: path)
        watch.names = names.flatMap { names in watch.names?.union(names) }
        needed[descriptor] = watch
        return true
    }

    // MARK: Paths

    private static func components(_ path: String) -> [String] {
        path.split(separator: "/").map(String.init).filter { $0 != "." }
    }

    private static func path(_ folder: String, _ name: String) -> String {
        folder == "/" ? "/" + name : folder + "/" + name
    }

    private static func status(_ path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }

    /// Names and types (`DT_*`), without the folder itself and the one above.
    private static func entries(of folder: String) -> [(name: String, type: Int)] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var entries: [(String, Int)] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { entries.append((name, Int(entry.pointee.d_type))) }
        }
        return entries
    }
}
