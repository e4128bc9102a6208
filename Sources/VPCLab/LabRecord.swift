import Glibc

/// What a lab has made, on disk before it is made: what `down` may remove, whenever `up` was cut off.
///
/// A file of lines that is only ever appended to; a line is one `write`, so it is there or not. Namespaces are
/// recorded with their cookies, which are never given out twice: one that somebody else made under the same name since
/// is not ours. A record of an earlier start of the machine is void.
struct LabRecord: Sendable {
    /// A namespace that was recorded.
    struct Entry: Sendable, Hashable {
        var role: LabPlan.Role
        /// What users call it.
        var name: String
        var namespace: String
        var cookie: UInt64
    }

    private(set) var entries: [Entry] = []
    /// What the lab was made with.
    private(set) var options = LabPlan.Options()
    /// Random: names that nobody else uses.
    private(set) var token = ""
    /// Whether `up` came to its end.
    private(set) var isComplete = false

    private static let header = "vpclab 1"

    /// - Returns: Nil where there is no record, or only one from before the machine was started.
    init?(readFrom path: String) {
        guard let text = TextFile.read(path) else { return nil }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        // What follows the last newline is a line that was cut off.
        lines = lines.dropLast()
        guard lines.count >= 3, lines[0] == Self.header, lines[1] == "boot \(Self.bootID)" else { return nil }
        for line in lines.dropFirst(2) {
            let words = line.split(separator: " ")
            switch words.first {
            case "token" where words.count == 2: token = String(words[1])
            case "prefix" where words.count == 2: options.prefix = String(words[1])
            case "underlay-mtu" where words.count == 2: options.underlayMTU = UInt32(words[1]) ?? options.underlayMTU
            case "namespace" where words.count == 5:
                guard let role = LabPlan.Role(rawValue: String(words[1])), let cookie = UInt64(words[4]) else {
                    continue
                }
                entries.append(
                    Entry(role: role, name: String(words[2]), namespace: String(words[3]), cookie: cookie))
            case "complete": isComplete = true
            case "changing": isComplete = false
            default: continue  // Of a newer version.
            }
        }
    }

    private init() {}

    /// Begins a record.
    static func begin(at path: String, _ options: LabPlan.Options) throws(LabError) -> LabRecord {
        var record = LabRecord()
        record.options = options
        var generator = SystemRandomNumberGenerator()
        let number = generator.next()
        record.token = String(number, radix: 16)
        var text = "\(header)\nboot \(bootID)\ntoken \(record.token)\nunderlay-mtu \(options.underlayMTU)\n"
        if !options.prefix.isEmpty { text += "prefix \(options.prefix)\n" }
        // In place only when it is whole.
        let part = path + ".part"
        unlink(part)
        try Self.append(text, to: part, creating: true)
        guard rename(part, path) == 0 else { throw .system("write \(path)") }
        return record
    }

    mutating func append(_ entry: Entry, to path: String) throws(LabError) {
        try Self.append(
            "namespace \(entry.role.rawValue) \(entry.name) \(entry.namespace) \(entry.cookie)\n", to: path)
        entries.append(entry)
    }

    mutating func markComplete(_ complete: Bool, in path: String) throws(LabError) {
        try Self.append(complete ? "complete\n" : "changing\n", to: path)
        isComplete = complete
    }

    private static func append(_ text: String, to path: String, creating: Bool = false) throws(LabError) {
        let file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | (creating ? O_CREAT : 0), 0o644)
        guard file >= 0 else { throw .system("open \(path)") }
        defer { close(file) }
        guard write(file, text, text.utf8.count) == text.utf8.count else { throw .system("write \(path)") }
    }

    private static var bootID: String {
        let text = TextFile.read("/proc/sys/kernel/random/boot_id") ?? "unknown"
        return String(text.prefix { $0 != "\n" })
    }
}
