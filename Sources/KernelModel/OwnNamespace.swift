public import KernelNames

/// A network namespace with a name that is made for a host, and that nobody else uses.
public struct OwnNamespace: Hashable, Sendable {
    /// Under /run/netns.
    public var name: NamespaceName
    /// What the alias of its loopback device begins with: by that it is found again, whatever its name.
    public var alias: String
    /// Whether it has its name: somebody may have taken that away while it is held open.
    public var isNamed: Bool

    public init(name: NamespaceName, alias: String, isNamed: Bool = true) {
        self.name = name
        self.alias = alias
        self.isNamed = isNamed
    }
}

extension OwnNamespace: KernelObject {
    public static var kind: ObjectKind { .namespace }
    public var key: NamespaceName { name }
    public var description: String { "network namespace \(name)" }
}

/// Where the host's namespace was seen to be.
public enum NamespaceStanding: Hashable, Sendable {
    /// It is not ours to make or to remove; tunnels and everything else are in one.
    case given
    /// To be made. What was observed is what a new one holds.
    case absent
    case own(OwnNamespace)
    /// Somebody else has one of that name: why it is not ours, as a clause.
    case foreign(NamespaceName, String)

    /// Whether devices come from another namespace, and go back there.
    public var isApart: Bool { self != .given }

    /// Whether there is none yet.
    public var isAbsent: Bool { self == .absent }
}
