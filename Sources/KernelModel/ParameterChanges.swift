import KernelNames

/// What happens to the parameters of a host's namespace (none is created or deleted; those that the kernel does not have
/// are left out by the observer), and to devices of others because of it.
///
/// What a parameter was is noted first, in an alternative name of `lo` (`vpcctl.was.net.ipv4.conf.all.rp_filter=1`), so that
/// whoever removes what is ours gives it back. Where `all` is lowered, every device of others and `default` are raised
/// before to what they had by it, and lowered again after `all` has its value back: what they filter is at no time less.
struct ParameterChanges {
    /// The notes are made.
    var noting: [Replacement<Link>] = []
    var raisedDefaults: [Replacement<Sysctl>] = []
    var raisedDevices: [Replacement<Link>] = []
    var replacements: [Replacement<Sysctl>] = []

    // What is given back.
    var restored: [Replacement<Sysctl>] = []
    var loweredDevices: [Replacement<Link>] = []
    var loweredDefaults: [Replacement<Sysctl>] = []
    var forgetting: [Replacement<Link>] = []

    private let intent: NamespaceIntent
    private let snapshot: NamespaceSnapshot
    private let owner: Ownership
    private let suspects: ChangedKeys<InterfaceName>
    private var values: [String: String]
    private var notes: [String: String] = [:]
    /// What devices had at least by `all`.
    private var floors: [IPv4DeviceConfiguration.Setting: Int32] = [:]

    /// - Parameter taken: Devices that are planned otherwise.
    /// - Parameter suspects: Which devices may not be as they shall be.
    init(
        _ intent: NamespaceIntent, _ snapshot: NamespaceSnapshot, _ owner: Ownership, taken: Set<InterfaceName>,
        suspects: ChangedKeys<InterfaceName> = .any
    ) {
        self.suspects = suspects
        self.intent = intent
        self.snapshot = snapshot
        self.owner = owner
        values = Dictionary(snapshot.sysctls.map { ($0.path, $0.value) }, uniquingKeysWith: { first, _ in first })
        let loopback = snapshot.loopback
        for note in loopback?.link.notes ?? [] {
            if let sysctl = Sysctl(note: note, owner) { notes[sysctl.path] = sysctl.value }
        }
        let former = notes
        planShared()
        planOthers()
        if !intent.sharedSettings.isEmpty { raiseDevices(taken) }
        let remaining = planRestoring(taken)
        guard let loopback else { return }
        let noted = loopback.link.with(notes: notes, owner)
        if notes != former { noting = [Replacement(old: loopback.link, new: noted, origin: intent.parameterOrigin)] }
        if remaining != notes {
            forgetting = [
                Replacement(old: noted, new: noted.with(notes: remaining, owner), origin: intent.parameterOrigin)
            ]
        }
    }

    /// A device of somebody else that is given back has what `all` no longer gives it, or what it had before.
    func settled(_ release: Replacement<Link>) -> Replacement<Link> {
        var settled = release
        let isRemoval = intent.sharedSettings.isEmpty
        settled.new.ipv4 = isRemoval ? release.new.ipv4?.lowered(from: floors) : release.new.ipv4?.raised(to: floors)
        return settled
    }

    // MARK: - Apply

    private mutating func planShared() {
        let isWanted = !intent.sharedSettings.isEmpty
        for shared in isWanted ? intent.sharedSettings : intent.formerSharedSettings {
            guard let now = number(shared.path) else { continue }
            floors[shared.setting] = notes[shared.path].flatMap { Int32($0) }
            if now <= shared.most || !isWanted { continue }
            floors[shared.setting] = now
            replace(shared.path, "\(shared.most)", in: .replacements)
        }
        if isWanted { raiseDefaults() }
    }

    /// What new devices get.
    private mutating func raiseDefaults() {
        for shared in intent.sharedSettings {
            guard let floor = floors[shared.setting], let now = number(shared.defaultPath), now < floor else {
                continue
            }
            if notes[shared.defaultPath] == nil { notes[shared.defaultPath] = "\(now)" }
            replace(shared.defaultPath, "\(floor)", in: .raisedDefaults, noting: false)
        }
        guard let tag = number(SharedSetting.defaultTagPath), var record = RaisedSettings(tag: tag) else { return }
        for shared in intent.sharedSettings {
            if let was = notes[shared.defaultPath].flatMap({ Int32($0) }) { record.note(was, of: shared.setting) }
        }
        if record.tag == tag { return }
        notes[SharedSetting.defaultTagPath] = "0"
        replace(SharedSetting.defaultTagPath, "\(record.tag)", in: .raisedDefaults, noting: false)
    }

