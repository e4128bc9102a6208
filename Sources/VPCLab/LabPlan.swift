public import IPAddressing
public import KernelNames
public import VPCTopology
import VPCModel

/// What a lab consists of: which namespaces, what they are called, who is in them. A pure function of the topology.
public struct LabPlan: Sendable {
    /// The lab's own name.
    public let name: String
    /// The topology with the namespaces' real names in it: what is applied to the hosts.
    public let topology: Topology
    /// The namespace with the bridge that joins the hosts.
    public let underlay: String
    public let options: Options
    /// As `topology.hosts`.
    public let hosts: [HostNode]
    /// By name.
    public let guests: [GuestNode]
    /// External networks.
    public let providers: [ProviderNode]
    /// For every interface of the topology its guest.
    public let guestOfInterface: [Int]

    public struct HostNode: Sendable, Hashable {
        /// The Host's name.
        public var name: String
        public var namespace: String
        public var address: IPAddress
        /// The underlay device in the host's namespace.
        public var device: InterfaceName
        /// The other end of that, on the bridge.
        public var port: InterfaceName
    }

    public struct GuestNode: Sendable, Hashable {
        /// The namespace that the manifest names; without one, the name of the interface.
        public var name: String
        public var namespace: String
        /// Numbers of `topology.interfaces`.
        public var interfaces: [Int]
        /// Whether routes lead to it: then it forwards.
        public var isGateway: Bool
        /// What is beyond a gateway, where some probe looks for it.
        public var internet: InternetNode?
    }

    /// A namespace behind a gateway guest that answers for addresses outside the VPC.
    public struct InternetNode: Sendable, Hashable {
        public var name: String
        public var namespace: String
        /// Ascending.
        public var addresses: [IPAddress]
    }

    public struct Options: Sendable, Hashable {
        /// What the names of all namespaces start with. Without it they are the names in the manifest.
        public var prefix: String
        /// Bytes.
        public var underlayMTU: UInt32

        public init(prefix: String = "", underlayMTU: UInt32 = 1500) {
            self.prefix = prefix
            self.underlayMTU = underlayMTU
        }
    }

    public init(_ topology: Topology, name: String, options: Options = Options()) throws(LabError) {
        let prefix = options.prefix
        self.name = name
        underlay = prefix + name + "-underlay"
        self.options = options
        hosts = try Self.hosts(of: topology, prefix: prefix)

        var renamed = topology
        for (index, host) in topology.hosts.numbered {
            renamed.hosts[index].dataPlane.namespace = prefix + host.networkNamespace
        }
        var guests: [String: GuestNode] = [:]
        for (index, interface) in topology.interfaces.numbered {
            var name = interface.name
            if case .namespace(let namespace, let device) = interface.attachment {
                name = namespace
                renamed.interfaces[index].attachment = .namespace(prefix + namespace, device: device)
            }
            var guest =
                guests[name] ?? GuestNode(name: name, namespace: prefix + name, interfaces: [], isGateway: false)
            if guest.interfaces.contains(where: { topology.interfaces[$0].isInNamespace != interface.isInNamespace }) {
                throw Self.clash(name, "an interface with a device is named like the namespace of another")
            }
            guest.interfaces.append(index)
            guests[name] = guest
        }
        self.topology = renamed
        providers = try Self.providers(of: topology, Self.outsideAddresses(topology), prefix: prefix)

        Self.addGateways(to: &guests, topology, prefix: prefix)
        self.guests = guests.values.sorted { $0.name < $1.name }
        var guestOfInterface = [Int](repeating: 0, count: topology.interfaces.endIndex)
        for (index, guest) in self.guests.enumerated() {
            for interface in guest.interfaces { guestOfInterface[interface] = index }
        }
        self.guestOfInterface = guestOfInterface
        try checkNames()
    }

    // MARK: Nodes

