public import IPAddressing
public import KernelNames

/// A policy routing rule (RTM_NEWRULE). Rules have no key but all of themselves: one is never changed, only replaced.
public struct Rule: Hashable, Sendable, KernelObject {
    public var family: AddressFamily
    public var priority: UInt32
    /// Nil: any source.
    public var source: IPPrefix?
    /// Matches packets of VRF devices and looks in their table (FRA_L3MDEV).
    public var l3mdev: Bool
    public var action: Action
    /// Who made it: ours, or a rule of the kernel's own set (FRA_PROTOCOL).
    public var routeProtocol: RouteProtocol

    public enum Action: Hashable, Sendable {
        case lookup(TableID)
        case unreachable
    }

    public init(
        family: AddressFamily = .ipv4, priority: UInt32, source: IPPrefix? = nil, l3mdev: Bool = false, action: Action,
        routeProtocol: RouteProtocol
    ) {
        self.family = family
        self.priority = priority
        self.source = source
        self.l3mdev = l3mdev
        self.action = action
        self.routeProtocol = routeProtocol
    }

    public static var kind: ObjectKind { .rule }
    public var key: Key { Key(rule: self) }

    public struct Key: Hashable, Comparable, Sendable {
        let rule: Rule

        private var order: (UInt32, UInt8, UInt8, UInt8, UInt32) {
            let table: UInt32 = if case .lookup(let table) = rule.action { table.rawValue } else { 0 }
            return (rule.priority, rule.family.rawValue, rule.l3mdev ? 1 : 0, rule.routeProtocol.rawValue, table)
        }

        public static func < (left: Key, right: Key) -> Bool {
            if left.order != right.order { return left.order < right.order }
            let (one, other) = (left.rule.source, right.rule.source)
            guard let one else { return other != nil }
            guard let other else { return false }
            return one < other
        }
    }

    /// `rule pref 1001 l3mdev unreachable`.
    public var description: String {
        var text = "rule pref \(priority)"
        if let source { text += " from \(source)" }
        switch action {
        case .lookup(let table):
            // An l3mdev rule takes its table from the device.
            text += l3mdev ? " lookup [l3mdev-table]" : " lookup \(Self.name(of: table))"
        case .unreachable: text += (l3mdev ? " l3mdev" : "") + " unreachable"
        }
        return text
    }

    private static func name(of table: TableID) -> String {
        switch table {
        case .main: "main"
        case .local: "local"
        default: "\(table)"
        }
    }
}
