public import KernelModel
public import KernelNames
public import VPCTopology
public import VPCModel

/// What the compiler has to know of the machine it compiles for.
public struct HostFacts: Sendable, Hashable {
    /// The device that owns the host's underlay address.
    public var underlayDevice: InterfaceName
    /// Bytes. What counts is ``paths``; this only where there are none.
    public var underlayMTU: UInt32
    /// The ways to the other hosts' underlay addresses, by address; none to a host that there is no route to.
    public var paths: [Path]
    /// Guests' namespaces that do not exist.
    public var missingNamespaces: Set<NamespaceName> = []
    /// Devices to adopt that do not exist.
    public var missingDevices: Set<InterfaceName> = []
    /// Devices that are to lead to providers and do not exist.
    public var missingUplinks: Set<InterfaceName> = []
    /// Who answers of those that are watched, wherever they are.
    public var liveness = KnownLiveness()
    /// Devices to adopt that others use, and for what: `it has the address 192.0.2.1/24`.
    public var foreignDevices: [InterfaceName: String] = [:]
    /// Why established connections cannot pass by flowtables; nil where they can.
    public var offloadObstacle: String?

    public init(underlayDevice: InterfaceName, underlayMTU: UInt32, paths: [Path] = []) {
        self.underlayDevice = underlayDevice
        self.underlayMTU = underlayMTU
        self.paths = paths
    }
}

/// Who answers of those that are watched.
public struct KnownLiveness: Sendable, Hashable {
    /// Next hops with `liveness` that do not answer: routes leave them out.
    public var deadNextHops: Set<WatchedNextHop>
    /// Targets of groups with a health check that are healthy, which balancers go by; nil: nobody asks them, so all are used.
    public var healthyTargets: Set<WatchedTarget>?

    public init(deadNextHops: Set<WatchedNextHop> = [], healthyTargets: Set<WatchedTarget>? = nil) {
        self.deadNextHops = deadNextHops
        self.healthyTargets = healthyTargets
    }
}

/// A target that is asked whether it is healthy.
public struct WatchedTarget: Hashable, Sendable {
    /// The name of its target group.
    public var group: String
    /// That of its interface.
    public var interface: String

    public init(group: String, interface: String) {
        self.group = group
        self.interface = interface
    }
}

/// An interface that is to answer, and how.
public struct WatchedNextHop: Hashable, Sendable {
    /// Its name.
    public var interface: String
    public var liveness: NextHop.Liveness

    public init(_ interface: String, _ liveness: NextHop.Liveness) {
        (self.interface, self.liveness) = (interface, liveness)
    }
}

extension HostFacts {
    /// Why there is no guest where an interface is attached; nil where there is one.
    func whyMissing(_ attachment: NetworkInterface.Attachment) -> Compilation.Unattached.Reason? {
        switch attachment {
        case .namespace(let name, _):
            let namespace = NamespaceName(name)
            return missingNamespaces.contains(namespace) ? .noNamespace(namespace) : nil
        case .device(let name):
            guard let device = InterfaceName(name), !missingDevices.contains(device) else { return .noDevice(name) }
            return foreignDevices[device].map { .foreignDevice(device, $0) }
        }
    }
}

/// Why a machine cannot be the host that it is told to be.
public enum HostFactsError: Error, Hashable, Sendable, CustomStringConvertible {
    /// No device has the host's underlay address.
    case addressNotHere(host: String, address: String)
    /// The named underlay device is another one than that which has the address, and which leads to other hosts.
    case deviceWithoutAddress(host: String, device: String, address: String, found: String)
    /// The named underlay device does not exist.
    case noDevice(host: String, device: String)
    /// What is ours is where the host's addresses are, as versions had it that gave a host no namespace of its own.
    case formerLayout(host: String)
    /// The name of the host's network namespace is taken.
    case foreignNamespace(host: String, namespace: String, reason: String)

    public var description: String {
        switch self {
        case .addressNotHere(let host, let address):
            return "underlay address \(address) of host \(host) is not on this machine: no device has it"
        case .deviceWithoutAddress(let host, let device, let address, let found):
            return "underlay device \(device) of host \(host) has not the address \(address): it is on \(found)"
        case .noDevice(let host, let device):
            return "underlay device \(device) of host \(host) does not exist on this machine"
        case .formerLayout(let host):
            return "what an earlier version has made of host \(host) is in the machine's own network namespace; 'vpcctl"
                + " delete --host \(host)' removes it, and then it can be made anew in one of its own"
        case .foreignNamespace(let host, let namespace, let reason):
            return "network namespace \(namespace), which would be host \(host)'s, is somebody else's: \(reason);"
                + " remove it (ip netns del \(namespace)), or give another name in spec.dataPlane.namespace"
        }
    }
}

extension KernelSnapshot {
    /// Whether VRFs or guests' ports of ours are in the machine's own network namespace. Tunnels are made there.
    public var hasFormerLayout: Bool {
        standing.isApart
            && underlay.links.contains { seen in
                switch seen.link.kind {
                case .vrf, .veth: seen.isOwned
                default: false
                }
            }
    }
}

extension HostFacts {
    /// Reads the facts of `host` (a number of `Topology.hosts`) from what was seen.
    public init(of host: Int, in topology: Topology, from snapshot: KernelSnapshot) throws(HostFactsError) {
        let wanted = topology.hosts[host]
        if case .foreign(let name, let reason) = snapshot.standing {
            throw .foreignNamespace(host: wanted.metadata.name, namespace: "\(name)", reason: reason)
        }
        if snapshot.hasFormerLayout { throw .formerLayout(host: wanted.metadata.name) }
        let outside = snapshot.outside
        let holder = outside.foreignAddresses.first { $0.address == wanted.underlayAddress }
        guard let holder, let device = outside.link(named: holder.device) else {
            throw .addressNotHere(host: wanted.metadata.name, address: "\(wanted.underlayAddress)")
        }
        var facts = HostFacts(
            underlayDevice: holder.device, underlayMTU: device.link.mtu ?? 1500, paths: outside.paths)
        try facts.check(wanted, outside)
        for uplink in topology.externalNetworks.flatMap(\.uplinks) where uplink.host == host {
            if let device = InterfaceName(uplink.device), outside.link(named: device) == nil {
                facts.missingUplinks.insert(device)
            }
        }
        for index in topology.interfacesOfHost[host] {
            switch topology.interfaces[index].attachment {
            case .namespace(let name, _):
                let namespace = NamespaceName(name)
                if snapshot.guests[namespace] == nil { facts.missingNamespaces.insert(namespace) }
            case .device(let name):
                guard let device = InterfaceName(name) else { continue }
                // One of ours is nobody's guest: it is about to go, or another interface's.
                let seen = snapshot.host.link(named: device) ?? outside.link(named: device)
                if seen?.isOwned ?? true { facts.missingDevices.insert(device) }
            }
        }
        self = facts
    }

    /// The named device is the one with the address, or an uplink where no packet leaves by the one with the address: then
    /// that is `lo`, or as good as that.
    private func check(_ host: VPCModel.Host, _ snapshot: NamespaceSnapshot) throws(HostFactsError) {
        guard let name = host.underlayDevice, name != underlayDevice.description else { return }
        guard let device = InterfaceName(name), snapshot.link(named: device) != nil else {
            throw .noDevice(host: host.metadata.name, device: name)
        }
        if paths.contains(where: { $0.devices.contains(underlayDevice) }) {
            throw .deviceWithoutAddress(
                host: host.metadata.name, device: name, address: "\(host.underlayAddress)", found: "\(underlayDevice)")
        }
    }
}
