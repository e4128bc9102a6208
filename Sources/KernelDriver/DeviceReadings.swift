import KernelModel
import KernelNames
import Netlink

/// The devices of a namespace by number, as the kernel told of them.
struct DeviceReadings {
    private(set) var readings: [UInt32: LinkReading] = [:]
    /// Milliseconds, by device; see ``NetlinkSocket/proxyDelays()``.
    var proxyDelays: [UInt32: UInt64] = [:]
    let names: DeviceNames

    init(_ list: [LinkReading] = [], tunnelsBy others: DeviceNames? = nil) {
        names = DeviceNames(list)
        names.others = others
        readings = Dictionary(list.map { ($0.index, $0) }, uniquingKeysWith: { first, _ in first })
    }

    subscript(index: UInt32) -> LinkReading? { readings[index] }

    var indexes: some Collection<UInt32> { readings.keys }

    mutating func set(_ reading: LinkReading) {
        readings[reading.index] = reading
        names[reading.index] = reading.name
    }

    @discardableResult
    mutating func remove(_ index: UInt32) -> LinkReading? {
        names[index] = .none
        proxyDelays[index] = nil
        return readings.removeValue(forKey: index)
    }

    func observed(_ reading: LinkReading, _ owner: Ownership) -> ObservedLink {
        reading.observed(owner, names, proxyDelay: proxyDelays[reading.index])
    }

    /// All of them, by name.
    func observed(_ owner: Ownership) -> [ObservedLink] {
        var links = readings.values.map { observed($0, owner) }
        links.sort { $0.link.name < $1.link.name }
        return links
    }

    /// The devices that name this one as their master or as what they leave by.
    func referring(to index: UInt32) -> [LinkReading] {
        readings.values.filter {
            ($0.master == index || $0.lower == index && !$0.isLowerElsewhere) && $0.index != index
        }
    }
}

/// Which name a device's number has.
final class DeviceNames {
    private var names: [UInt32: InterfaceName]
    /// Whether a number was asked for that no device had.
    private(set) var hasMissed = false
    /// Those of the namespace that tunnels leave by, where that is another one.
    var others: DeviceNames?

    init(_ readings: [LinkReading] = []) {
        names = Dictionary(readings.map { ($0.index, $0.name) }, uniquingKeysWith: { first, _ in first })
    }

    /// The device that another one of the same list names; `.none` for 0 and for one in another namespace.
    func reference(_ index: UInt32) -> InterfaceName { names[index] ?? .none }

    /// `.none` for an unknown number.
    subscript(index: UInt32) -> InterfaceName {
        get {
            if let name = names[index] { return name }
            hasMissed = true
            return .none
        }
        set { names[index] = newValue.isNone ? nil : newValue }
    }

    func forgetMisses() { hasMissed = false }
}

/// By which device each nexthop object of anybody leaves.
struct NexthopDevices {
    enum Source: Hashable {
        case device(UInt32)
        case group
        /// A blackhole.
        case nothing
    }

    private var sources: [NexthopID: Source] = [:]
    private var counts: [UInt32: Int] = [:]

    subscript(id: NexthopID) -> Source? {
        get { sources[id] }
        set {
            if case .device(let index) = sources[id] { counts[index, default: 0] -= 1 }
            if case .device(let index) = newValue { counts[index, default: 0] += 1 }
            sources[id] = newValue
        }
    }

    /// Whether any leaves by this device.
    func has(_ index: UInt32) -> Bool { counts[index, default: 0] > 0 }

    var ids: [NexthopID] { Array(sources.keys) }

    func ids(of source: Source) -> [NexthopID] { sources.filter { $0.value == source }.map(\.key) }
}

extension NexthopReading {
    var source: NexthopDevices.Source {
        if isGroup { return .group }
        return device == 0 ? .nothing : .device(device)
    }
}
