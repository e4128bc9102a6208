public import IPAddressing
public import KernelNames
public import VPCModel
public import VPCTopology

/// Why a host denies a packet of a VPC that logs what is denied.
public enum Denial: Hashable, Sendable {
    /// The line with that priority of an ACL (a number of `Topology.acls`); nil: no line matches.
    case acl(Int, TrafficDirection, priority: Int?)
    /// No rule of these groups, all those of one interface (numbers of `Topology.securityGroups`), allows it. A
    /// stray belongs to no connection that this host knows, and cannot begin one.
    case groups([Int], TrafficDirection, isStray: Bool)
    /// Its MAC or source address is not the sender's, whose VPC is this one (a number of `Topology.vpcs`).
    case spoofed(vpc: Int)
    /// It is for the host itself, and no ping of the subnet's gateway.
    case toHost(vpc: Int)
}

extension Topology {
    /// The VPC that the packet is in, a number of `vpcs`.
    public func vpc(of denial: Denial) -> Int {
        switch denial {
        case .acl(let acl, _, _): acls[acl].vpc
        case .groups(let groups, _, _): groups.first.map { securityGroups[$0].vpc } ?? 0
        case .spoofed(let vpc), .toHost(let vpc): vpc
        }
    }

    /// What the kernel's log says of a packet: `vpcctl acl web in 200`, `vpcctl groups web,db in`.
    ///
    /// At most 127 bytes (`NF_LOG_PREFIXLEN`); the names of groups that do not fit are replaced by their digest.
    public func logPrefix(of denial: Denial) -> String {
        switch denial {
        case .acl(let acl, let direction, let priority):
            return "vpcctl acl \(acls[acl].name) \(direction.rawValue) \(priority.map { "\($0)" } ?? "default")"
        case .groups(let groups, let direction, let isStray):
            let names = groups.map { securityGroups[$0].name }.joined(separator: ",")
            let end = " \(direction.rawValue)" + (isStray ? " stray" : "")
            let text = "vpcctl groups \(names)\(end)"
            return text.utf8.count <= 127 ? text : "vpcctl groups #\(Digest(names).hex)\(end)"
        case .spoofed(let vpc): return "vpcctl spoofed \(vpcs[vpc].name)"
        case .toHost(let vpc): return "vpcctl to host \(vpcs[vpc].name)"
        }
    }

    /// The interface that a denied packet came from, or was for, a number of `interfaces`: whose policies they were.
    ///
    /// What comes in is known by the port that it would have left by. What goes out is seen when its port has become a
    /// VRF, and known by its MAC address, which was found to be the sender's own before.
    /// - Parameters:
    ///   - host: Where it was denied, a number of `hosts`.
    ///   - input: The device it came in by; nil where there is none, or where that is not known.
    ///   - output: The device it was to leave by.
    public func interface(
        of denial: Denial, onHost host: Int, input: InterfaceName?, output: InterfaceName?, source: MACAddress?
    ) -> Int? {
        let vpc = vpc(of: denial)
        let own = interfacesOfHost[host].lazy.filter { self.interfaces[$0].vpc == vpc }
        func byPort(_ port: InterfaceName?) -> Int? {
            port.flatMap { port in own.first { self.interfaces[$0].portName.rawValue == port.description } }
        }
        switch denial {
        case .acl(_, .ingress, _), .groups(_, .ingress, _): return byPort(output)
        case .spoofed: return byPort(input)
        case .acl(_, .egress, _), .groups(_, .egress, _), .toHost:
            return source.flatMap { source in own.first { self.interfaces[$0].mac == source } }
        }
    }

    /// What stands in the manifests for a denial: the line, the rules or the interface, and which field of it.
    /// - Parameter interface: Whose policies they were, where that is known.
    public func subject(
        of denial: Denial, interface: Int?, in model: Model
    ) -> (resource: ResourceReference, path: FieldPath)? {
        let own = interface.map { ResourceReference(.networkInterface, interfaces[$0].name) }
        switch denial {
        case .acl(let index, let direction, let priority):
            let name = acls[index].name
            let list: FieldPath = ["spec", .key(direction.field)]
            let line = priority.flatMap { priority in
                model.acls.first { $0.metadata.name == name }?.path(
                    ofLine: priority, isIngress: direction == .ingress)
            }
            return (ResourceReference(.networkACL, name), line ?? list)
        case .groups(let groups, let direction, _):
            if groups.count == 1 {
                let group = ResourceReference(.securityGroup, securityGroups[groups[0]].name)
                return (group, ["spec", .key(direction.field)])
            }
            return own.map { ($0, ["spec", "securityGroups"]) }
        case .spoofed: return own.map { ($0, ["spec", "sourceDestCheck"]) }
        case .toHost: return own.map { ($0, ["spec", "subnet"]) }
        }
    }

    /// Everything that hosts may report, by what the kernel's log says of it.
    public var loggedDenials: [String: Denial] {
        var denials: Set<Denial> = []
        for vpc in vpcs.indices where vpcs[vpc].denialLog != nil {
            denials.formUnion([.spoofed(vpc: vpc), .toHost(vpc: vpc)])
            for interface in interfacesOfVPC[vpc].lazy.map({ self.interfaces[$0] })
            where !interface.securityGroups.isEmpty {
                for direction in TrafficDirection.allCases {
                    denials.insert(.groups(interface.securityGroups, direction, isStray: false))
                    denials.insert(.groups(interface.securityGroups, direction, isStray: true))
                }
            }
        }
        for (index, acl) in acls.numbered where vpcs[acl.vpc].denialLog != nil {
            for (direction, lines) in [(TrafficDirection.ingress, acl.ingress), (.egress, acl.egress)] {
                denials.insert(.acl(index, direction, priority: nil))
                for line in lines where line.action == .deny {
                    denials.insert(.acl(index, direction, priority: line.priority))
                }
            }
        }
        return Dictionary(denials.map { (logPrefix(of: $0), $0) }, uniquingKeysWith: { first, _ in first })
    }
}
