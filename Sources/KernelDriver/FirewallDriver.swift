import CLinux
import Glibc
public import KernelModel
public import NFTables
public import Netlink

/// Reads and changes nf_tables in one network namespace.
///
/// Only the tables that it is asked for are listed, and only those are changed.
public struct FirewallDriver: ~Copyable, Sendable {
    private var socket: NFTablesSocket

    public init(in namespace: NetworkNamespace = .current) throws(NetlinkError) {
        socket = try NFTablesSocket(in: namespace)
    }

    /// See ``NetlinkSocket/objectCount``.
    var objectCount: Int { socket.objectCount }

    /// Messages sent that can modify the kernel's state.
    public var writes: Int { socket.modificationCount }

    /// The socket's address: notifications of what it changed bear it, see ``FirewallMonitor``.
    public var portID: UInt32 { socket.portID }

    /// The number of the present state: every transaction of anybody raises it by one.
    public mutating func generation() throws(NetlinkError) -> UInt32 { try socket.generation() }

    // MARK: Observing

    /// Reads tables, all of them as they were at one moment.
    ///
    /// The kernel lists a hash set in time that grows with the square of its size (each 32 KiB begin at the set's start
    /// again): 0.1 s for 100,000 elements, 20 s for a million.
    public mutating func observe(_ tables: [NFTable], attempts: Int = 16) throws(NetlinkError) -> NFSnapshot {
        let (tables, generation) = try consistently(attempts) { driver throws(NetlinkError) in
            var list: [NFObservedTable] = []
            for table in tables.sorted() {
                if let observed = try driver.observe(table) { list.append(observed) }
            }
            return list
        }
        return NFSnapshot(generation: generation, tables: tables)
    }

    /// Which of the tables exist, without what they hold.
    public mutating func presence(of tables: [NFTable]) throws(NetlinkError) -> NFSnapshot {
        let (tables, generation) = try consistently { driver throws(NetlinkError) in
            var list: [NFObservedTable] = []
            for table in tables.sorted() {
                if let observed = try driver.header(of: table) { list.append(observed) }
            }
            return list
        }
        return NFSnapshot(generation: generation, tables: tables)
    }

    /// What tables hold, without elements and rules; those that exist, sorted.
    public mutating func listings(of tables: [NFTable]) throws(NetlinkError) -> [NFListing] {
        try consistently { driver throws(NetlinkError) in
            var listings: [NFListing] = []
            for table in tables.sorted() where try driver.header(of: table) != nil {
                listings.append(try driver.listing(of: table))
            }
            return listings
        }.0
    }

    /// Reads until nobody has changed anything meanwhile; with the generation of what was read.
    mutating func consistently<Result>(
        _ attempts: Int = 16, _ read: (inout FirewallDriver) throws(NetlinkError) -> Result
    ) throws(NetlinkError) -> (Result, generation: UInt32) {
        for _ in 0..<attempts {
            let generation = try generation()
            let result: Result
            do throws(NetlinkError) {
                result = try read(&self)
            } catch {
                // What is asked for may have been deleted just now.
                if try self.generation() != generation { continue }
                throw error
            }
            if try self.generation() == generation { return (result, generation) }
        }
        throw NetlinkError(errno: EINTR, operation: "list nf_tables", message: "the tables change all the time")
    }

    /// Nil where there is no such table.
    mutating func observe(_ table: NFTable) throws(NetlinkError) -> NFObservedTable? {
        guard var observed = try header(of: table) else { return nil }
        observed.objects = try objects(of: table)
        observed.objects.sort { $0.name < $1.name }
        observed.sets = try sets(of: table).map { $0.set }
        for index in observed.sets.indices { try readElements(of: &observed.sets[index], table) }
        observed.chains = try readChains(of: table)
        observed.flowtables = try flowtables(of: table)
        return observed
    }

    /// The table itself; nil when it does not exist.
    private mutating func header(of table: NFTable) throws(NetlinkError) -> NFObservedTable? {
        let family = FirewallCodes.family(table.family)
        let name = table.name
        var observed = NFObservedTable(table)
        do throws(NetlinkError) {
            try socket.query(NFT_MSG_GETTABLE, family: family) {
                $0.put(NFTA_TABLE_NAME, name)
            } each: { message throws(CodecError) in
                try observed.read(message)
            }
        } catch {
            if error.errno == ENOENT { return nil }
            throw error
        }
        return observed
    }

