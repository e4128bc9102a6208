internal import Glibc
internal import VPCModel

/// The text of one manifest file.
public struct ManifestSource: Hashable, Sendable {
    /// What diagnostics call it: its path.
    public var name: String
    public var bytes: [UInt8]

    public init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }

    public init(name: String, text: String) {
        self.init(name: name, bytes: Array(text.utf8))
    }
}

extension ManifestSource {
    /// What the names of a revision's files begin with that have resources made by API. No other file is called so.
    public static let madeByAPI = "api:"

    /// Whether its resources were made by API.
    public var isMadeByAPI: Bool { name.hasPrefix(Self.madeByAPI) }
}

/// A file of a set, as far as it was read.
public struct ManifestFile: Hashable, Sendable {
    public var name: String
    /// Tells whether it is another one later; nil where that cannot be relied upon, because it is so new.
    public var stamp: FileStamp?
    public var size: Int
    /// Nil: its stamp is that which was known, so that it was not read.
    public var bytes: [UInt8]?
}

extension ManifestFile {
    /// Reads one regular file; nil where that cannot be.
    public init?(reading path: String, limits: ManifestLimits) {
        var finder = SourceFinder(limits: limits)
        finder.readFile(path, isRegular: true)
        guard finder.diagnostics.isEmpty, let file = finder.files.first else { return nil }
        self = file
    }
}

/// What changes with the content of a file.
public struct FileStamp: Hashable, Sendable {
    var device: UInt64
    var node: UInt64
    var size: Int64
    /// Nanoseconds since 1970.
    var modified: Int64
    var changed: Int64
}

/// The files of a set as they are read, not yet looked into.
public struct ManifestFiles: Sendable {
    public let files: [ManifestFile]
    /// What could not be read.
    public let diagnostics: [LocatedDiagnostic]
    /// Whether each is a file of its own: none was found under a second name.
    public let isPlain: Bool

    private static let suffixes = [".yaml", ".yml", ".json"]

    /// Whether a file of that name in a directory is read.
    public static func isManifest(_ name: String) -> Bool {
        // Hidden: editors' copies, version control, and the generations below a mounted ConfigMap.
        !name.hasPrefix(".") && suffixes.contains { name.hasSuffix($0) }
    }

    /// Those that were read.
    public var sources: [ManifestSource] {
        files.compactMap { file in file.bytes.map { ManifestSource(name: file.name, bytes: $0) } }
    }

    /// See `ManifestSet.load`.
    /// - Parameter known: Files that need not be read if they still have that stamp, by name.
    public init(
        paths: [String], standardInput: Int32 = 0, limits: ManifestLimits = ManifestLimits(),
        known: [String: FileStamp] = [:]
    ) {
        var finder = SourceFinder(limits: limits, known: known)
        var hasReadInput = false
        for path in paths {
            if path != "-" {
                finder.add(path)
            } else if !hasReadInput {
                finder.read(standardInput, name: "<stdin>")
                hasReadInput = true
            }
        }
        files = finder.files
        diagnostics = finder.diagnostics
        isPlain = !finder.hasDoubles
    }
}

extension FileStamp {
    /// Nil of a file that was changed so lately that a further change could leave it with the same times.
    fileprivate init?(_ status: stat) {
        func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec) }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        (device, node, size) = (UInt64(status.st_dev), UInt64(status.st_ino), Int64(status.st_size))
        (modified, changed) = (nanoseconds(status.st_mtim), nanoseconds(status.st_ctim))
        if nanoseconds(now) - max(modified, changed) < Self.granularity { return nil }
    }

    /// Generous: file systems count in ticks of the kernel, or in whole seconds.
    private static let granularity: Int64 = 2_000_000_000
}

/// Collects the files that `-f` arguments name.
struct SourceFinder {
    let limits: ManifestLimits
    let known: [String: FileStamp]
    private(set) var files: [ManifestFile] = []
    private(set) var diagnostics: [LocatedDiagnostic] = []
    /// What has been read, so that a file named twice is no duplicate of itself, and links form no circle.
    private var seen: Set<FileID> = []
    private(set) var hasDoubles = false
    /// Of all files so far.
    private var byteCount = 0

    private struct FileID: Hashable {
        var device: dev_t
        var node: ino_t
    }

    init(limits: ManifestLimits, known: [String: FileStamp] = [:]) {
        self.limits = limits
        self.known = known
    }

