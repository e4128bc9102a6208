public import VPCTopology
import VPCModel

/// Why a host denies a packet of a VPC that logs what is denied.
public enum Denial: Hashable, Sendable {
    /// The line with that priority of an ACL (an index into `Topology.acls`); nil: no line matches.
    case acl(Int, TrafficDirection, priority: Int?)
    /// No rule of these groups, all those of one interface (indexes into `Topology.securityGroups`), allows it. A
    /// stray belongs to no connection that this host knows, and cannot begin one.
    case groups([Int], TrafficDirection, isStray: Bool)
    /// Its MAC or source address is not the sender's, whose VPC is this one (an index into `Topology.vpcs`).
    case spoofed(vpc: Int)
    /// It is for the host itself, and no ping of the subnet's gateway.
    case toHost(vpc: Int)
}

extension Topology {
    /// The VPC that the packet is in, an index into `vpcs`.
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

    /// Everything that hosts may report, by what the kernel's log says of it.
    public var loggedDenials: [String: Denial] {
        var denials: Set<Denial> = []
        for vpc in vpcs.indices where vpcs[vpc].denialLog != nil {
            denials.formUnion([.spoofed(vpc: vpc), .toHost(vpc: vpc)])
            for interface in interfaces[vpcs[vpc].interfaces] where !interface.securityGroups.isEmpty {
                for direction in TrafficDirection.allCases {
                    denials.insert(.groups(interface.securityGroups, direction, isStray: false))
                    denials.insert(.groups(interface.securityGroups, direction, isStray: true))
                }
            }
        }
        for (index, acl) in acls.enumerated() where vpcs[acl.vpc].denialLog != nil {
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
