public import KernelNames

/// In which of the network namespaces that belong to a host something is.
public enum Place: Hashable, Sendable {
    /// Where the host does what it does.
    case host
    /// Where the packets of its tunnels travel, and where devices of others that it adopts come from: another namespace
    /// only where the host's is one of its own (``OwnNamespace``).
    case underlay
    case guest(NamespaceName)

    /// Nil: not a guest's.
    public var guest: NamespaceName? {
        if case .guest(let name) = self { name } else { nil }
    }

    /// One word: `host`, `underlay` or `guest`.
    public var word: String {
        switch self {
        case .host: "host"
        case .underlay: "underlay"
        case .guest: "guest"
        }
    }

    /// ` in namespace web1`, behind what is said of an object there; empty for the host's own.
    public var suffix: String {
        switch self {
        case .host: ""
        case .underlay: " in the underlay's namespace"
        case .guest(let name): " in namespace \(name)"
        }
    }
}