    mutating func add(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return report(path, errno) }
        guard status.st_mode & S_IFMT == S_IFDIR else { return readFile(path) }
        let before = files.count + diagnostics.count
        let seenBefore = seen.count
        addDirectory(path, status)
        if files.count + diagnostics.count == before, seen.count > seenBefore {
            diagnostics.append(
                LocatedDiagnostic(
                    rule: "no-manifests", message: "\(path): the directory holds no manifests",
                    hint: "manifests are files named *.yaml, *.yml or *.json"))
        }
    }

    private mutating func addDirectory(_ path: String, _ status: stat) {
        guard isNew(status) else { return }
        guard let directory = opendir(path) else { return report(path, errno) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            // Nor is what a hidden directory holds.
            if !name.hasPrefix(".") { names.append(name) }
        }
        closedir(directory)
        names.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        for name in names {
            let child = path.hasSuffix("/") ? path + name : path + "/" + name
            let isManifest = ManifestFiles.isManifest(name)
            var status = stat()
            guard stat(child, &status) == 0 else {
                // A dangling link that is no manifest by name is none of our business.
                if isManifest { report(child, errno) }
                continue
            }
            switch status.st_mode & S_IFMT {
            case S_IFDIR: addDirectory(child, status)
            case S_IFREG where isManifest: readFile(child, isRegular: true)
            // By its name it was meant to say something.
            default: if isManifest { reportStream(child) }
            }
        }
    }

    /// A file, whatever its name.
    mutating func addFile(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return report(path, errno) }
        guard status.st_mode & S_IFMT != S_IFDIR else { return report(path, EISDIR) }
        readFile(path)
    }

    private mutating func isNew(_ status: stat) -> Bool {
        let isNew = seen.insert(FileID(device: status.st_dev, node: status.st_ino)).inserted
        if !isNew { hasDoubles = true }
        return isNew
    }

    /// - Parameter isRegular: Whether it was one a moment ago, and shall be one still.
    mutating func readFile(_ path: String, isRegular: Bool = false) {
        let isRegular = isRegular || !limits.allowsStreams
        // A pipe that nobody writes to holds up whoever opens it.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (isRegular ? O_NONBLOCK : 0))
        guard descriptor >= 0 else { return errno == ENXIO ? reportStream(path) : report(path, errno) }
        defer { close(descriptor) }
        var status = stat()
        if isRegular, fstat(descriptor, &status) == 0, status.st_mode & S_IFMT != S_IFREG { return reportStream(path) }
        read(descriptor, name: path)
    }

    private mutating func reportStream(_ path: String) {
        diagnostics.append(
            LocatedDiagnostic(
                rule: "no-file", message: "\(path): this is a pipe, a socket or a device, not a file",
                hint: "put a regular file, or a link to one, in its place"))
    }

    /// Reads a descriptor to its end; it stays open.
    mutating func read(_ descriptor: Int32, name: String) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return report(name, errno) }
        let isRegular = status.st_mode & S_IFMT == S_IFREG
        var stamp: FileStamp?
        if isRegular {
            guard isNew(status) else { return }
            // Taken before reading: what is written meanwhile gives another one.
            stamp = FileStamp(status)
            byteCount = byteCount.addingReportingOverflow(Int(status.st_size)).partialValue
            guard (0...limits.setSize).contains(byteCount) else { return reportSetSize(name) }
            if let stamp, known[name] == stamp {
                files.append(ManifestFile(name: name, stamp: stamp, size: Int(status.st_size), bytes: nil))
                return
            }
        }
        // The size is only a guess: the file may grow meanwhile, and a pipe has none. It is read, not mapped, for a
        // mapped file that another process truncates kills its reader.
        var bytes: [UInt8] = []
        var capacity = isRegular ? min(max(Int(status.st_size), 0), limits.fileSize) + 1 : 1 << 16
        while true {
            var failure: Int32 = 0
            var isAtEnd = false
            let filled = bytes
            bytes = Array(unsafeUninitializedCapacity: capacity) { buffer, count in
                count = filled.withUnsafeBufferPointer { buffer.update(fromContentsOf: $0) }
                while count < buffer.count {
                    let result = Glibc.read(descriptor, buffer.baseAddress.map { $0 + count }, buffer.count - count)
                    if result > 0 {
                        count += result
                    } else if result == 0 {
                        isAtEnd = true
                        break
                    } else if errno != EINTR {
                        failure = errno
                        break
                    }
                }
            }
            if failure != 0 { return report(name, failure) }
            if bytes.count > limits.fileSize {
                diagnostics.append(
                    LocatedDiagnostic(
                        rule: "file-too-large",
                        message: "\(name): the file is larger than \(limits.fileSize >> 20) MiB",
                        hint: "split it into several files"))
                return
            }
            if isAtEnd { break }
            capacity = min(capacity * 2, limits.fileSize + 1)
        }
        files.append(ManifestFile(name: name, stamp: stamp, size: bytes.count, bytes: bytes))
    }

    /// Once: of those that follow nothing is read either.
    private mutating func reportSetSize(_ path: String) {
        byteCount = .max
        if diagnostics.contains(where: { $0.rule == "set-too-large" }) { return }
        diagnostics.append(
            LocatedDiagnostic(
                rule: "set-too-large",
                message: "\(path): with this file the manifests are larger than \(limits.setSize >> 20) MiB",
                hint: "the machine keeps all of them in memory; take out what is no manifest"))
    }

    private mutating func report(_ path: String, _ code: Int32) {
        let reason = strerror(code).map { String(cString: $0) } ?? "error \(code)"
        diagnostics.append(
            LocatedDiagnostic(
                rule: "unreadable", message: "\(path): \(reason.prefix(1).lowercased())\(reason.dropFirst())",
                hint: code == ENOENT && path == "" ? "name a file, a directory or -" : nil))
    }
}
