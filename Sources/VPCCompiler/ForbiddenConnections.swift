import IPAddressing
public import KernelModel
import VPCModel
import VPCTopology

extension HostPolicy {
    /// Those of `connections` that the groups of this host's interfaces would not let begin: what a tightened policy cuts.
    ///
    /// One that has been cut already is none of them. One whose first packet bears the address of an interface here, and
    /// did not come from its port, is: a gateway has made it. A connection that neither begins nor ends at an interface here (one
    /// that a gateway forwards) is left alone: which ports it passed is not in its entry.
    public func forbidden(_ connections: [Connection]) -> [Connection] {
        connections.filter { $0.mark != Conventions.cutMark && !allows($0) }
    }

    private func allows(_ connection: Connection) -> Bool {
        guard let vpc = vpcOfZone[connection.zone] else { return true }
        let packet = connection.packet
        if let sender = interface(vpc, connection.source),
            connection.mark & ConnectionMark.allowed(.original, [.leaving]) == 0
                || !allows(packet, of: sender, .egress, far: connection.destination)
        {
            return false
        }
        if let receiver = interface(vpc, connection.destination),
            !allows(packet, of: receiver, .ingress, far: connection.source)
        {
            return false
        }
        return true
    }

    private func interface(_ vpc: Int, _ address: IPAddress) -> Int? {
        interfaces[InterfaceKey(vpc: vpc, address: address)]
    }

    /// Whether any group of the interface allows the packet; without groups everything is.
    private func allows(
        _ packet: TrafficBox, of interface: Int, _ direction: TrafficDirection, far: IPAddress
    ) -> Bool {
        let groups = topology.interfaces[interface].securityGroups
        if groups.isEmpty { return true }
        return groups.contains { group in
            let resolved = topology.securityGroups[group]
            let rules = direction == .ingress ? resolved.ingress : resolved.egress
            return rules.contains { rule in
                let isPeer =
                    rule.cidrs.contains { $0.contains(far) }
                    || rule.groups.contains { members[$0]?.contains(far) ?? false }
                return isPeer && rule.traffic.boxes(0...UInt32.max).contains { $0.contains(packet) }
            }
        }
    }
}

/// The groups of one host's interfaces, to judge connections by.
public struct HostPolicy: Sendable {
    let topology: Topology
    let vpcOfZone: [UInt16: Int]
    /// Interfaces with groups that have a guest on this host.
    let interfaces: [InterfaceKey: Int]
    /// The addresses of the members of every group that a rule of these interfaces' groups names.
    let members: [Int: Set<IPAddress>]

    struct InterfaceKey: Hashable, Sendable {
        var vpc: Int
        var address: IPAddress
    }

    /// The same where the interfaces of other hosts have moved.
    func following(_ topology: Topology) -> HostPolicy {
        HostPolicy(topology: topology, vpcOfZone: vpcOfZone, interfaces: interfaces, members: members)
    }

    /// Nothing here has a group: nothing can be forbidden.
    public var isEmpty: Bool { interfaces.isEmpty }
}

extension HostCompiler {
    var policy: HostPolicy {
        var zones: [UInt16: Int] = [:]
        for context in contexts where context.routeTable == nil {
            zones[zone(ofVPC: context.vpc).rawValue] = context.vpc
        }
        var interfaces: [HostPolicy.InterfaceKey: Int] = [:]
        for index in attached where !topology.interfaces[index].securityGroups.isEmpty {
            let interface = topology.interfaces[index]
            interfaces[HostPolicy.InterfaceKey(vpc: interface.vpc, address: interface.address)] = index
        }
        return HostPolicy(
            topology: topology, vpcOfZone: zones, interfaces: interfaces,
            members: members(forGroupsOf: interfaces.values))
    }

    private func members(forGroupsOf interfaces: some Sequence<Int>) -> [Int: Set<IPAddress>] {
        var members: [Int: Set<IPAddress>] = [:]
        for group in Set(interfaces.flatMap { topology.interfaces[$0].securityGroups }) {
            let resolved = topology.securityGroups[group]
            for named in (resolved.ingress + resolved.egress).flatMap(\.groups) where members[named] == nil {
                members[named] = Set(topology.securityGroups[named].members.map { topology.interfaces[$0].address })
            }
        }
        return members
    }
}

extension Connection {
    /// The connection's first packet.
    fileprivate var packet: TrafficBox {
        let selector = icmp.map { UInt16($0.type) << 8 | UInt16($0.code) } ?? destinationPort
        return TrafficBox(addresses: 0...0, protocols: ipProtocol...ipProtocol, selectors: selector...selector)
    }
}
