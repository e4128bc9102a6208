import Console
import NFTables
import VPCCompiler
import VPCModel

/// The rules of security groups and the lines of ACLs, with what they have counted where that is known.
struct RuleTable {
    /// Nil: not asked for.
    let counts: [FirewallName: NFCounts]?

    func table(of groups: [SecurityGroup]) -> TextTable {
        var table = TextTable(["GROUP", "DIRECTION", "RULE", "TRAFFIC", "PEERS"] + countHeader)
        for group in groups {
            for (direction, rules) in [(TrafficDirection.ingress, group.ingress), (.egress, group.egress)] {
                for (index, rule) in rules.enumerated() {
                    let counter = RuleCounter.ofGroup(group.metadata.name, direction, rule: index)
                    table.rows.append(
                        [
                            group.metadata.name, "\(direction)", "\(index)", rule.traffic.summary,
                            rule.peers.map(\.summary).joined(separator: ","),
                        ] + cells(counter))
                }
            }
        }
        return table
    }

    func table(of acls: [NetworkACL]) -> TextTable {
        var table = TextTable(["ACL", "DIRECTION", "PRIORITY", "ACTION", "TRAFFIC", "CIDR"] + countHeader)
        for acl in acls {
            for (direction, rules) in [(TrafficDirection.ingress, acl.ingress), (.egress, acl.egress)] {
                for rule in rules.sorted(by: { $0.priority < $1.priority }) {
                    let counter = RuleCounter.ofACL(acl.metadata.name, direction, priority: rule.priority)
                    table.rows.append(
                        [
                            acl.metadata.name, "\(direction)", "\(rule.priority)", rule.action.rawValue,
                            rule.traffic.summary, "\(rule.cidr)",
                        ] + cells(counter))
                }
            }
        }
        return table
    }

    private var countHeader: [String] { counts == nil ? [] : ["PACKETS", "BYTES"] }

    /// A rule that no interface of the host needs has no counter there.
    private func cells(_ counter: FirewallName) -> [String] {
        guard let counts else { return [] }
        return counts[counter].map { ["\($0.packets)", "\($0.bytes)"] } ?? ["-", "-"]
    }
}

extension TrafficMatch {
    /// `tcp 80,443,8000-8999`, `icmp type 8`, `all`.
    var summary: String {
        guard let ipProtocol else { return "all" }
        var text = "\(ipProtocol)"
        if !ports.isEmpty {
            let list = ports.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
            text += " " + list.joined(separator: ",")
        }
        if let icmpType { text += " type \(icmpType)" }
        if let icmpCode { text += " code \(icmpCode)" }
        return text
    }
}

extension SecurityRule.Peer {
    fileprivate var summary: String {
        switch self {
        case .cidr(let prefix): "\(prefix)"
        case .securityGroup(let name), .loadBalancer(let name): name
        }
    }
}
