import Glibc
import Netlink

/// Makes a lab's namespaces so that the record always knows them.
///
/// A namespace is made under a random name, recorded with its cookie, and only then given the name that was asked for
/// (a second mount of the same namespace). Whatever is found under that name later is ours, or is not, for certain.
struct NamespaceFactory {
    private let recordPath: String
    private(set) var record: LabRecord

    init(_ store: LabStore, _ plan: LabPlan) throws {
        recordPath = store.recordPath(of: plan.name)
        record = try store.openRecord(of: plan.name, plan.options)
        try record.markComplete(false, in: recordPath)
        try Self.removeScaffold(record)
    }

    var presentNamespaces: Set<String> { Set(record.entries.filter(\.isPresent).map(\.namespace)) }

    mutating func make(_ node: LabPlan.Node) throws {
        let scaffold = Self.scaffold(record)
        let namespace = try NetworkNamespace.create(named: scaffold)
        let entry = LabRecord.Entry(
            role: node.role, name: node.name, namespace: node.namespace, cookie: try namespace.cookie())
        if record.entries.contains(where: { $0.namespace == node.namespace }) {
            Self.removeLeftover(named: node.namespace)
        }
        try record.append(entry, to: recordPath)
        try Self.name(namespace, node.namespace)
        try NetworkNamespace.remove(named: scaffold)
    }

    private static func scaffold(_ record: LabRecord) -> String { "vpclab-" + record.token }

    private static func path(_ name: String) -> String { "\(NetworkNamespace.directory)/\(name)" }

    /// Removes what a run that was killed left half-made.
    static func removeScaffold(_ record: LabRecord) throws {
        if NetworkNamespace.isNameInUse(scaffold(record)) { try NetworkNamespace.remove(named: scaffold(record)) }
    }

    private static func name(_ namespace: NetworkNamespace, _ name: String) throws {
        do throws(NetlinkError) {
            try namespace.named(also: name)
        } catch {
            guard error.errno == EEXIST else { throw error }
            throw LabError(.nameTaken, "network namespace \(name) was made by somebody else just now")
        }
    }

    /// Removes the empty file of a name on which a run that was killed had not yet mounted anything.
    static func removeLeftover(named name: String) {
        var status = stat()
        let file = path(name)
        guard !NetworkNamespace.named(name).exists, lstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            status.st_size == 0
        else { return }
        unlink(file)
    }
}

extension LabRecord.Entry {
    /// Whether the namespace of that name is the one that was made then.
    var isPresent: Bool {
        let namespace = NetworkNamespace.named(namespace)
        guard namespace.exists else { return false }
        return (try? namespace.cookie()) == cookie
    }
}
