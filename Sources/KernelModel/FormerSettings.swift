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
        var (group, isUp, isDisabled): (UInt32?, Bool?, Bool?)
        // Bytes: every device that was taken has one, and characters are dear.
        for part in note.utf8.dropFirst(owner.notePrefix.utf8.count).split(separator: UInt8(ascii: ".")).dropFirst() {
            let value = Substring(part.dropFirst())
            switch part.first {
            case UInt8(ascii: "g"): group = UInt32(value)
            case UInt8(ascii: "u"): isUp = value == "1"
            case UInt8(ascii: "e"): isDisabled = value == "1"
            case UInt8(ascii: "a"): addressGeneration = UInt8(value)
            case UInt8(ascii: "p"): proxyDelay = UInt64(value)
            case UInt8(ascii: "i"): ipv4 = IPv4DeviceConfiguration(noted: value)
            default: break
            }
        }
        guard let group, let isUp, let isDisabled else { return nil }
        self.group = group
        self.isUp = isUp
        ipv6Disabled = isDisabled
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
        let values = text.utf8.split(separator: UInt8(ascii: "_")).compactMap { Int32(Substring($0)) }
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
