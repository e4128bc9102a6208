import Console
import Glibc
import Logging
import VPCManifest

/// Logs to standard error, a line a message.
struct DaemonLogHandler: LogHandler {
    enum Form: Sendable {
        /// `2026-01-31T12:00:00.123Z warning: repaired … kind=link`.
        case text
        /// Without a time, which the journal notes itself, and with the priority in front: `<4>repaired … kind=link`
        /// (sd-daemon(3)).
        case journal
        /// `{"kind":"link","level":"warning","message":"repaired …","time":"…"}`.
        case json
    }

    let form: Form
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    init(_ format: AgentConfiguration.Log.Format, level: AgentConfiguration.Log.Level) {
        switch format {
        case .json: form = .json
        case .text: form = Self.isJournal ? .journal : .text
        }
        logLevel =
            switch level {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var values = metadata
        if let more = metadataProvider?.get() { values.merge(more) { $1 } }
        if let more = event.metadata { values.merge(more) { $1 } }
        if let error = event.error { values["error"] = "\(error)" }
        let items = values.map { ($0.key, "\($0.value)") }.sorted { $0.0 < $1.0 }
        Streams.errorLine(line(event.level, "\(event.message)", items))
    }

    private func line(_ level: Logger.Level, _ message: String, _ items: [(String, String)]) -> String {
        switch form {
        case .json:
            let own: [(String, String)] = [("time", Self.now), ("level", level.rawValue), ("message", message)]
            // What a caller names like one of ours stands beside it.
            let names = Set(own.map(\.0))
            let more = items.map { (names.contains($0.0) ? "metadata." + $0.0 : $0.0, $0.1) }
            return StructuredValue.object((own + more).map { StructuredValue.Member($0.0, .string($0.1)) }).compactJSON
        case .journal: return "<\(level.priority)>" + Self.text(message, items)
        case .text: return "\(Self.now) \(level.rawValue): " + Self.text(message, items)
        }
    }

    /// Values that are no single word are quoted; a message stays one line.
    private static func text(_ message: String, _ items: [(String, String)]) -> String {
        let pairs = items.map { name, value in
            let isWord = !value.isEmpty && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3D && $0 < 0x7F }
            return "\(name)=\(isWord ? value : StructuredValue.string(value).compactJSON)"
        }
        let isPlain = message.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
        let shown = isPlain ? message : String(StructuredValue.string(message).compactJSON.dropFirst().dropLast())
        return ([shown] + pairs).joined(separator: " ")
    }

    private static var now: String {
        var moment = timespec()
        clock_gettime(CLOCK_REALTIME, &moment)
        var parts = tm()
        gmtime_r(&moment.tv_sec, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%S", &parts)
        let seconds = String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return seconds + "." + String(1000 + moment.tv_nsec / 1_000_000).dropFirst() + "Z"
    }

    /// Whether standard error is the journal's: JOURNAL_STREAM has its device and inode (systemd.exec(5)).
    private static var isJournal: Bool {
        guard let stream = getenv("JOURNAL_STREAM").map({ String(cString: $0) }) else { return false }
        var status = stat()
        return fstat(STDERR_FILENO, &status) == 0 && stream == "\(status.st_dev):\(status.st_ino)"
    }
}

extension Logger.Level {
    /// Of syslog(3).
    fileprivate var priority: Int {
        switch self {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}
