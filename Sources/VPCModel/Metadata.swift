/// What every resource carries beside its spec.
public struct Metadata: Hashable, Sendable {
    /// A DNS label (RFC 1123): 1…63 of `a-z 0-9 -`, not starting or ending with `-`; unique per kind.
    public var name: String
    public var labels: [String: String]
    public var annotations: [String: String]

    public init(name: String, labels: [String: String] = [:], annotations: [String: String] = [:]) {
        self.name = name
        self.labels = labels
        self.annotations = annotations
    }
}