    /// A table's sets without their elements, by name; with how many there are, where the kernel says so (Linux 6.17).
    private mutating func sets(of table: NFTable) throws(NetlinkError) -> [(set: NFObservedSet, count: Int?)] {
        var sets = try socket.dump(
            NFT_MSG_GETSET, family: FirewallCodes.family(table.family), into: [(set: NFObservedSet, count: Int?)]()
        ) {
            $0.put(NFTA_SET_TABLE, table.name)
        } each: { list, message throws(CodecError) in
            if let set = try NFObservedSet(message) { list.append((set, try NFObservedSet.count(in: message))) }
        }
        sets.sort { $0.set.name < $1.set.name }
        return sets
    }

    private mutating func listing(of table: NFTable) throws(NetlinkError) -> NFListing {
        var listing = NFListing(table)
        listing.objects = try objects(of: table)
        listing.objects.sort { $0.name < $1.name }
        for (set, known) in try sets(of: table) {
            var set = set
            var count = known
            // Of single intervals the kernel counts the ends.
            if count == nil || set.shape.isInterval {
                try readElements(of: &set, table)
                count = set.elements.count
            }
            listing.sets.append(.init(name: set.name, shape: set.shape, count: count ?? 0))
        }
        let rules = try socket.dump(
            NFT_MSG_GETRULE, family: FirewallCodes.family(table.family), into: [String: Int]()
        ) {
            $0.put(NFTA_RULE_TABLE, table.name)
        } each: { counts, message throws(CodecError) in
            counts[try NFObservedRule.chain(in: message), default: 0] += 1
        }
        listing.chains = try chains(of: table).map { .init(name: $0.name, base: $0.base, count: rules[$0.name] ?? 0) }
        listing.flowtables = try flowtables(of: table)
        return listing
    }

    mutating func readElements(of set: inout NFObservedSet, _ table: NFTable) throws(NetlinkError) {
        if set.shape.timeout != nil { return }
        let name = set.name
        for attempt in 0..<Self.listingAttempts {
            let reader = try socket.dump(
                NFT_MSG_GETSETELEM, family: FirewallCodes.family(table.family),
                into: FirewallElementReader(shape: set.shape)
            ) {
                $0.put(NFTA_SET_ELEM_LIST_TABLE, table.name)
                $0.put(NFTA_SET_ELEM_LIST_SET, name)
            } each: { reader, message throws(CodecError) in
                try reader.read(message)
            }
            let result = reader.finished()
            (set.elements, set.isIrregular) = (result.elements, result.isIrregular)
            if !result.hasRepetitions { return }
            // A hash set without a size grows in the background after many elements were added, which puts them in
            // another order; a listing resumes by position, and so misses one for each that it repeats. Nothing says so.
            usleep(1000 << UInt32(min(attempt, 8)))
        }
        throw NetlinkError(
            errno: EINTR, operation: "list elements of set \(table) \(name)",
            message: "the kernel has not come to an end of enlarging the set")
    }

    private static let listingAttempts = 16

    /// A table's chains without their rules, by name.
    private mutating func chains(of table: NFTable) throws(NetlinkError) -> [NFObservedChain] {
        // The kernel filters chains by family only; those of other tables are dropped unread.
        var chains = try socket.dump(
            NFT_MSG_GETCHAIN, family: FirewallCodes.family(table.family), into: [NFObservedChain]()
        ) { list, message throws(CodecError) in
            if let (owner, chain) = try NFObservedChain.read(message, table.family), owner == table.name {
                list.append(chain)
            }
        }
        chains.sort { $0.name < $1.name }
        return chains
    }

    mutating func readChains(of table: NFTable) throws(NetlinkError) -> [NFObservedChain] {
        let family = FirewallCodes.family(table.family)
        var chains = try chains(of: table)
        let rules = try socket.dump(NFT_MSG_GETRULE, family: family, into: [String: [NFObservedRule]]()) {
            $0.put(NFTA_RULE_TABLE, table.name)
        } each: { list, message throws(CodecError) in
            let (chain, rule) = try NFObservedRule.read(message)
            list[chain, default: []].append(rule)
        }
        for index in chains.indices { chains[index].rules = rules[chains[index].name] ?? [] }
        return chains
    }

    /// A table's flowtables, by name.
    ///
    /// The kernel leaves one out, without a word, that does not fit into one message of 32 KiB: one of some 1500 devices.
    mutating func flowtables(of table: NFTable) throws(NetlinkError) -> [NFObservedFlowtable] {
        var list = try socket.dump(NFT_MSG_GETFLOWTABLE, family: FirewallCodes.family(table.family), into: []) {
            $0.put(NFTA_FLOWTABLE_TABLE, table.name)
        } each: { list, message throws(CodecError) in
            list.append(try NFObservedFlowtable(message))
        }
        list.sort { $0.name < $1.name }
        return list
    }

