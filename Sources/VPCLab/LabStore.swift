import Glibc
import KernelDriver
public import Netlink
import VPCCompiler

/// The folder in which labs are recorded, one folder each.
public struct LabStore: Sendable, Hashable {
    public let path: String

    public static let defaultPath = "/run/vpclab"

    public init(path: String = Self.defaultPath) { self.path = path }

    func folder(of lab: String) -> String { "\(path)/\(lab)" }
    func recordPath(of lab: String) -> String { "\(folder(of: lab))/record" }
    func record(of lab: String) -> LabRecord? { LabRecord(readFrom: recordPath(of: lab)) }

    /// The record, begun where there is none.
    func openRecord(of lab: String, _ options: LabPlan.Options) throws(LabError) -> LabRecord {
        if let record = record(of: lab) { return record }
        return try LabRecord.begin(at: recordPath(of: lab), options)
    }

    /// What a lab was made with; nil where there is none.
    public func options(of lab: String) -> LabPlan.Options? { record(of: lab)?.options }

    /// The labs that have a record, sorted.
    public func labs() -> [String] {
        guard let stream = opendir(path) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != "..", record(of: name) != nil { names.append(name) }
        }
        return names.sorted()
    }

    /// The lab that the namespace belongs to.
    func lab(thatMade namespace: String) -> String? {
        labs().first { name in
            record(of: name)?.entries.contains { $0.namespace == namespace && $0.isPresent } ?? false
        }
    }

    /// A lab's name for manifests at these paths: that of the first file or folder, without its extension.
    public static func name(forManifests paths: [String]) -> String {
        let last = paths.first?.split(separator: "/").last.map(String.init) ?? "lab"
        if last == "-" { return "stdin" }
        if last == "." || last == ".." { return "lab" }
        let stem = last.lastIndex(of: ".").map { last[..<$0] } ?? last[...]
        let isPlain: (Character) -> Bool = { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
        let name = String((stem.isEmpty ? last[...] : stem).map { isPlain($0) ? $0 : "-" })
        return String(name.prefix(64))
    }

    /// Whether `name` can be a lab's: it becomes the name of a folder and of a namespace.
    public static func isName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 64
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
    }

    // MARK: Down

    /// What `down` came across.
    public struct Removal: Sendable, Hashable {
        public var removed: [String] = []
        /// Namespaces that have the names of ours but were made by somebody else since.
        public var foreign: [String] = []

        public init() {}
    }

    /// Removes all that was made for a lab, and nothing else. Nothing to do is no error.
    public func remove(_ lab: String) throws -> Removal {
        guard access(folder(of: lab), F_OK) == 0 else { return Removal() }
        let lock = try LabLock(self, lab)
        defer { lock.unlock() }
        return try removeEverything(of: lab, lock)
    }

    func removeEverything(of lab: String, _ lock: LabLock) throws -> Removal {
        var removal = Removal()
        // They would keep their namespaces.
        GatewayProcess.endAll(in: folder(of: lab))
        if let record = record(of: lab) {
            try NamespaceFactory.removeScaffold(record)
            // The latest first: guests, and with them what is plugged into hosts, before hosts.
            for entry in record.entries.reversed() where !removal.removed.contains(entry.namespace) {
                if entry.isPresent {
                    removal.removed += try Self.remove(entry)
                } else {
                    NamespaceFactory.removeLeftover(named: entry.namespace)
                }
            }
            removal.foreign = Set(record.entries.map(\.namespace)).filter { NetworkNamespace.named($0).exists }.sorted()
        }
        unlink(recordPath(of: lab))
        unlink(recordPath(of: lab) + ".part")
        rmdir(folder(of: lab))
        rmdir(path)  // Stays while there are others.
        return removal
    }

    /// With the one that a host has made for its VPCs.
    /// - Returns: the names of what is gone.
    @discardableResult
    static func remove(_ entry: LabRecord.Entry) throws -> [String] {
        var names = [entry.namespace]
        let kernel = KernelDriver(namespace: .named(entry.namespace))
        if entry.role == .host, let own = try kernel.ownNamespace(of: Conventions.ownership) {
            names.insert(own.rawValue, at: 0)
        }
        for name in names { try NetworkNamespace.remove(named: name) }
        return names
    }

    // MARK: Nodes

    /// The namespace of a host or guest.
    public func namespace(of name: String, in lab: String) throws(LabError) -> NetworkNamespace {
        guard let record = record(of: lab) else { throw LabError(.notUp, "lab \(lab) is not up") }
        let present = record.entries.filter(\.isPresent)
        guard let entry = present.first(where: { $0.name == name }) ?? present.first(where: { $0.namespace == name })
        else {
            if let own = present.first(where: { $0.role == .host && "vpc-\($0.name)" == name }).flatMap(Self.own) {
                return own
            }
            let names = present.map(\.name).joined(separator: ", ")
            throw LabError(.unknownNode, "lab \(lab) has no host or guest \(name)", hint: "there are: \(names)")
        }
        return .named(entry.namespace)
    }

    /// The one that a host has made for its VPCs.
    private static func own(of host: LabRecord.Entry) -> NetworkNamespace? {
        let kernel = KernelDriver(namespace: .named(host.namespace))
        return (try? kernel.ownNamespace(of: Conventions.ownership)).flatMap { $0.map { .named($0.rawValue) } }
    }
}

/// Keeps others of us away from a lab that is being changed: a lock on its folder, which ends with the process.
final class LabLock {
    private var descriptor: Int32 = -1

    init(_ store: LabStore, _ lab: String) throws(LabError) {
        let folder = store.folder(of: lab)
        while true {
            for path in [store.path, folder] where mkdir(path, 0o755) != 0 && errno != EEXIST {
                throw .system("create \(path)")
            }
            descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            if descriptor < 0, errno == ENOENT { continue }
            guard descriptor >= 0 else { throw .system("open \(folder)") }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                close(descriptor)
                throw LabError(.busy, "another vpclab is at work on lab \(lab)", hint: "wait for it to end")
            }
            // Whoever had it may have removed the folder.
            var (mine, current) = (stat(), stat())
            if fstat(descriptor, &mine) == 0, stat(folder, &current) == 0, mine.st_ino == current.st_ino { return }
            close(descriptor)
        }
    }

    func unlock() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    deinit { unlock() }
}
