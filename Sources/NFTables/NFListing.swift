/// What one of our tables was seen to hold, without its elements and rules.
public struct NFListing: Hashable, Sendable {
    public let table: NFTable
    /// By name.
    public var objects: [NFObservedObject] = []
    /// By name.
    public var sets: [Set] = []
    /// By name.
    public var chains: [Chain] = []
    /// By name.
    public var flowtables: [NFObservedFlowtable] = []

    public init(_ table: NFTable) { self.table = table }

    public struct Set: Hashable, Sendable {
        public var name: String
        public var shape: NFSetShape
        /// How many elements it has.
        public var count: Int

        public init(name: String, shape: NFSetShape, count: Int) {
            self.name = name
            self.shape = shape
            self.count = count
        }
    }

    public struct Chain: Hashable, Sendable {
        public var name: String
        public var base: NFBaseChain?
        /// How many rules it has.
        public var count: Int

        public init(name: String, base: NFBaseChain?, count: Int) {
            self.name = name
            self.base = base
            self.count = count
        }
    }
}
