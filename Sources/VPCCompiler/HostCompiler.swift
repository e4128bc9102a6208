import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

/// Compiles one topology for one host, and keeps up with what changes in it: ``features`` say what there is, in pieces
/// (``Piece``) that are made again one by one.
///
/// Everything is compiled by the same way as a change is, from nothing: so both cannot differ but in what is held to be
/// concerned by a change.
struct HostCompiler: Sendable {
    var topology: Topology
    let host: Int
    var facts: HostFacts
    var numbering: Numbering
    var intent = KernelIntent()
    /// Where the intent is another than before.
    var changed = SuspectObjects.everything

    /// Interfaces of this host that have a guest here.
    var ports: [Int: Port] = [:]
    /// The others of this host.
    var unattached: [Int: Compilation.Unattached.Reason] = [:]
    /// The interfaces with a guest in each namespace.
    var guests: [NamespaceName: Set<Int>] = [:]
    /// Other hosts with interfaces of VPCs that are here.
    var peers: Set<Int> = []
    var contexts: [Context.Key: Context] = [:]
    var routing: [Context.Key: ContextRoutes] = [:]
    var gateways: [Int: Gateway] = [:]
    /// By external network that this host is connected to.
    var uplinks: [Int: Uplink] = [:]
    /// NAT gateways that are here.
    var natGateways: [Int: Context.Key] = [:]
    /// Routes by which uplinks know what to answer for.
    var announcements: Set<Route.Key> = []
    /// Elastic IPs that come in here.
    var elasticIPs: [Int: ElasticIP.Mode] = [:]
    var madeElasticIPs: Set<Int> = []
    /// By elastic IP.
    var elasticRoutes: [Int: Route.Key] = [:]
    /// By id, how many routes and groups use each nexthop of the intent.
    var nexthopUses: [UInt32: Int] = [:]
    /// Nexthops that may be used no longer, some of them twice.
    var idleNexthops: [NexthopID] = []
    /// Load balancers of VPCs that are here.
    var balancers: Set<Int> = []
    var madeBalancers: Set<Int> = []
    /// By VPC, where they have their addresses.
    var contextsOfBalancers: [Int: Set<Context.Key>] = [:]
    /// By group of a list that is asked here.
    var groupRules: [Int: BothDirections] = [:]
    /// By group that such rules name: whether a member has blocks of addresses.
    var membersHavePrefixes: [Int: Bool] = [:]
    /// By subnet with a guest here that may use any address: the ACLs that are asked for what it sends.
    var askedByRelay: [Int: Set<Int>] = [:]
    /// By VPC that is here: interfaces of all hosts that may use any address.
    var middleboxes: [Int: Int] = [:]
    /// VPCs whose middleboxes were counted with the change that is being followed.
    var countedAnew: Set<Int> = []
    /// Subnets with ACLs that have come and gone with it.
    var subnetsBrought: (added: [Int], removed: [Int]) = ([], [])
    var demand = HostDemand()
    var traits = HostTraits()
    /// Of the ACLs that decide here.
    var digest: UInt64?
    /// What pieces have made.
    var made: [Piece: PieceNames] = [:]
    /// The sets in which pieces of a kind have elements.
    var rowSets: [Int: [NFPart]] = [:]
    /// To judge connections by.
    var policyInterfaces: Set<Int> = []
    var presentInterfaces: Set<Int> = []

    /// The port of an interface here, and what it asked for.
    struct Port: Equatable, Sendable {
        var name: InterfaceName
        /// What is routed to it.
        var blocks: [IPPrefix]
        var hasPrefixes: Bool
        var context: Context.Key
        var list: [Int]
        /// With its ACL.
        var subnet: Int?
        var acl: Int?
        /// The subnet, of a guest that may use any address.
        var relay: Int?
        var mtu: Int
        var report: Int?
        var guest: NamespaceName?
        var isForwarder: Bool
        var speaksBFD: Bool
        var servesDHCP: Bool
        var gatewayKey: GatewayKey?
    }

