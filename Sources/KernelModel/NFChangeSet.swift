/// The work that turns one table into what it shall be: operations in the order in which one transaction holds them.
public struct NFChangeSet: Sendable, Hashable {
    public let table: NFTable
    public var operations: [NFOperation]

    public init(_ table: NFTable, _ operations: [NFOperation] = []) {
        self.table = table
        self.operations = operations
    }

    public var isEmpty: Bool { operations.isEmpty }

    /// Objects of the kernel that are created, changed and deleted: an element is one.
    public var counts: ChangePlan.Counts {
        var counts = ChangePlan.Counts()
        for operation in operations {
            switch operation.action {
            case .create: counts.created += operation.weight
            case .change: counts.changed += operation.weight
            case .delete: counts.deleted += operation.weight
            case .wait: break
            }
        }
        return counts
    }

    /// Elements that are added and removed: what the size of the transaction depends on.
    var elementCount: Int {
        operations.reduce(0) { $0 + ($1.elements?.count ?? 0) }
    }
}

/// One step of a transaction.
public enum NFOperation: Sendable, Hashable {
    case createTable(comment: String?)
    /// Switches the table's chains on again (`NFT_TABLE_F_DORMANT` off).
    case wakeTable
    /// With everything in it.
    case deleteTable
    case createCounter(NFCounter)
    /// `type` is one of `NFT_OBJECT_*`.
    case deleteObject(name: String, type: UInt32)
    /// Without its elements.
    case createSet(NFSet)
    case deleteSet(name: String)
    case addElements(set: String, NFSetShape, NFElements)
    case removeElements(set: String, NFSetShape, NFElements)
    /// Removes all elements of a set.
    case flushSet(name: String)
    /// Without its rules.
    case createChain(NFChain)
    case changePolicy(NFChain)
    case deleteChain(name: String)
    /// Removes all rules of a chain.
    case flushChain(name: String)
    case addRule(chain: String, NFRule, NFPosition)
    case deleteRule(chain: String, handle: UInt64, NFRule)

    /// Where a rule goes in its chain.
    public enum NFPosition: Sendable, Hashable {
        case last
        /// In front of the rule of that handle.
        case before(UInt64)
    }
}

extension NFOperation {
    public var action: Operation.Action {
        switch self {
        case .createTable, .createCounter, .createSet, .addElements, .createChain, .addRule: .create
        case .wakeTable, .changePolicy: .change
        case .deleteTable, .deleteObject, .deleteSet, .removeElements, .flushSet, .deleteChain, .flushChain,
            .deleteRule:
            .delete
        }
    }

    /// Objects of the kernel that it is about.
    public var weight: Int { elements?.count ?? 1 }

    public var elements: NFElements? {
        switch self {
        case .addElements(_, _, let elements), .removeElements(_, _, let elements): elements
        default: nil
        }
    }

    /// Where the object comes from; of elements see ``NFElements/origin(of:)``.
    public var origin: Origin {
        switch self {
        case .createCounter(let counter): counter.origin
        case .createSet(let set): set.origin
        case .createChain(let chain), .changePolicy(let chain): chain.origin
        case .addRule(_, let rule, _): rule.origin
        default: .none
        }
    }
}
