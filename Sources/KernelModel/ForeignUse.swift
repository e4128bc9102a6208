public import KernelNames

/// What others use devices for. Who took one of these for a guest would cut them off.
public struct ForeignUse {
    private let owner: Ownership
    private var addresses: [InterfaceName: Address] = [:]
    private var ports: [InterfaceName: InterfaceName] = [:]
    private var uppers: [UInt32: InterfaceName] = [:]
    private let ownDevices: Set<InterfaceName>

    public init(_ snapshot: NamespaceSnapshot, _ owner: Ownership) {
        self.owner = owner
        ownDevices = Set(snapshot.links.lazy.filter(\.isOwned).map(\.link.name))
        for address in snapshot.foreignAddresses where addresses[address.device] == nil {
            addresses[address.device] = address
        }
        for seen in snapshot.links {
            if let master = seen.link.master { ports[master] = seen.link.name }
            // The ends of a pair name each other, and neither is on top.
            if seen.peerIndex != 0, !seen.isPeerElsewhere, !Self.pairs.contains(seen.kindName) {
                uppers[seen.peerIndex] = seen.link.name
            }
        }
    }

    private static let pairs: Set = ["veth", "netkit", "vxcan"]

    /// Whether we have the device already: as a port, or since we noted what it was.
    public func isAdopted(_ seen: ObservedLink) -> Bool {
        !seen.isOwned && (seen.link.master.map(ownDevices.contains) ?? false || seen.former(owner) != nil)
    }

    /// What keeps the device from being taken, as a clause: `it has the address 192.0.2.1/24`; nil where nobody else uses
    /// it. Of routes nothing is said here.
    public func reason(toSpare seen: ObservedLink) -> String? {
        let name = seen.link.name
        if seen.isOwned { return "it is one of our own" }
        if isAdopted(seen) { return nil }
        if seen.isLoopback { return "it is the loopback device" }
        if let address = addresses[name] { return "it has the address \(address.address)/\(address.prefixLength)" }
        if let master = seen.link.master { return "it is a port of \(master.isNone ? "another device" : "\(master)")" }
        if let port = ports[name] { return "\(port) is a port of it" }
        if let upper = uppers[seen.index] { return "\(upper) is on top of it" }
        return nil
    }
}
