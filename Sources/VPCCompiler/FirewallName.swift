import KernelModel
public import VPCModel

/// Which way a packet goes, seen from the guest.
public enum TrafficDirection: String, Sendable, CaseIterable {
    case ingress = "in"
    case egress = "out"

    /// What manifests call it: `ingress`, `egress`.
    public var field: String { self == .ingress ? "ingress" : "egress" }

    /// The far end's address field.
    var farAddress: NFField { self == .ingress ? .ipSource : .ipDestination }
}

/// Names of our chains, sets and counters.
///
/// A resource's name is a DNS label: no `_` and no `.` in it, so what stands between them tells the names apart, and
/// 63 bytes at most, so two of them fit into a name of the kernel's (255 bytes, `NFT_NAME_MAXLEN`).
enum FirewallName {
    /// What the names of one direction of a security group begin with: `sg_web_in`.
    static func group(_ name: String, _ direction: TrafficDirection) -> String { "sg_\(name)_\(direction.rawValue)" }

    /// A list of security groups: `sg_web.db`. Five names may be too long; then their digest stands for them.
    static func list(_ names: [String]) -> String {
        let text = names.joined(separator: ".")
        return text.utf8.count <= 200 ? "sg_\(text)" : "sgs_\(Digest(text).hex)"
    }

    /// The addresses of a security group's members.
    static func members(_ name: String) -> String { "members_\(name)" }

    static func subnet(_ name: String) -> String { "subnet_\(name)" }

    /// What gateways in a subnet send with addresses of other subnets.
    static func relayed(_ name: String) -> String { "relayed_\(name)" }

    /// What the names of one direction of an ACL begin with: `acl_web_in`.
    static func acl(_ name: String, _ direction: TrafficDirection) -> String { "acl_\(name)_\(direction.rawValue)" }

    /// The counter of one rule or line.
    static func rule(_ prefix: String, _ line: Int) -> String { "\(prefix)_\(line)" }
}

/// The names of the counters of rules and lines, in the table `inet vpcctl`.
public enum RuleCounter {
    /// Of everything that an ACL denies.
    public static let deniedByACL = "denied_by_acl"
    /// Of everything that security groups deny.
    public static let deniedByGroup = "denied_by_group"
    /// Of what came with another's MAC or source address.
    public static let spoofed = "spoofed"
    /// Of what was for the host itself, and was denied.
    public static let toHost = "to_host"

    /// Of the rule at that position of a security group's direction.
    public static func ofGroup(_ name: String, _ direction: TrafficDirection, rule: Int) -> String {
        FirewallName.rule(FirewallName.group(name, direction), rule)
    }

    /// Of the line with that priority of an ACL's direction.
    public static func ofACL(_ name: String, _ direction: TrafficDirection, priority: Int) -> String {
        FirewallName.rule(FirewallName.acl(name, direction), priority)
    }
}

extension FirewallTables {
    /// The resource that a chain, set or counter of ours belongs to, read from its name; nil where it is the host's, or
    /// of several security groups.
    public static func resource(ofObjectNamed name: String) -> ResourceReference? {
        var words = name.split(separator: "_", omittingEmptySubsequences: false).map(String.init)
        if words.first == "deny", words.count > 3 { words.removeFirst() }
        func reference(_ kind: ResourceKind, _ position: Int) -> ResourceReference? {
            // What follows a dot numbers a set that was made anew; in a list it is the next group.
            let parts = words[position].split(separator: ".")
            guard let name = parts.first else { return nil }
            let isOne = parts.count == 1 || position == words.count - 1
            return isOne ? ResourceReference(kind, String(name)) : nil
        }
        switch (words.first, words.count) {
        case ("sg", 3...): return reference(.securityGroup, 1)
        case ("members", 2): return reference(.securityGroup, 1)
        case ("acl", 3...): return reference(.networkACL, 1)
        case ("subnet", 3): return reference(.subnet, 1)
        case ("relayed", 2...): return reference(.subnet, 1)
        case ("log", 3) where words[1] == "spoofed": return reference(.vpc, 2)
        case ("log", 4) where words[1] == "to": return reference(.vpc, 3)
        default: return nil
        }
    }
}
