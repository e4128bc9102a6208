/// The names of the counters of rules and lines, in the table `inet vpcctl`.
public enum RuleCounter {
    public enum Direction: String, Sendable, CaseIterable {
        case ingress = "in"
        case egress = "out"
    }

    /// Of the rule at that position of a security group's direction.
    public static func ofGroup(_ name: String, _ direction: Direction, rule: Int) -> String {
        "sg_\(FirewallName.of(name))_\(direction.rawValue)_\(rule)"
    }

    /// Of the line with that priority of an ACL's direction.
    public static func ofACL(_ name: String, _ direction: Direction, priority: Int) -> String {
        "acl_\(FirewallName.of(name))_\(direction.rawValue)_\(priority)"
    }
}
