import KernelModel

/// Which way a packet goes, seen from the guest.
public enum TrafficDirection: String, Sendable, CaseIterable {
    case ingress = "in"
    case egress = "out"

    /// What manifests call it: `ingress`, `egress`.
    public var field: String { self == .ingress ? "ingress" : "egress" }

    /// The far end's address field.
    var farAddress: NFField { self == .ingress ? .ipSource : .ipDestination }
}

/// Names of our chains, sets and counters. A DNS label has no `_`, so a name with its `-` replaced stays unique.
enum FirewallName {
    static func of(_ resource: String) -> String { String(resource.map { $0 == "-" ? "_" : $0 }) }

    /// What the names of one direction of a security group begin with: `sg_web_in`.
    static func group(_ name: String, _ direction: TrafficDirection) -> String {
        "sg_\(of(name))_\(direction.rawValue)"
    }

    /// What the names of one direction of an ACL begin with: `acl_web_in`.
    static func acl(_ name: String, _ direction: TrafficDirection) -> String { "acl_\(of(name))_\(direction.rawValue)" }

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
