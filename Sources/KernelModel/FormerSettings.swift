import KernelNames

/// What a device of somebody else was before we took it, as it is noted in one of its alternative names: a process that
/// has just started gives it back with all of that.
struct FormerSettings: Hashable {
    var group: UInt32
    var isUp: Bool
    var ipv4: IPv4DeviceConfiguration?
    var proxyDelay: UInt64?
    var ipv6Disabled: Bool
    var addressGeneration: UInt8?

    init(of link: Link) {
        group = link.group
        isUp = link.isUp
        ipv4 = link.ipv4
        proxyDelay = link.proxyDelay
        ipv6Disabled = link.ipv6Disabled ?? true
        addressGeneration = link.addressGeneration
    }

    /// `vpcctl.was.7.g0.u1.e0.a0.p800.i0_0_0_…`: the device's number, so that no two devices have the same one, then what
    /// it was. At most 127 bytes (ALTIFNAMSIZ of linux/if.h), of letters, digits, dots and underscores.
    func note(_ owner: Ownership, index: UInt32) -> String {
        var parts = ["\(index)", "g\(group)", "u\(isUp ? 1 : 0)", "e\(ipv6Disabled ? 1 : 0)"]
        if let addressGeneration { parts.append("a\(addressGeneration)") }
        if let proxyDelay { parts.append("p\(proxyDelay)") }
        if let ipv4 { parts.append("i" + ipv4.noted) }
        return owner.notePrefix + parts.joined(separator: ".")
    }

    /// Nil for what is no such note.
    init?(note: String, _ owner: Ownership) {
        guard note.hasPrefix(owner.notePrefix) else { return nil }
        var values: [Character: Substring] = [:]
        for part in note.dropFirst(owner.notePrefix.count).split(separator: ".").dropFirst() {
            if let letter = part.first { values[letter] = part.dropFirst() }
        }
        guard let group = values["g"].flatMap({ UInt32($0) }), let isUp = values["u"], let isDisabled = values["e"]
        else { return nil }
        self.group = group
        self.isUp = isUp == "1"
        ipv6Disabled = isDisabled == "1"
        addressGeneration = values["a"].flatMap { UInt8($0) }
        proxyDelay = values["p"].flatMap { UInt64($0) }
        ipv4 = values["i"].flatMap { IPv4DeviceConfiguration(noted: $0) }
    }
}

extension IPv4DeviceConfiguration {
    /// Every setting in its order. All but two are small numbers, so that the text stays short.
    fileprivate var noted: String {
        Setting.allCases.map { setting in
            "\(setting == .mediumID || setting == .tag ? self[setting] : min(max(0, self[setting]), 99))"
        }.joined(separator: "_")
    }

    fileprivate init?(noted text: Substring) {
        let values = text.split(separator: "_").compactMap { Int32($0) }
        guard values.count == Setting.allCases.count else { return nil }
        self.init()
        for (setting, value) in zip(Setting.allCases, values) { self[setting] = value }
    }
}

extension ObservedLink {
    /// What the device was before we took it; nil for one that is not ours, and for one of which nobody noted it.
    func former(_ owner: Ownership) -> FormerSettings? {
        (link.notes ?? []).lazy.compactMap { FormerSettings(note: $0, owner) }.first
    }
}

extension Link {
    /// This device of somebody else as it is given back.
    func released(to former: FormerSettings) -> Link {
        var link = self
        link.master = nil
        link.group = former.group
        link.isUp = former.isUp
        link.ipv4 = former.ipv4 ?? ipv4
        link.proxyDelay = former.proxyDelay ?? proxyDelay
        link.ipv6Disabled = former.ipv6Disabled
        link.addressGeneration = former.addressGeneration ?? addressGeneration
        link.notes = []
        return link
    }
}
