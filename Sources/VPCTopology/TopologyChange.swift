/// What became of a topology, by the numbers of what was concerned.
public struct TopologyChange: Sendable {
    public struct Part<Element: Sendable>: Sendable {
        /// Ascending.
        public internal(set) var added: [Int] = []
        /// With what they were; nobody else has their numbers yet.
        public internal(set) var removed: [Int: Element] = [:]
        /// With what they were before.
        public internal(set) var changed: [Int: Element] = [:]

        public var isEmpty: Bool { added.isEmpty && removed.isEmpty && changed.isEmpty }
    }

    public internal(set) var interfaces = Part<ResolvedInterface>()

    /// Nothing.
    public init() {}
}