    private mutating func raiseDevices(_ taken: Set<InterfaceName>) {
        // What `all` is to give no longer, any device may have by it.
        let links = replacements.isEmpty && raisedDefaults.isEmpty ? snapshot.links(at: suspects) : snapshot.links
        for seen in links where !seen.isOwned && !taken.contains(seen.link.name) {
            var raised = seen.link
            raised.ipv4 = seen.link.ipv4?.raised(to: floors)
            if raised == seen.link { continue }
            raisedDevices.append(Replacement(old: seen.link, new: raised, origin: intent.parameterOrigin))
        }
    }

    private mutating func planOthers() {
        for wanted in intent.sysctls {
            guard let now = values[wanted.object.path], now != wanted.object.value else { continue }
            replace(wanted.object.path, wanted.object.value, in: .replacements, from: wanted.origin)
        }
    }

    private mutating func replace(
        _ path: String, _ value: String, in list: List, noting: Bool = true, from origin: Origin? = nil
    ) {
        guard let now = values[path], now != value else { return }
        // What somebody has set last is what he gets back.
        if noting { notes[path] = now }
        let replacement = Replacement(
            old: Sysctl(path, now), new: Sysctl(path, value), origin: origin ?? intent.parameterOrigin)
        switch list {
        case .replacements: replacements.append(replacement)
        case .raisedDefaults: raisedDefaults.append(replacement)
        case .restored: restored.append(replacement)
        case .loweredDefaults: loweredDefaults.append(replacement)
        }
    }

    private enum List {
        case replacements
        case raisedDefaults
        case restored
        case loweredDefaults
    }

    // MARK: - Giving back

    /// - Returns: The notes that are kept.
    private mutating func planRestoring(_ taken: Set<InterfaceName>) -> [String: String] {
        let defaults = Set(intent.formerSharedSettings.map(\.defaultPath) + [SharedSetting.defaultTagPath])
        var kept: [String: String] = [:]
        for (path, value) in notes.sorted(by: { $0.key < $1.key }) {
            if isWanted(path) || values[path] == nil {
                kept[path] = value
            } else if isOurs(path) {
                replace(
                    path, value, in: defaults.contains(path) ? .loweredDefaults : .restored, noting: false)
            }
        }
        if !intent.sharedSettings.isEmpty || notes.isEmpty { return kept }
        for seen in snapshot.links where !seen.isOwned && !taken.contains(seen.link.name) {
            var lowered = seen.link
            lowered.ipv4 = seen.link.ipv4?.lowered(from: floors)
            if lowered == seen.link { continue }
            loweredDevices.append(Replacement(old: seen.link, new: lowered, origin: .none))
        }
        return kept
    }

    private func isWanted(_ path: String) -> Bool {
        intent.sysctls.contains { $0.object.path == path }
            || !intent.sharedSettings.isEmpty && SharedSetting.paths(of: intent.sharedSettings).contains(path)
    }

    /// Whether a parameter still has the value that we gave it: what somebody has changed since stays.
    private func isOurs(_ path: String) -> Bool {
        if let sysctl = intent.formerSysctls.first(where: { $0.path == path }) { return values[path] == sysctl.value }
        if path == SharedSetting.defaultTagPath { return number(path).flatMap { RaisedSettings(tag: $0) } != nil }
        for shared in intent.formerSharedSettings {
            if path == shared.path { return number(path).map { $0 <= shared.most } ?? false }
            if path == shared.defaultPath { return number(path) == floors[shared.setting] }
        }
        return true
    }

    private func number(_ path: String) -> Int32? { values[path].flatMap { Int32($0) } }
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
        let path = Self.exchanged(rest[..<mark], UInt8(ascii: "."), by: UInt8(ascii: "/"))
        self.init(path, String(note[rest.index(after: mark)...]))
    }

    func note(_ owner: Ownership) -> String {
        owner.notePrefix + Self.exchanged(path.utf8[...], UInt8(ascii: "/"), by: UInt8(ascii: ".")) + "=" + value
    }

    /// Bytes, not characters: notes are read with every plan.
    private static func exchanged(_ text: Substring.UTF8View, _ old: UInt8, by new: UInt8) -> String {
        String(decoding: text.map { $0 == old ? new : $0 }, as: UTF8.self)
    }
}

extension Link {
    fileprivate func with(notes: [String: String], _ owner: Ownership) -> Link {
        var link = self
        link.notes = notes.map { Sysctl($0.key, $0.value).note(owner) }.sorted()
        return link
    }
}
