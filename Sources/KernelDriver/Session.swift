import CLinux
import KernelNames
import Netlink

/// The connection to one namespace during a commit: a socket, and which devices there are.
final class Session {
    let namespace: NetworkNamespace
    let owner: Ownership
    var socket: NetlinkSocket
    private let refusal: InjectedRefusal?
    private var known: DeviceTable?
    /// Devices that must not be used.
    private var unusable: Set<InterfaceName>
    /// Those of them that were there: somebody else's, of which only settings may change.
    private(set) var spared: [InterfaceName: DeviceTable.Device] = [:]

    init(
        _ namespace: NetworkNamespace, owner: Ownership, without unusable: Set<InterfaceName>,
        _ refusal: InjectedRefusal? = nil
    ) throws(NetlinkError) {
        self.unusable = unusable
        self.namespace = namespace
        self.owner = owner
        self.refusal = refusal
        socket = try NetlinkSocket(in: namespace)
        socket.refusal = refusal
    }

    /// The devices, listed at the first use and kept true by those who change them.
    var devices: DeviceTable {
        get throws(NetlinkError) {
            if let known { return known }
            var table = DeviceTable(try socket.links(), owner)
            for name in unusable {
                spared[name] = table[name]
                table.remove(name)
            }
            known = table
            return table
        }
    }

    /// The devices of these names, and perhaps others.
    func devices(named names: Set<InterfaceName>) throws(NetlinkError) -> DeviceTable {
        if known != nil || names.count > Self.singleQuestions || !unusable.isEmpty { return try devices }
        return DeviceTable(try links(named: names), owner)
    }

    /// The same as the kernel tells of them now.
    func links(named names: Set<InterfaceName>) throws(NetlinkError) -> [LinkReading] {
        if names.count > Self.singleQuestions { return try socket.links() }
        var readings: [LinkReading] = []
        for name in names {
            // The kernel also finds those that have it as another name (altname).
            if let reading = try socket.link(named: name), reading.name == name { readings.append(reading) }
        }
        return readings
    }

    /// From here on one list costs less than so many questions.
    static let singleQuestions = 16

    func add(_ name: InterfaceName, _ device: DeviceTable.Device) { known?.add(name, device) }

    func remove(_ name: InterfaceName) { known?.remove(name) }

    func rename(_ index: UInt32, to name: InterfaceName) { known?.rename(index, to: name) }

    func rule(out name: InterfaceName) {
        unusable.insert(name)
        known?.remove(name)
    }

    func forgetDevices() { known = nil }

    /// Writes a parameter; the calling thread is in the namespace.
    func write(_ path: String, _ value: String) throws(NetlinkError) {
        try refusal?.refuse("write \(path)")
        try ParameterFile.write(path, value)
    }
}

/// The devices of a namespace by name.
struct DeviceTable {
    struct Device {
        var index: UInt32
        /// Whether the alias says that it is ours.
        var isOwned: Bool
    }

    private var devices: [InterfaceName: Device] = [:]
    private var indexes: Set<UInt32> = []
    private var groups: Set<UInt32> = []

    init(_ readings: [LinkReading], _ owner: Ownership) {
        for reading in readings {
            add(reading.name, Device(index: reading.index, isOwned: reading.isOwned(by: owner)))
            groups.insert(reading.group)
        }
    }

    subscript(name: InterfaceName) -> Device? { devices[name] }

    mutating func add(_ name: InterfaceName, _ device: Device) {
        devices[name] = device
        indexes.insert(device.index)
    }

    mutating func remove(_ name: InterfaceName) {
        devices[name] = nil
    }

    mutating func rename(_ index: UInt32, to name: InterfaceName) {
        guard let old = devices.first(where: { $0.value.index == index }) else { return }
        devices[old.key] = nil
        devices[name] = old.value
    }

    /// Numbers for devices that are about to be made, all different and free.
    ///
    /// A device's alias, which says that it is ours, cannot be given with the request that makes it, only with the next
    /// one; and rtnetlink does not stop at the first error. Were that next one addressed by name, it would mark somebody
    /// else's device as ours when the name was already taken. So the device gets a number that we choose, far from those
    /// that the kernel gives by itself, and what follows is addressed by number: it fails when the first request did.
    /// Both travel in one system call, so there is no moment at which a crash leaves a device without its mark.
    /// - Parameter other: Free in that namespace, too.
    func freeIndexes(_ count: Int, and other: DeviceTable? = nil) -> [UInt32] {
        var list: [UInt32] = []
        list.reserveCapacity(count)
        var candidate = Self.firstOwnIndex
        while list.count < count {
            if !indexes.contains(candidate), !(other?.indexes.contains(candidate) ?? false) { list.append(candidate) }
            candidate += 1
        }
        return list
    }

    private static let firstOwnIndex: UInt32 = 1_000_000_001

    /// A device group without members.
    func freeGroup() -> UInt32 {
        var candidate = Self.firstScratchGroup
        while groups.contains(candidate) { candidate += 1 }
        return candidate
    }

    private static let firstScratchGroup: UInt32 = 1_000_000_001
}
