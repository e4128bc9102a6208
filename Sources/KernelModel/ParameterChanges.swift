import KernelNames

/// What happens to the parameters of a host's namespace: none is created or deleted, and those that the kernel does not have
/// are left out by the observer. They go with the namespace, so nobody notes what they were.
///
/// Before there was a namespace for it a host's VPCs were in the machine's own, and what its parameters had been was noted
/// in alternative names of `lo` (`vpcctl.was.net.ipv4.conf.all.rp_filter=1`). Where all of that is to go, they are given back.
struct ParameterChanges {
    private(set) var replacements: [Replacement<Sysctl>] = []
    private(set) var restored: [Replacement<Sysctl>] = []
    /// The notes go when what they say has been done.
    private(set) var forgetting: [Replacement<Link>] = []

    init(_ intent: NamespaceIntent, _ snapshot: NamespaceSnapshot, _ owner: Ownership) {
        let values = Dictionary(snapshot.sysctls.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
        for wanted in intent.sysctls {
            guard let now = values[wanted.object.path], now != wanted.object else { continue }
            replacements.append(Replacement(old: now, new: wanted.object, origin: wanted.origin))
        }
        guard intent.sysctls.isEmpty, let loopback = snapshot.loopback?.link else { return }
        let notes = (loopback.notes ?? []).compactMap { Sysctl(note: $0, owner) }
        if notes.isEmpty { return }
        for was in notes {
            guard let now = values[was.path], now != was else { continue }
            restored.append(Replacement(old: now, new: was, origin: .none))
        }
        var bare = loopback
        bare.notes = loopback.notes?.filter { Sysctl(note: $0, owner) == nil }
        forgetting = [Replacement(old: loopback, new: bare, origin: .none)]
    }
}

extension Sysctl {
    /// Reads a note of what a parameter was.
    init?(note: String, _ owner: Ownership) {
        let prefix = owner.notePrefix.utf8
        guard note.utf8.starts(with: prefix) else { return nil }
        let rest = note.utf8.dropFirst(prefix.count)
        guard let mark = rest.firstIndex(of: UInt8(ascii: "=")), mark != rest.startIndex,
            rest.index(after: mark) != rest.endIndex
        else { return nil }
        let path = rest[..<mark].map { $0 == UInt8(ascii: ".") ? UInt8(ascii: "/") : $0 }
        self.init(String(decoding: path, as: UTF8.self), String(note[rest.index(after: mark)...]))
    }
}
