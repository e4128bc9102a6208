/// A setting of net.ipv4.conf of which the kernel takes the greater value of `all` and the device's own: what our devices
/// need cannot be had on them alone.
public struct SharedSetting: Hashable, Sendable {
    public var setting: IPv4DeviceConfiguration.Setting
    /// The greatest value that `all` may have.
    public var most: Int32

    public init(_ setting: IPv4DeviceConfiguration.Setting, most: Int32) {
        self.setting = setting
        self.most = most
    }

    /// Below /proc/sys.
    public var path: String { "net/ipv4/conf/all/\(setting.rawValue)" }
    var defaultPath: String { "net/ipv4/conf/default/\(setting.rawValue)" }
    static let defaultTagPath = "net/ipv4/conf/default/tag"

    /// The parameters that have to be known for these settings.
    public static func paths(of settings: [SharedSetting]) -> [String] {
        settings.flatMap { [$0.path, $0.defaultPath] } + [defaultTagPath]
    }
}

/// What a device of somebody else had of the shared settings before they were raised on it, to keep what it does when `all`
/// is lowered.
///
/// Noted in net.ipv4.conf.DEVICE.tag, a number that the kernel keeps for whoever wants it: it is set in the same message as
/// the settings, and what `default` has goes to every new device together with the raised values.
struct RaisedSettings: Hashable {
    private(set) var former: [IPv4DeviceConfiguration.Setting: Int32] = [:]

    private static let order: [IPv4DeviceConfiguration.Setting] = [
        .reversePathFilter, .sendRedirects, .arpIgnore, .arpFilter,
    ]
    /// The upper half of the number; in the lower half four bits for each setting: 0, or its value and 1.
    private static let mark: Int32 = 0x7663
    private static let greatest: Int32 = 14

    /// Nil where somebody else uses the tag.
    init?(tag: Int32) {
        if tag == 0 { return }
        guard tag >> 16 == Self.mark else { return nil }
        for (position, setting) in Self.order.enumerated() {
            let value = tag >> Int32(4 * position) & 0xF
            if value > 0 { former[setting] = value - 1 }
        }
    }

    /// Notes a value, unless there is an older one.
    mutating func note(_ value: Int32, of setting: IPv4DeviceConfiguration.Setting) {
        if former[setting] == nil { former[setting] = min(max(0, value), Self.greatest) }
    }

    var tag: Int32 {
        if former.isEmpty { return 0 }
        return Self.order.enumerated().reduce(Self.mark << 16) { tag, item in
            tag | (former[item.element].map { $0 + 1 } ?? 0) << Int32(4 * item.offset)
        }
    }
}

extension IPv4DeviceConfiguration {
    /// With at least these values, and a note of what was there.
    func raised(to floors: [Setting: Int32]) -> IPv4DeviceConfiguration {
        var raised = self
        var record = RaisedSettings(tag: self[.tag])
        for (setting, floor) in floors where self[setting] < floor {
            record?.note(self[setting], of: setting)
            raised[setting] = floor
        }
        if let record { raised[.tag] = record.tag }
        return raised
    }

    /// As it was before it was raised to these values. What somebody has changed since stays.
    func lowered(from floors: [Setting: Int32]) -> IPv4DeviceConfiguration {
        guard let record = RaisedSettings(tag: self[.tag]), !record.former.isEmpty else { return self }
        var lowered = self
        for (setting, value) in record.former where self[setting] == floors[setting] { lowered[setting] = value }
        lowered[.tag] = 0
        return lowered
    }
}