    init(topology: Topology, host: Int, facts: HostFacts, numbering: Numbering) {
        self.topology = topology
        self.host = host
        self.facts = facts
        self.numbering = numbering
        let tables = [FirewallTables.filter, FirewallTables.arp] + (offloads ? [FirewallTables.flow] : [])
        intent.host.firewall = tables.map { NFTableIntent($0) }
        intent.underlay.firewall = [NFTableIntent(FirewallTables.underlay)]
        let name = topology.hosts[host].metadata.name
        intent.namespace = Attributed(
            OwnNamespace(
                name: NamespaceName(topology.hosts[host].networkNamespace),
                alias: Conventions.alias(ResourceReference(.host, name))),
            from: Origin(.host, host))
    }

    var underlayAddress: IPAddress { topology.hosts[host].underlayAddress }
    var aggregatesRoutes: Bool { topology.hosts[host].aggregatesRoutes }

    mutating func compiled() -> Compilation {
        compileAll()
        return Compilation(compiler: self)
    }

    mutating func compileAll() {
        var concerned = Concerned()
        concerned.isHost = true
        concerned.interfaces = Set(topology.interfacesOfHost[host])
        concerned.networks = Set(topology.externalNetworks.indices)
        concerned.natGateways = Set(topology.natGateways(on: host))
        concerned.elasticIPs = Set(topology.elasticIPs.indices)
        concerned.peers = Set(topology.hosts.indices.filter { $0 != host })
        bring(concerned)
        numbering.forgetAll(
            but: Set(nexthopUses.keys), aliases: Set(contexts.values.map(\.alias) + gateways.values.map(\.alias)))
        changed = SuspectObjects()
    }

    /// The tables of the VRFs, ascending.
    var tables: [TableID] { (contexts.values.map(\.table) + gateways.values.map(\.table)).sorted() }

    func isAttachedHere(_ index: Int) -> Bool { ports[index] != nil }

    /// The name of the port of an interface of this host.
    func portName(_ index: Int) -> InterfaceName {
        if let port = ports[index] { return port.name }
        return Self.portName(topology.interfaces[index])
    }

    static func portName(_ interface: ResolvedInterface) -> InterfaceName {
        let text = interface.portName.rawValue
        guard let name = InterfaceName(text) else { preconditionFailure("'\(text)' is no device name") }
        return name
    }

    /// The interfaces of the guest that has this one, in their order. A device is taken for a guest of its own: which
    /// devices are one machine's is not known.
    func portsOfGuest(of index: Int) -> [Int] {
        guard let guest = ports[index]?.guest else { return [index] }
        return topology.inOrder(guests[guest] ?? [], of: \.interfaces)
    }
}

extension Topology {
    /// Whether the address is that of a subnet's gateway.
    fileprivate func isGateway(_ address: IPAddress, ofVPC vpc: Int) -> Bool {
        vpcs[vpc].cidrs.contains { $0.contains(address) }
            && subnets.contains { $0.vpc == vpc && $0.gateway == address }
    }
}

// MARK: - Nexthops

extension HostCompiler {
    /// The id of a single nexthop, which is added to the intent when it is used first.
    mutating func nexthop(_ body: Nexthop.Body, from origin: Origin) -> NexthopID {
        let id = numbering.nexthop(body)
        // Also where it is there: another resource of the same address may have taken the place of the one it was for.
        put(Attributed(Nexthop(id: id, body: body), from: origin))
        return id
    }

    /// Puts a nexthop into the intent that is about to be used.
    mutating func put(_ nexthop: Attributed<Nexthop>) {
        let id = nexthop.object.id
        let place = placeOfNexthop(id)
        let isHeld = place < intent.host.nexthops.count && intent.host.nexthops[place].object.id == id
        if isHeld, intent.host.nexthops[place] == nexthop { return }
        if isHeld { intent.host.nexthops[place] = nexthop } else { intent.host.nexthops.insert(nexthop, at: place) }
        if !isHeld {
            nexthopUses[id.rawValue] = 0
            idleNexthops.append(id)
        }
        changed.nexthops.insert(id)
    }

