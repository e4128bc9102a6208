public import KernelModel
public import VPCTopology
import VPCModel

/// What the compiler has to know of the machine it compiles for.
public struct HostFacts: Sendable, Hashable {
    /// The device that owns the host's underlay address.
    public var underlayDevice: InterfaceName
    /// Bytes.
    public var underlayMTU: UInt32
    /// Guests' namespaces that do not exist.
    public var missingNamespaces: Set<NamespaceName>
    /// Devices to adopt that do not exist.
    public var missingDevices: Set<InterfaceName>

    public init(
        underlayDevice: InterfaceName, underlayMTU: UInt32, missingNamespaces: Set<NamespaceName> = [],
        missingDevices: Set<InterfaceName> = []
    ) {
        self.underlayDevice = underlayDevice
        self.underlayMTU = underlayMTU
        self.missingNamespaces = missingNamespaces
        self.missingDevices = missingDevices
    }
}

/// Why a machine cannot be the host that it is told to be.
public enum HostFactsError: Error, Hashable, Sendable, CustomStringConvertible {
    /// No device has the host's underlay address.
    case addressNotHere(host: String, address: String)
    /// The named underlay device does not exist or has not the address.
    case deviceWithoutAddress(host: String, device: String, address: String, found: String?)

    public var description: String {
        switch self {
        case .addressNotHere(let host, let address):
            return "underlay address \(address) of host \(host) is not on this machine: no device has it"
        case .deviceWithoutAddress(let host, let device, let address, let found):
            let where_ = found.map { "it is on \($0)" } ?? "no device has it"
            return "underlay device \(device) of host \(host) has not the address \(address): \(where_)"
        }
    }
}

extension HostFacts {
    /// Reads the facts of `host` (an index into `Topology.hosts`) from what was seen.
    public init(of host: Int, in topology: Topology, from snapshot: KernelSnapshot) throws(HostFactsError) {
        let wanted = topology.hosts[host]
        let holder = snapshot.host.foreignAddresses.first { $0.address == wanted.underlayAddress }
        if let name = wanted.underlayDevice, holder.map(\.device.description) != name {
            throw .deviceWithoutAddress(
                host: wanted.metadata.name, device: name, address: "\(wanted.underlayAddress)",
                found: holder.map(\.device.description))
        }
        guard let holder, let device = snapshot.host.link(named: holder.device) else {
            throw .addressNotHere(host: wanted.metadata.name, address: "\(wanted.underlayAddress)")
        }
        var facts = HostFacts(underlayDevice: holder.device, underlayMTU: device.link.mtu ?? 1500)
        for index in topology.interfacesOfHost[host] {
            switch topology.interfaces[index].attachment {
            case .namespace(let name, _):
                let namespace = NamespaceName(name)
                if snapshot.guests[namespace] == nil { facts.missingNamespaces.insert(namespace) }
            case .device(let name):
                guard let device = InterfaceName(name) else { continue }
                // One of ours is nobody's guest: it is about to go, or another interface's.
                let seen = snapshot.host.link(named: device)
                if seen?.isOwned ?? true { facts.missingDevices.insert(device) }
            }
        }
        self = facts
    }
}
