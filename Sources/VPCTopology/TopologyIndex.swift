internal import IPAddressing
internal import VPCModel

/// Finds what a sound topology has by what must be unique, and by what it refers to: all that has to be known to take in
/// changes of some resources without resolving the others again.
///
/// It belongs to one topology and follows it: both are changed together.
public struct TopologyIndex: Sendable {
    /// By ordinal of the kind.
    var names = [NumberTable](repeating: NumberTable(), count: ResourceKind.allCases.count)

    // What must be unique.

    var underlays: [IPAddress: Int] = [:]
    var vpcIDs: [VPCID: Int] = [:]
    /// Guests' devices, see ``DeviceKey``.
    var devices = NumberTable()
    /// Devices on hosts whose names could meet: short names of interfaces give different ones by themselves.
    var ports = NumberTable()
    /// Of those that state their MAC address, or have one that was derived from an IPv6 address.
    var stations: [Station: Int] = [:]
    /// Targets of routes.
    var gateways: [GatewayKey: Int] = [:]
    var natGateways: [GatewayKey: Int] = [:]
    /// Of NAT gateways, in their VPCs.
    var natGatewayPlaces: [Place: Int] = [:]
    /// Who uses which, whole.
    var publicAddresses: [IPAddress: NumberedResource] = [:]
    /// NAT gateways that have ports of an address.
    var natGatewaysSharing = Referrers<IPAddress>()
    /// Of load balancers and their instances, in their VPCs.
    var balancerPlaces: [Place: Int] = [:]
    /// Those with a block of ports for each inside address.
    var natGatewaysWithBlocks: Set<Int> = []
    /// By VPC, by CIDR.
    var subnetsOfVPC: [Int: [Int]] = [:]

    /// Steps that it takes to find out what all security groups and ACLs come to.
    var policyEffort = 0

    // Who refers to whom.

    var routeTablesOfVPC = Referrers<Int>()
    var groupsOfVPC = Referrers<Int>()
    var aclsOfVPC = Referrers<Int>()
    var subnetsOfRouteTable = Referrers<Int>()
    var subnetsOfACL = Referrers<Int>()
    var groupsNamingGroup = Referrers<Int>()
    var routeTablesOfInterface = Referrers<Int>()
    var routeTablesOfNATGateway = Referrers<Int>()
    var probesOfInterface = Referrers<Int>()
    var elasticIPsOfInterface = Referrers<Int>()
    /// By the interfaces that their port forwards lead to.
    var natGatewaysOfInterface = Referrers<Int>()
    var targetGroupsOfInterface = Referrers<Int>()
    /// Those that select their targets by labels.
    var selectingTargetGroups: Set<Int> = []
    var balancersOfTargetGroup = Referrers<Int>()
    var groupsNamingBalancer = Referrers<Int>()
    /// Probes that end in another VPC, by their address in the VPC in which they begin.
    var probesAbroad = Referrers<Place>()

    struct Station: Hashable {
        var vpc: Int
        var mac: MACAddress
    }

    struct Place: Hashable {
        var vpc: Int
        var address: IPAddress
    }

    init() {}
}

extension Dictionary {
    /// Sets a value where there is none.
    mutating func set(_ key: Key, _ value: Value) { if self[key] == nil { self[key] = value } }
}

/// Numbers of those who refer to something.
struct Referrers<Target: Hashable & Sendable>: Sendable {
    private var numbers: [Target: Set<Int>] = [:]

    subscript(target: Target) -> Set<Int> { numbers[target] ?? [] }
    func has(_ target: Target) -> Bool { !numbers.isEmpty && numbers[target] != nil }
    var targets: some Collection<Target> { numbers.keys }

    mutating func insert(_ referrer: Int, to target: Target) { numbers[target, default: []].insert(referrer) }

    mutating func remove(_ referrer: Int, from target: Target) {
        numbers[target]?.remove(referrer)
        if numbers[target]?.isEmpty == true { numbers[target] = nil }
    }

    /// Inserts or removes.
    mutating func set(_ referrer: Int, to target: Target, _ refers: Bool) {
        if refers { insert(referrer, to: target) } else { remove(referrer, from: target) }
    }
}

/// The device of an interface, and its name on the host.
struct DeviceKey: Hashable {
    var host: Int
    /// Nil: on the host.
    var netns: String?
    var device: String

    init(guestOf attachment: NetworkInterface.Attachment, on host: Int) {
        self.host = host
        switch attachment {
        case .namespace(let netns, let device): (self.netns, self.device) = (netns, device)
        case .device(let device): self.device = device
        }
    }

    init(port: PortName, on host: Int) { (self.host, device) = (host, port.rawValue) }
}

extension ResolvedInterface {
    var guestDevice: DeviceKey { DeviceKey(guestOf: attachment, on: host) }
    var port: DeviceKey { DeviceKey(port: portName, on: host) }

    /// Whether no other port can have the name of its port but one that exists already, or has a longer name.
    var hasPlainPort: Bool {
        if case .namespace = attachment { PortName.isPlain(name) } else { false }
    }

    var place: TopologyIndex.Place { TopologyIndex.Place(vpc: vpc, address: address) }
    var station: TopologyIndex.Station { TopologyIndex.Station(vpc: vpc, mac: mac) }
}

extension TopologyIndex {
    func interface(withPort port: DeviceKey, in topology: Topology) -> Int? {
        ports.first(port.hashValue) { topology.interfaces[$0].port == port }
    }

    /// The interfaces of a subnet.
    func interfaces(of subnet: Int, in topology: Topology) -> [Int] {
        let (place, all) = (topology.subnets[subnet], topology.interfaces)
        let own = topology.interfacesOfVPC[place.vpc]
        let start = own.partitionPoint { all[$0].address < place.cidr.address }
        return own[start...].prefix { all[$0].address <= place.cidr.last }.filter { all[$0].subnet == subnet }
    }
}
