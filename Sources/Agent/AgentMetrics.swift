public import KernelModel
import Synchronization

/// What the agent counts. Reading costs a copy; counting an addition.
public struct AgentMetrics: Sendable {
    /// Seconds a pass took, from the first look to the last write.
    public var passes = Histogram()
    /// Seconds from a notification's arrival to the end of the repair.
    public var repairs = Histogram()
    public var operations: [Operation: Int] = [:]
    /// Objects that somebody else had changed, by kind.
    public var repaired: [ObjectKind: Int] = [:]
    public var notifications = 0
    public var overruns = 0
    /// System calls and requests on netlink that failed, by error name.
    public var netlinkErrors: [String: Int] = [:]
    public var revisionsAccepted = 0
    public var revisionsRejected = 0
    public var reverts = 0
    /// Translations that were written down, those that could not be, and how often the kernel threw news of them away.
    public var translations = Translations()
    /// As of the last pass.
    public var desiredObjects: [ObjectKind: Int] = [:]
    public var actualObjects: [ObjectKind: Int] = [:]

    /// What was asked of the kernel, and whether it did it.
    public struct Operation: Sendable, Hashable {
        public var kind: ObjectKind
        public var action: String
        public var isDone: Bool
    }

    public struct Translations: Sendable, Hashable {
        public var recorded = 0
        public var unwritten = 0
        public var overruns = 0
    }

    public struct Histogram: Sendable {
        /// Upper bounds, in seconds.
        public static let bounds: [Double] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
        /// How many were at most as long as the bound, for each bound.
        public private(set) var counts = [Int](repeating: 0, count: bounds.count)
        public private(set) var count = 0
        public private(set) var sum = 0.0

        public mutating func add(_ duration: Duration) {
            let (seconds, attoseconds) = duration.components
            let value = Double(seconds) + Double(attoseconds) * 1e-18
            count += 1
            sum += value
            for (index, bound) in Self.bounds.enumerated() where value <= bound { counts[index] += 1 }
        }
    }
}