    /// The named counters of a table, by name. Reading does not reset them.
    public mutating func counters(of table: NFTable) throws(NetlinkError) -> [NFObservedObject] {
        var list = try objects(of: table, type: UInt32(NFT_OBJECT_COUNTER))
        list.sort { $0.name < $1.name }
        return list
    }

    /// A table's named objects, of one type or of all.
    mutating func objects(of table: NFTable, type: UInt32? = nil) throws(NetlinkError) -> [NFObservedObject] {
        try socket.dump(NFT_MSG_GETOBJ, family: FirewallCodes.family(table.family), into: []) {
            $0.put(NFTA_OBJ_TABLE, table.name)
            if let type { $0.put(NFTA_OBJ_TYPE, number: type) }
        } each: { list, message throws(CodecError) in
            list.append(try NFObservedObject(message))
        }
    }

    /// The rules of one chain with what they have counted; none when there is no such chain.
    public mutating func rules(of chain: String, in table: NFTable) throws(NetlinkError) -> [NFObservedRule] {
        try socket.dump(NFT_MSG_GETRULE, family: FirewallCodes.family(table.family), into: []) {
            $0.put(NFTA_RULE_TABLE, table.name)
            $0.put(NFTA_RULE_CHAIN, chain)
        } each: { list, message throws(CodecError) in
            list.append(try NFObservedRule.read(message).1)
        }
    }

    // MARK: Committing

    /// Failures that are reported of one transaction.
    private static let failureLimit = 64

    /// Carries out changes in one transaction: all take effect at once, or none.
    ///
    /// What nothing leads to any more is only removed when no packet is on its way to it.
    ///
    /// - Parameter generation: That of the snapshot which the changes were computed from; nil takes effect whatever has
    ///   happened since.
    public mutating func commit(_ changes: [NFChangeSet], generation: UInt32?) throws(NetlinkError) -> NFOutcome {
        if changes.allSatisfy(\.isEmpty) {
            if let generation { return .committed(generation: generation) }
            return .committed(generation: try socket.generation())
        }
        if changes.contains(where: { !$0.removal.isEmpty && $0.turn.isEmpty }) { PacketsUnderWay.wait() }
        var encoder = FirewallEncoder()
        var failures: [NFFailure] = []
        // Read by the one closure, written by the other, never at the same time.
        var subjects: [FirewallEncoder.Subject] = []
        let outcome = try socket.transact(generation: generation) { writer in
            encoder.encode(changes, into: &writer)
            subjects = encoder.subjects
        } failed: { message, request, error in
            guard failures.count < Self.failureLimit else { return }
            failures.append(Self.failure(changes, subjects, message, request, error))
        }
        switch outcome {
        case .stale: return .stale
        case .refused: return .refused(failures)
        case .committed:
            guard let generation else { return .committed(generation: try socket.generation()) }
            return .committed(generation: NFSnapshot.generation(after: generation))
        }
    }

    /// Carries out transactions one after the other, until one of them does not take effect.
    ///
    /// - Returns: What became of the last one that was tried, and how many took effect.
    public mutating func commit(
        inOrder transactions: [NFChangeSet], generation: UInt32?
    ) throws(NetlinkError) -> (outcome: NFOutcome, committed: Int) {
        var expected = generation
        var outcome = try commit([], generation: expected)
        for (index, transaction) in transactions.enumerated() {
            outcome = try commit([transaction], generation: expected)
            guard case .committed(let reached) = outcome else { return (outcome, index) }
            if expected != nil { expected = reached }
        }
        return (outcome, transactions.count)
    }

    private static func failure(
        _ changes: [NFChangeSet], _ subjects: [FirewallEncoder.Subject], _ message: Int, _ request: RawSpan,
        _ error: NetlinkError
    ) -> NFFailure {
        guard subjects.indices.contains(message - 1) else {
            return NFFailure(table: changes[0].table, operation: nil, reason: error.reason)
        }
        let subject = subjects[message - 1]
        let operation = changes[subject.table].operations[subject.operation]
        var element: Int?
        if operation.elements != nil, let offset = error.attributeOffset {
            element = NFTablesElements.index(at: offset, in: request).map { subject.element + $0 }
        }
        return NFFailure(
            table: changes[subject.table].table, operation: operation, element: element, reason: error.reason)
    }
}