    private func placeOfNexthop(_ id: NexthopID) -> Int {
        let nexthops = intent.host.nexthops
        // What is new mostly has the highest number.
        if let last = nexthops.indices.last, nexthops[last].object.id < id { return nexthops.count }
        return nexthops.partitionPoint { $0.object.id < id }
    }

    mutating func use(_ id: NexthopID, _ count: Int = 1) {
        if id != .none { nexthopUses[id.rawValue, default: 0] += count }
    }

    mutating func leave(_ id: NexthopID) {
        guard id != .none, let count = nexthopUses[id.rawValue] else { return }
        nexthopUses[id.rawValue] = count - 1
        if count == 1 { idleNexthops.append(id) }
    }

    /// Takes away what nothing uses any more. Only now may others have the numbers: until it is gone the kernel has it.
    mutating func dropIdleNexthops() {
        while let id = idleNexthops.popLast() {
            guard nexthopUses[id.rawValue] == 0 else { continue }
            nexthopUses[id.rawValue] = nil
            let place = intent.host.nexthops.partitionPoint { $0.object.id < id }
            guard place < intent.host.nexthops.count, intent.host.nexthops[place].object.id == id else { continue }
            let body = intent.host.nexthops.remove(at: place).object.body
            changed.nexthops.insert(id)
            if case .group(let group) = body { for member in group.members { leave(member.id) } }
            dropNeighbor(of: body)
            numbering.release(id, body)
        }
    }

    /// Sends to the interfaces of a VPC on another host: by the device that receives from there, whose neighbour the host is.
    /// Its address is but a name, beside which guests may have the same one. Only where it is a gateway's address the kernel
    /// takes no such nexthop (fib_check_nh of net/ipv4/fib_semantics.c), and the way is that to gateways; as it is from a NAT
    /// gateway, beside which there need not be such a device.
    mutating func tunnel(to remote: Int, from context: Context, _ origin: Origin) -> NexthopID {
        let (address, id) = (topology.hosts[remote].underlayAddress, topology.vpcs[context.vpc].id)
        if context.natGateway != nil || topology.isGateway(address, ofVPC: context.vpc) {
            return tunnel(to: remote, key: id.rawValue, from: origin)
        }
        let device = Conventions.receiver(id)
        let neighbor = Neighbor(device: device, address: address, linkLayerAddress: .tunnel(address))
        put([Attributed(neighbor, from: origin)], at: neighbor.key)
        return nexthop(.gateway(address, device: device), from: origin)
    }

    private mutating func put(_ neighbors: [Attributed<Neighbor>], at key: Neighbor.Key) {
        Self.replace(&intent.host.neighbors, \.key, key, by: neighbors, &changed.neighbors)
    }

    /// Takes the neighbour away that a nexthop led to which is gone; a guest's is its port's.
    private mutating func dropNeighbor(of body: Nexthop.Body) {
        guard case .gateway(let address, let device) = body else { return }
        let key = Neighbor.Key(device: device, address: address)
        guard let place = intent.host.neighbors.position(of: key),
            case .tunnel = intent.host.neighbors[place].object.linkLayerAddress
        else { return }
        put([], at: key)
    }

    /// Sends to a gateway on another host, which is known there by its key.
    mutating func tunnel(to remote: Int, key: UInt32, from origin: Origin) -> NexthopID {
        tunnel(to: topology.hosts[remote].underlayAddress, key: key, from: origin)
    }

    mutating func tunnel(to address: IPAddress, key: UInt32, from origin: Origin) -> NexthopID {
        let encapsulation = GREEncapsulation(
            key: key, source: underlayAddress, destination: address, ttl: Conventions.tunnelTTL)
        return nexthop(.encapsulate(encapsulation, device: Conventions.external), from: origin)
    }
}
