import IPAddressing
public import KernelModel
public import KernelNames
import VPCModel
import VPCTopology

extension HostPolicy {
    /// Those of `connections` that the groups of this host's interfaces would not let begin: what a tightened policy cuts.
    ///
    /// One that has been cut already is none of them. One whose first packet bears the address of an interface here, and
    /// did not come from its port, is: a gateway has made it. A connection that neither begins nor ends at an interface
    /// here (one that a gateway forwards) is left alone: which ports it passed is not in its entry.
    public func forbidden(_ connections: [Connection]) -> [Connection] {
        var rules = RuleIndex(topology: topology)
        return connections.filter { !ConnectionMark.has(ConnectionMark.cut, in: $0.mark) && !allows($0, &rules) }
    }

    private func allows(_ connection: Connection, _ rules: inout RuleIndex) -> Bool {
        guard let vpc = vpcOfZone[connection.zone] else { return true }
        // Asked for with every packet.
        if ConnectionMark.has(ConnectionMark.found, in: connection.mark) { return true }
        let service = connection.service
        if let sender = interface(vpc, connection.source),
            connection.mark & ConnectionMark.allowed(.original, [.leaving]) == 0
                || !rules.allow(service, of: sender, .egress, far: connection.replySource)
        {
            return false
        }
        if let receiver = interface(vpc, connection.replySource),
            !rules.allow(service, of: receiver, .ingress, far: connection.source)
        {
            return false
        }
        return true
    }

    /// Those of `connections` that guests at these ports had when they were here before, as far as nothing here has seen them
    /// since: the kernel would find the guests' segments far from where they were.
    public func outdated(_ connections: [Connection], arriving ports: Set<InterfaceName>) -> [Connection] {
        let names = Set(ports.map(\.description))
        let arriving = interfaces.filter { names.contains(topology.interfaces[$0].portName.rawValue) }
        return connections.filter { connection in
            guard connection.ipProtocol == IPProtocol.tcp.rawValue, connection.mark & ConnectionMark.given == 0,
                let vpc = vpcOfZone[connection.zone]
            else { return false }
            let ends = [connection.source, connection.replySource].map { topology.interface(at: $0, inVPC: vpc) }
            func isOne(of interfaces: Set<Int>, _ end: Int?) -> Bool { end.map(interfaces.contains) ?? false }
            return ends.contains { isOne(of: arriving, $0) } && !ends.allSatisfy { isOne(of: present, $0) }
        }
    }

    /// The one with groups and a guest here that has an address.
    private func interface(_ vpc: Int, _ address: IPAddress) -> Int? {
        topology.interface(at: address, inVPC: vpc).flatMap { interfaces.contains($0) ? $0 : nil }
    }
}

/// The rules of groups, to look connections up in: each direction of a group is made ready once, when it is needed.
private struct RuleIndex {
    struct Key: Hashable {
        /// A number of `Topology.securityGroups`.
        var group: Int
        var direction: TrafficDirection
    }

    struct Rules {
        var byAddress: TrafficStages<IPv4Bits>
        var byGroup: [Int: GroupServices]
    }

    let topology: Topology
    private var known: [Key: Rules] = [:]

    init(topology: Topology) { self.topology = topology }

    /// Whether any group of the interface allows the service; without groups everything is.
    mutating func allow(_ service: UInt32, of interface: Int, _ direction: TrafficDirection, far: IPAddress) -> Bool {
        let own = topology.interfaces[interface]
        if own.securityGroups.isEmpty { return true }
        let members = ([own.vpc] + topology.peers(ofVPC: own.vpc)).compactMap { topology.interface(at: far, inVPC: $0) }
        let peers = members.flatMap { topology.interfaces[$0].securityGroups }
        for group in own.securityGroups {
            let rules = rules(of: Key(group: group, direction: direction))
            if rules.byAddress.line(far, service) != nil { return true }
            if peers.contains(where: { rules.byGroup[$0]?.line(service) != nil }) { return true }
        }
        return false
    }

    private mutating func rules(of key: Key) -> Rules {
        if let rules = known[key] { return rules }
        let list = topology.securityGroups[key.group].rules(isIngress: key.direction == .ingress)
        let rules = Rules(byAddress: TrafficStages(list.map(\.line)), byGroup: list.servicesOfGroups)
        known[key] = rules
        return rules
    }
}

/// The groups of one host's interfaces, to judge connections by.
public struct HostPolicy: Sendable {
    let topology: Topology
    let vpcOfZone: [UInt16: Int]
    /// Interfaces with groups that have a guest on this host: numbers of `Topology.interfaces`.
    let interfaces: Set<Int>
    /// All that have a guest here.
    let present: Set<Int>

    /// Nothing here has a group: nothing can be forbidden.
    public var isEmpty: Bool { interfaces.isEmpty }
}

extension HostCompiler {
    var policy: HostPolicy {
        var zones: [UInt16: Int] = [:]
        for key in contexts.keys where key.isMain { zones[zone(ofVPC: key.vpc).rawValue] = key.vpc }
        return HostPolicy(
            topology: topology, vpcOfZone: zones, interfaces: policyInterfaces, present: presentInterfaces)
    }
}

extension Connection {
    /// What the connection's first packet asks for where it gets to, as ``ServiceRange`` counts: whom a load balancer has chosen
    /// is who answers.
    fileprivate var service: UInt32 {
        let selector = icmp.map { UInt16($0.type) << 8 | UInt16($0.code) } ?? replySourcePort
        return UInt32(ipProtocol) << 16 | UInt32(selector)
    }
}

extension NFOperation {
    /// Whether it may forbid connections that security groups have let begin: ``HostPolicy/forbidden(_:)`` says which.
    ///
    /// What is of no family of ours was somebody else's: what it has allowed, or what an older version meant by it, is not
    /// known.
    public var mayTightenPolicy: Bool {
        switch self {
        case .createTable, .wakeTable: true
        case .addElements(let name, _, _): FirewallName(name)?.tightensByGaining ?? true
        case .removeElements(let name, _, _), .deleteSet(let name), .flushSet(let name), .deleteRule(let name, _, _),
            .flushChain(let name):
            FirewallName(name)?.tightensByLosing ?? true
        // What nothing leads to, or leads to no longer, decides nothing; nor do counters.
        case .createSet, .createChain, .deleteChain, .createCounter, .createObject, .deleteObject: false
        case .createFlowtable, .addDevices, .removeDevices, .deleteFlowtable: false
        // Rules are added beside others that go, elements that go by themselves spare nobody the rules.
        case .addRule, .renewElements, .changePolicy, .deleteTable: false
        }
    }
}
