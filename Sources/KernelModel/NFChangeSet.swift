public import KernelNames
public import NFTables

/// The work that turns one table into what it shall be, in four parts.
///
/// All of it fits into one transaction; ``transactions(limit:)`` keeps the parts apart, so that no packet is lost: a
/// transaction is not one instant for packets. The kernel (6.1 to 6.18) first switches to the new rules and elements and
/// then exchanges the sets of intervals, one after the other, and a packet that has begun its way through the chains
/// finds the chains of before with the elements of after. So what the rules shall lead to is there before they do, and
/// stays until no packet is on its way to it.
public struct NFChangeSet: Sendable, Hashable {
    public let table: NFTable
    /// What nothing leads to yet: counters, new sets with their elements, new chains with their rules.
    public var preparation: [NFOperation] = []
    /// What takes effect.
    public var turn: [NFOperation]
    /// What nothing leads to any more.
    public var removal: [NFOperation] = []
    /// What needs devices that are made meanwhile: flowtables, and what leads into them.
    public var completion: [NFOperation] = []
    /// Names of sets whose elements are loaded last, see ``NFSet/admits``.
    var admissions: Set<String> = []

    public init(_ table: NFTable, _ operations: [NFOperation] = []) {
        self.table = table
        turn = operations
    }

    /// All parts, in the order in which one transaction holds them.
    public var operations: [NFOperation] { preparation + turn + completion + removal }

    public var isEmpty: Bool { preparation.isEmpty && turn.isEmpty && completion.isEmpty && removal.isEmpty }

    /// Whether connections are led again into a flowtable that has some which are to be judged anew before
    /// (``ChangePlan/Work/judgeAnew``): what led there was taken away when what they may do became less, and comes back when
    /// they have left. So whoever is interrupted in between finds what is left to do.
    var leadsAgain: Bool {
        var new: Set<String> = []
        for case .createFlowtable(let flowtable) in completion { new.insert(flowtable.name) }
        return completion.contains { operation in
            guard case .addRule(_, let rule, _) = operation else { return false }
            return rule.expressions.contains { $0.flowtable.map { !new.contains($0) } ?? false }
        }
    }

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
}

/// One step of a transaction.
public enum NFOperation: Sendable, Hashable {
    case createTable(comment: String?)
    /// Switches the table's chains on again (`NFT_TABLE_F_DORMANT` off).
    case wakeTable
    /// With everything in it.
    case deleteTable
    case createCounter(NFCounter)
    case createObject(NFObject)
    /// With its devices, which have to exist.
    case createFlowtable(NFFlowtable)
    /// Takes further devices into one that is there; of `flowtable` nothing else is another.
    case addDevices([InterfaceName], to: NFFlowtable)
    /// Takes out devices that stay; connections that leave by them stay in it.
    case removeDevices([InterfaceName], from: NFFlowtable)
    /// With all connections in it; no rule may refer to it any more.
    case deleteFlowtable(NFObservedFlowtable)
    /// `type` is one of `NFT_OBJECT_*`.
    case deleteObject(name: String, type: UInt32)
    /// Without its elements.
    case createSet(NFSet)
    case deleteSet(name: String)
    case addElements(set: String, NFSetShape, NFElements)
    case removeElements(set: String, NFSetShape, NFElements)
    /// Adds elements that go by themselves; those that are there begin anew.
    case renewElements(set: String, NFSetShape, NFElements)
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
        case .createTable, .createCounter, .createObject, .createSet, .addElements, .renewElements, .createChain,
            .addRule, .createFlowtable:
            .create
        case .wakeTable, .changePolicy, .addDevices: .change
        case .deleteTable, .deleteObject, .deleteFlowtable, .removeDevices, .deleteSet, .removeElements, .flushSet,
            .deleteChain, .flushChain, .deleteRule:
            .delete
        }
    }

    /// Objects of the kernel that it is about.
    public var weight: Int { elements?.count ?? 1 }

    public var elements: NFElements? {
        switch self {
        case .addElements(_, _, let elements), .removeElements(_, _, let elements), .renewElements(_, _, let elements):
            elements
        default: nil
        }
    }

    /// Where the object comes from; of elements see ``NFElements/origin(of:)``.
    public var origin: Origin {
        switch self {
        case .createCounter(let counter): counter.origin
        case .createObject(let object): object.origin
        case .createSet(let set): set.origin
        case .createChain(let chain), .changePolicy(let chain): chain.origin
        case .addRule(_, let rule, _): rule.origin
        case .createFlowtable(let flowtable), .addDevices(_, let flowtable), .removeDevices(_, let flowtable):
            flowtable.origin
        default: .none
        }
    }
}
