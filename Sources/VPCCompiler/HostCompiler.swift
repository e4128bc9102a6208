import IPAddressing
import KernelModel
import VPCModel
import VPCTopology
import KernelNames

/// Compiles one topology for one host: ``features`` say what there is.
struct HostCompiler {
    let topology: Topology
    let host: Int
    let facts: HostFacts
    var numbering: Numbering
    var intent = KernelIntent()

    /// Interfaces of this host that have a guest here, in their order.
    var attached: [Int] = []
    var unattached: [Compilation.Unattached] = []
    private var unattachedInterfaces: Set<Int> = []
    /// Other hosts with interfaces of VPCs that are here.
    var peers: [Int] = []
    /// By VPC, the main table first.
    var contexts: [Context] = []
    var contextIndexes: [Context.Key: Int] = [:]
    /// Ids of the nexthops already in the intent.
    var knownNexthops: Set<NexthopID> = []
    /// Stays empty where routes are not aggregated.
    var aggregation = RouteAggregation()
    var epoch = PolicyEpoch(number: 0)

    init(topology: Topology, host: Int, facts: HostFacts, numbering: Numbering) {
        self.topology = topology
        self.host = host
        self.facts = facts
        self.numbering = numbering
    }

    var underlayAddress: IPAddress { topology.hosts[host].underlayAddress }

    mutating func compiled() -> Compilation {
        addAllBeforeRoutes()
        addRoutes()
        return completed()
    }

    /// - Returns: nil where routes of before cannot be used.
    mutating func compiled(following former: inout FollowedRoutes) -> Compilation? {
        addAllBeforeRoutes()
        return follow(&former) ? completed() : nil
    }

    private mutating func addAllBeforeRoutes() {
        findGuests()
        findPeers()
        for feature in Self.features { feature.contribute(to: &self) }
    }

    private mutating func completed() -> Compilation {
        addFirewall()
        intent.normalize()
        return Compilation(
            intent: intent, unattached: unattached, unreachable: unreachable, tables: tables,
            policy: policy, aggregation: topology.hosts[host].aggregatesRoutes ? aggregation : nil, contexts: contexts)
    }

    private mutating func addFirewall() {
        epoch = numbering.epoch(ofPolicy: policyDigest)
        var firewall = Firewall(origin: Origin(.host, host))
        for feature in Self.features { feature.contribute(to: &firewall, of: self) }
        intent.host.firewall = firewall.completed()
    }

    /// The tables of the VRFs, ascending.
    var tables: [TableID] { (contexts.map(\.table) + gatewayTables).sorted() }

    private mutating func findGuests() {
        for index in topology.interfacesOfHost[host] {
            switch topology.interfaces[index].attachment {
            case .namespace(let name, _) where facts.missingNamespaces.contains(NamespaceName(name)):
                unattached.append(.init(interface: index, reason: .noNamespace(NamespaceName(name))))
            case .device(let name) where InterfaceName(name).map(facts.missingDevices.contains) ?? true:
                unattached.append(.init(interface: index, reason: .noDevice(name)))
            case .device(let name):
                guard let device = InterfaceName(name), let use = facts.foreignDevices[device] else {
                    attached.append(index)
                    continue
                }
                unattached.append(.init(interface: index, reason: .foreignDevice(device, use)))
            case .namespace: attached.append(index)
            }
        }
        unattachedInterfaces = Set(unattached.map(\.interface))
    }

    /// The id of a single nexthop, which is added to the intent when it is used first.
    mutating func nexthop(_ body: Nexthop.Body, from origin: Origin) -> NexthopID {
        let id = numbering.nexthop(body)
        if knownNexthops.insert(id).inserted {
            intent.host.nexthops.append(Attributed(Nexthop(id: id, body: body), from: origin))
        }
        return id
    }

    /// Sends to another host, to be delivered there as `key` says.
    mutating func tunnel(to remote: Int, key: UInt32, from origin: Origin) -> NexthopID {
        let encapsulation = GREEncapsulation(
            key: key, source: underlayAddress, destination: topology.hosts[remote].underlayAddress,
            ttl: Conventions.tunnelTTL)
        return nexthop(.encapsulate(encapsulation, device: Conventions.external), from: origin)
    }

    /// The port of an interface of this host.
    func port(of interface: ResolvedInterface) -> InterfaceName {
        let text = interface.portName.rawValue
        guard let name = InterfaceName(text) else { preconditionFailure("'\(text)' is no device name") }
        return name
    }

    func isAttachedHere(_ index: Int) -> Bool {
        topology.interfaces[index].host == host && !unattachedInterfaces.contains(index)
    }
}