    private static func hosts(of topology: Topology, prefix: String) throws(LabError) -> [HostNode] {
        var nodes: [HostNode] = []
        for (index, host) in topology.hosts.numbered {
            guard host.underlayAddress.family == .ipv4 else {
                throw LabError(.unsupported, "Host \(host.metadata.name): the lab's underlay is IPv4")
            }
            let name = host.metadata.name
            let deviceName = host.underlayDevice ?? "u0"
            guard let device = InterfaceName(deviceName) else {
                throw LabError(.unsupported, "Host \(name): '\(deviceName)' is no name of a device")
            }
            // Named after the host, so that `tcpdump -i h1` in the underlay is what it says; long names are numbered.
            let port = [name, "host\(index)"].lazy.compactMap { InterfaceName($0) }.first {
                $0.description != "lo" && $0 != bridge
            }
            guard let port else { throw LabError(.unsupported, "Host \(name): no name for its port") }
            nodes.append(
                HostNode(
                    name: name, namespace: prefix + name, address: host.underlayAddress, device: device, port: port))
        }
        return nodes
    }

    /// Marks the guests that routes lead to, and puts an internet behind those that could be asked for an address
    /// outside the VPC.
    private static func addGateways(to guests: inout [String: GuestNode], _ topology: Topology, prefix: String) {
        let outside = outsideAddresses(topology)
        for table in topology.routeTables {
            for route in table.routes {
                for interface in route.nextHops.compactMap(\.interface) {
                    let name = topology.interfaces[interface].guestName
                    guard var guest = guests[name] else { continue }
                    guest.isGateway = true
                    let addresses = (outside[table.vpc] ?? []).filter(route.destination.contains)
                    if !addresses.isEmpty {
                        let known = guest.internet?.addresses ?? []
                        guest.internet = InternetNode(
                            name: name + "-inet", namespace: prefix + name + "-inet",
                            addresses: Set(known + addresses).sorted())
                    }
                    guests[name] = guest
                }
            }
        }
    }

    /// By VPC, the addresses that probes look for outside of its CIDRs and that are no host's.
    static func outsideAddresses(_ topology: Topology) -> [Int: [IPAddress]] {
        let underlay = Set(topology.hosts.map(\.underlayAddress))
        var outside: [Int: [IPAddress]] = [:]
        for probe in topology.probes where probe.toInterface == nil && probe.toAddress.family == .ipv4 {
            guard let vpc = probe.from.interface.map({ topology.interfaces[$0].vpc }) else { continue }
            guard !topology.vpcs[vpc].cidrs.contains(where: { $0.contains(probe.toAddress) }),
                !underlay.contains(probe.toAddress)
            else { continue }
            outside[vpc, default: []].append(probe.toAddress)
        }
        return outside
    }

    // MARK: Names

    /// Every namespace of the lab.
    public struct Node: Sendable, Hashable {
        public var role: Role
        /// What users call it.
        public var name: String
        public var namespace: String
    }

    public enum Role: String, Sendable, Hashable {
        case underlay
        case host
        case guest
        case internet
    }

    /// In the order in which they are made.
    public var nodes: [Node] {
        var nodes = [Node(role: .underlay, name: "underlay", namespace: underlay)]
        nodes += hosts.map { Node(role: .host, name: $0.name, namespace: $0.namespace) }
        nodes += guests.map { Node(role: .guest, name: $0.name, namespace: $0.namespace) }
        nodes += guests.compactMap(\.internet).map { Node(role: .internet, name: $0.name, namespace: $0.namespace) }
        nodes += providers.map { Node(role: .internet, name: $0.name, namespace: $0.namespace) }
        return nodes
    }

    private func checkNames() throws(LabError) {
        var roles: [String: Role] = [:]
        for node in nodes {
            if let other = roles.updateValue(node.role, forKey: node.namespace) {
                throw Self.clash(node.namespace, "a \(other.rawValue) and a \(node.role.rawValue) would have that name")
            }
        }
    }

    private static func clash(_ name: String, _ reason: String) -> LabError {
        LabError(.nameClash, "network namespace \(name) is needed twice: \(reason)", hint: "rename one of them")
    }
}

extension ResolvedInterface {
    /// What its guest is called in the lab.
    fileprivate var guestName: String {
        if case .namespace(let namespace, _) = attachment { namespace } else { name }
    }

    fileprivate var isInNamespace: Bool {
        if case .namespace = attachment { true } else { false }
    }
}
