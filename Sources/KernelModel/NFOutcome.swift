public import KernelNames
public import NFTables

/// What became of a transaction.
public enum NFOutcome: Sendable, Hashable {
    /// It took effect as a whole; the generation it brought about.
    case committed(generation: UInt32)
    /// Somebody else changed nf_tables since the generation it was made for: nothing took effect. Observe and compare
    /// again.
    case stale
    /// Nothing took effect. What the kernel objected to; only the first few where there is much.
    case refused([NFFailure])
}

/// What the kernel objected to in a transaction.
public struct NFFailure: Sendable, Hashable {
    public var table: NFTable
    /// Nil: the transaction itself.
    public var operation: NFOperation?
    /// Which of the operation's elements.
    public var element: Int?
    public var reason: CommitReport.Reason

    public init(table: NFTable, operation: NFOperation?, element: Int? = nil, reason: CommitReport.Reason) {
        self.table = table
        self.operation = operation
        self.element = element
        self.reason = reason
    }

    /// Where that comes from.
    public var origin: Origin {
        guard let operation else { return .none }
        if let element, let elements = operation.elements, element < elements.count {
            return elements.origin(of: element)
        }
        return operation.origin
    }
}
