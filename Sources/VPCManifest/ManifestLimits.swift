/// Bounds that keep a hostile or broken manifest from exhausting the machine.
public struct ManifestLimits: Hashable, Sendable {
    /// Bytes of one file.
    public var fileSize = 256 << 20
    /// Bytes of all files of a set.
    public var setSize = 1 << 30
    /// Whether a pipe or a device that is named counts as a file: whoever waits for its end may wait for ever.
    public var allowsStreams = true
    /// Whether what an agent adds to resources that it tells of, `status`, `origin` and `metadata.resourceVersion`, may stand
    /// there: so that what was got can be handed over as it came.
    public var allowsAnswers = false
    /// Levels of mappings and sequences inside each other.
    public var depth = 64
    /// Nodes that the aliases of one document may repeat.
    public var aliasedNodes = 1_000_000
    /// Errors after which no further document is read.
    public var errors = 10_000

    public init() {}

    /// Of what somebody may have got from an agent.
    public static var ofAnswers: ManifestLimits {
        var limits = ManifestLimits()
        limits.allowsAnswers = true
        return limits
    }

    /// Of a daemon, which nobody may hold up.
    public static var ofDaemon: ManifestLimits {
        var limits = ManifestLimits()
        limits.allowsStreams = false
        return limits
    }
}
