public import KernelNames

/// A flowtable: the way of connections past the rules (`NFT_MSG_NEWFLOWTABLE`).
///
/// A packet that comes by one of its devices, and belongs to a connection that a rule has put into it
/// (``NFStatement/offload(to:)``), leaves at once by the device that the connection's route had: no hook behind ingress sees
/// it. A device is in one flowtable at most.
public struct NFFlowtable: Hashable, Sendable {
    public var name: String
    /// Lower is earlier among what else hooks ingress.
    public var priority: Int32
    /// Sorted. Each has to exist.
    public var devices: [InterfaceName]
    /// Whether packets and bytes of its connections go on being counted (`NFT_FLOWTABLE_COUNTER`).
    public var counts: Bool
    public var origin: Origin

    public init(
        _ name: String, priority: Int32 = 0, devices: [InterfaceName] = [], counts: Bool = true, origin: Origin = .none
    ) {
        self.name = name
        self.priority = priority
        self.devices = devices.sorted()
        self.counts = counts
        self.origin = origin
    }

    /// NFT_FLOWTABLE_COUNTER, or none.
    package var flags: UInt32 { counts ? 2 : 0 }
}

/// A flowtable as it was seen.
public struct NFObservedFlowtable: Hashable, Sendable {
    public var name: String
    public var priority: Int32
    /// Sorted. A device that is deleted leaves it without a word.
    public var devices: [InterfaceName]
    /// `NFT_FLOWTABLE_*`.
    public var flags: UInt32

    public init(name: String, priority: Int32 = 0, devices: [InterfaceName] = [], flags: UInt32 = 0) {
        self.name = name
        self.priority = priority
        self.devices = devices
        self.flags = flags
    }

    /// Whether it becomes `wanted` by getting devices and losing some.
    package func hasForm(of wanted: NFFlowtable) -> Bool { priority == wanted.priority && flags == wanted.flags }
}
