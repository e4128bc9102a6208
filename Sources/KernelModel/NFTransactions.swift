extension NFChangeSet {
    /// This work as transactions to be carried out one after the other, without a packet lost or let through in between.
    ///
    /// What nothing leads to yet comes first, then what takes effect, at once, then what nothing leads to any more. A
    /// part that is not needed is left out: a changed element is one transaction.
    ///
    /// What is too much for one transaction is cut: a preparation anywhere, because nothing leads to it; a first load so
    /// that the chains are in with the first transaction and the elements that admit (``NFSet/admits``) come with the
    /// last ones. Smaller transactions cost the kernel less per element (0.75 µs at 1,000 and 10,000 elements, 1.3 µs at
    /// 100,000) and keep others waiting for less long. What takes effect on a table that is there is never cut.
    ///
    /// - Parameter limit: Elements per transaction.
    public func transactions(limit: Int = Self.elementLimit) -> [NFChangeSet] {
        let phases = phases(limit: limit)
        return phases.preparation + phases.turn + [phases.completion, phases.removal].compactMap(\.self)
    }

    /// Elements per transaction, where nobody says otherwise.
    public static let elementLimit = 10_000

    /// The transactions by what they are for.
    struct Phases {
        var preparation: [NFChangeSet] = []
        /// More than one for a first load only.
        var turn: [NFChangeSet] = []
        var completion: NFChangeSet?
        var removal: NFChangeSet?
    }

    func phases(limit: Int) -> Phases {
        precondition(limit > 0)
        var phases = Phases()
        var turn = self
        if preparation.contains(where: { !$0.isObject }) {
            turn.preparation = []
            phases.preparation = cut(preparation, limit) { change, operations in change.preparation = operations }
        }
        if removal.contains(where: { !$0.isObject }) {
            turn.removal = []
            phases.removal = NFChangeSet(table)
            phases.removal?.removal = removal
        }
        if !completion.isEmpty {
            turn.completion = []
            phases.completion = NFChangeSet(table)
            phases.completion?.completion = completion
        }
        if turn.isFirstLoad {
            phases.turn = cut(turn.operations, limit) { change, operations in change.turn = operations }
        } else if !turn.isEmpty {
            phases.turn = [turn]
        }
        return phases
    }

    /// Whether the table is made.
    public var isFirstLoad: Bool { if case .createTable = turn.first { true } else { false } }

    /// - Parameter fill: Puts operations where they belong in a transaction.
    private func cut(
        _ operations: [NFOperation], _ limit: Int, _ fill: (inout NFChangeSet, [NFOperation]) -> Void
    ) -> [NFChangeSet] {
        var structure: [NFOperation] = []
        var elements: [NFOperation] = []
        var admissions: [NFOperation] = []
        for operation in operations {
            switch operation {
            // A constant set is closed as soon as a rule looks things up in it.
            case .addElements(_, let shape, _) where shape.isConstant: structure.append(operation)
            case .addElements(let set, _, _):
                if self.admissions.contains(set) { admissions.append(operation) } else { elements.append(operation) }
            default: structure.append(operation)
            }
        }
        let count = (elements + admissions).reduce(0) { $0 + $1.weight }
        let pieces =
            count <= limit
            ? [operations] : [structure] + Self.pieces(elements, limit) + Self.pieces(admissions, limit)
        return pieces.map { piece in
            var change = NFChangeSet(table)
            fill(&change, piece)
            return change
        }
    }

    /// Lists of at most so many elements.
    private static func pieces(_ operations: [NFOperation], _ limit: Int) -> [[NFOperation]] {
        var pieces: [[NFOperation]] = []
        var open: [NFOperation] = []
        var room = limit
        for operation in operations {
            guard case .addElements(let set, let shape, let elements) = operation else { continue }
            var next = 0
            while next < elements.count {
                let end = min(next + room, elements.count)
                open.append(.addElements(set: set, shape, elements[next..<end]))
                room -= end - next
                next = end
                if room == 0 {
                    pieces.append(open)
                    (open, room) = ([], limit)
                }
            }
        }
        return open.isEmpty ? pieces : pieces + [open]
    }
}

extension NFOperation {
    /// Whether it is about an object that packets are not led to.
    fileprivate var isObject: Bool {
        switch self {
        case .createCounter, .createObject, .deleteObject: true
        default: false
        }
    }
}
