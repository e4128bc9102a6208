/// Bounds that keep a hostile or broken manifest from exhausting the machine.
public struct ManifestLimits: Hashable, Sendable {
    /// Bytes of one file.
    public var fileSize = 256 << 20
    /// Levels of mappings and sequences inside each other.
    public var depth = 64
    /// Nodes that the aliases of one document may repeat.
    public var aliasedNodes = 1_000_000
    /// Errors after which no further document is read.
    public var errors = 10_000

    public init() {}
}
