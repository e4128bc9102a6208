import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

/// What a host's devices and firewall are made of: each part is made again by itself when something that it reads is
/// another. Features contribute to those pieces that concern them, see ``HostFeature``.
///
/// Routes are pieces as well, of a smaller kind: those of a context that are made of its route table, and one for each
/// interface (`HostCompiler+Routes.swift`).
enum Piece: Hashable, Sendable {
    /// What depends on nothing but ``HostTraits``: rules at places, counters, the sets in which others have elements.
    case host
    /// A VRF, and of a VPC's main table the device that receives its key.
    case context(Context.Key)
    /// A guest here that is the target of a route: its key and VRF.
    case gateway(Int)
    /// The port of an interface that has its guest here.
    case port(Int)
    /// Another host.
    case peer(Int)
    /// A list of security groups that an interface here has.
    case list([Int])
    /// The rules of a security group of such a list.
    case group(Int)
    /// The addresses of the members of a group that such rules name.
    case members(Int)
    case acl(Int, TrafficDirection)
    /// A subnet with an ACL and a guest here.
    case subnet(Int)
    /// A subnet with a guest here that may use any address.
    case relay(Int)
    /// A VPC with a guest here whose denied packets are reported.
    case report(Int)
    /// That this host, by its number, sends to itself by tunnels.
    case edge(Int)
    /// The device that leads to an external network.
    case uplink(Int)
    /// An elastic IP that comes in here.
    case elasticIP(Int)
    /// The flowtable of a VPC that is here.
    case flow(Int)
    /// A load balancer of a VPC that is here.
    case balancer(Int)

    /// Whose elements are in the same sets.
    var kind: Int {
        switch self {
        case .host: 0
        case .context: 1
        case .gateway: 2
        case .port: 3
        case .peer: 4
        case .group, .members: 5
        case .acl, .relay, .report: 6
        case .edge: 7
        case .uplink: 8
        case .elasticIP: 9
        case .flow: 10
        case .list: 11
        case .subnet: 12
        case .balancer: 13
        }
    }

    /// Where the elements come from that it has in sets of the host's.
    var origin: Origin {
        switch self {
        case .host: .none
        case .context(let key): key.origin
        case .gateway(let number), .port(let number): Origin(.networkInterface, number)
        case .peer(let number): Origin(.host, number)
        case .list(let groups): Origin(.securityGroup, groups.first ?? 0)
        case .group(let number), .members(let number): Origin(.securityGroup, number)
        case .acl(let number, _): Origin(.networkACL, number)
        case .subnet(let number), .relay(let number): Origin(.subnet, number)
        case .report(let number), .flow(let number): Origin(.vpc, number)
        case .edge(let number): Origin(.host, number)
        case .uplink(let number): Origin(.externalNetwork, number)
        case .elasticIP(let number): Origin(.elasticIP, number)
        case .balancer(let number): Origin(.loadBalancer, number)
        }
    }
}

/// What a piece comes to.
struct Part {
    var links: [Attributed<Link>] = []
    var addresses: [Attributed<Address>] = []
    var neighbors: [Attributed<Neighbor>] = []
    /// Of the table `inet vpcctl`: sets, counters and chains of its own.
    var filter = NFTableIntent(FirewallTables.filter)
    /// Further tables: of ``Piece/host``, those with the places.
    var tables: [NFTableIntent] = []
    /// Elements of sets that several pieces have elements in, which ``Piece/host`` declares.
    private(set) var rows: [Rows] = []

    struct Rows {
        let table: NFTable
        var set: NFSet
    }

    /// Adds elements to a set of the host's.
    /// - Parameter prototype: As it is declared, empty.
    mutating func rows(
        of prototype: NFSet, in table: NFTable = FirewallTables.filter, _ body: (inout NFSet) -> Void
    ) {
        if let index = position(of: prototype.name, in: table) { return body(&rows[index].set) }
        rows.append(Rows(table: table, set: prototype))
        body(&rows[rows.count - 1].set)
    }

    /// Of a set in ``rows``.
    func position(of name: String, in table: NFTable) -> Int? {
        rows.indices.first { rows[$0].set.name == name && rows[$0].table == table }
    }
}

/// The names of what a piece has made.
struct PieceNames: Hashable, Sendable {
    var links: [InterfaceName] = []
    var addresses: [Address.Key] = []
    var parts: [NFPart] = []
}

/// What all of a host's guests and VPCs together come to: rules depend on it.
struct HostTraits: Equatable, Sendable {
    /// Whether a guest here may use any address.
    var hasForwarders = false
    /// Whether a guest here may speak BFD with the host.
    var hasBFD = false
    /// Whether a guest here is answered when it asks by DHCP.
    var servesDHCP = false
    /// Whether such a guest has blocks of addresses, and whether another one has.
    var hasPrefixesOfForwarders = false
    var hasPrefixesOfSpeakers = false
    /// Whether somebody in a VPC of this host, here or elsewhere, may send with the address of a guest here.
    var hasMiddleboxes = false
    /// Whether a subnet with a guest here has an ACL.
    var hasACLs = false
    /// Whether an ACL is asked here at all.
    var asksACLs = false
    var hasGroups = false
    /// Whether a guest here is in a VPC that logs.
    var isLogging = false
    /// Whether this host is connected to a provider, and has NAT gateways.
    var hasUplinks = false
    var hasNATGateways = false
    /// Whether two VPCs that are here reach each other.
    var hasPeerings = false
    /// Whether packets of guests go by a tunnel to the host itself.
    var sendsToItself: Bool { hasNATGateways || hasPeerings }
    var elasticIPs: ElasticIPModes = []
    /// Whether it is one of a pair of gateways, and the ports that its NAT gateways translate into.
    var hasPairs = false
    var portHalves: [PortHalf] = []
    /// Whether one of those has only some ports of addresses, be it for itself or for each guest.
    var dividesPorts = false
    /// Whether one of those shares an address.
    var sharesAddresses = false
    var hasPortForwards = false
    var hasBalancers = false
    /// How the load balancers of VPCs that are here share connections.
    var sharings: Set<Sharing> = []
    /// Whether each connection of one of those is recorded.
    var recordsTranslations = false
    var capped: CappedTraffic = []
    var ports = 0
    /// Bytes, of the port with the largest; nil: there is no port.
    var largestMTU: Int?
    var overlayMTU: UInt32 = 0
    var tunnelDevice = InterfaceName.none
    var epoch = PolicyEpoch(number: 0)

    var hasPrefixes: Bool { hasPrefixesOfForwarders || hasPrefixesOfSpeakers }
}
