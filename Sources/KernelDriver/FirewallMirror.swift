import KernelModel
import CLinux
import KernelNames
import NFTables
import Netlink

/// Keeps what is known of our tables of nf_tables equal to the kernel by its notifications.
struct FirewallMirror: ~Copyable {
    private let namespace: NetworkNamespace
    private var monitor: NetlinkMonitor
    private var state: FirewallState

    /// Listens, and then reads the tables into `snapshot`.
    init(
        _ namespace: NetworkNamespace, _ tables: [NFTable], receiveBuffer: Int, into snapshot: inout NFSnapshot,
        _ changes: inout NamespaceChanges
    ) throws(NetlinkError) {
        let monitor = try NetlinkMonitor(.tables, groups: [.tables], in: namespace, receiveBuffer: receiveBuffer)
        var state = FirewallState(tables)
        try state.settle(&snapshot, &changes, namespace)
        self.namespace = namespace
        self.monitor = monitor
        self.state = state
    }

    /// Readable as long as notifications wait.
    var fileDescriptor: Int32 { monitor.fileDescriptor }

    /// Ours; others are only counted.
    var tables: [NFTable] {
        get { state.tables.sorted() }
        set {
            if Set(newValue) != state.tables { state = FirewallState(newValue) }
        }
    }

    mutating func suspectEverything() { state.stale.everything = true }

    /// Takes in all notifications that have come.
    mutating func update(_ snapshot: inout NFSnapshot, _ changes: inout NamespaceChanges) throws(NetlinkError) {
        try Self.drain(&monitor, &state, &snapshot, &changes)
        state.note(changes.vanished, snapshot)
        try state.settle(&snapshot, &changes, namespace)
    }

    private static func drain(
        _ monitor: inout NetlinkMonitor, _ state: inout FirewallState, _ snapshot: inout NFSnapshot,
        _ changes: inout NamespaceChanges
    ) throws(NetlinkError) {
        while true {
            let outcome = try monitor.receive(timeout: .zero) { message throws(CodecError) in
                try state.take(message, &snapshot, &changes)
            }
            switch outcome {
            case .messages(let count): changes.notifications += count
            case .timedOut: return
            case .overrun:
                // Until its queue is empty the socket gets nothing new, so reading begins only then.
                changes.wasOverrun = true
                state.stale.everything = true
            }
        }
    }
}

/// What there is to know of our tables beside the snapshot, and what notifications mean for both.
///
/// A transaction's notifications come in one piece, behind them the generation it brought about. So what was read at a
/// later generation is known to be newer.
struct FirewallState {
    let tables: Set<NFTable>
    var stale = Stale()
    /// The messages of the transaction whose generation has not come yet, those about our tables.
    private var transaction: [UInt8] = []
    private var elementEdits: [Part: FirewallElementEdits] = [:]
    /// Sets and chains that a rule brings along and takes with it: none of ours.
    private var unnamed: Set<Part> = []
    /// What the transactions taken in were about; nil: a table as a whole.
    private var touched: Set<NFPart>? = []
    /// What was read by itself, and at which generation: what is older is contained in it.
    private var readings: [Part: UInt32] = [:]

    /// A table or a part of it.
    enum Part: Hashable {
        case table(NFTable)
        /// Declarations and rules.
        case chains(NFTable)
        case rules(NFTable, chain: String)
        case set(NFTable, String)
        case flowtables(NFTable)
    }

    /// What has to be read again.
    struct Stale {
        var everything = true
        var parts: Set<Part> = []

        var isEmpty: Bool { !everything && parts.isEmpty }
    }

    init(_ tables: [NFTable]) { self.tables = Set(tables) }

    // MARK: Taking transactions

    mutating func take(
        _ message: borrowing Message, _ snapshot: inout NFSnapshot, _ changes: inout NamespaceChanges
    ) throws(CodecError) {
        if tables.isEmpty { return }
        if let generation = try NFTablesGeneration(message)?.number {
            let messages = transaction
            transaction = []
            if stale.everything || isOlder(generation, snapshot.generation) { return }
            readings = readings.filter { !isOlder($0.value, generation) }
            snapshot.generation = generation
            try apply(messages, generation, &snapshot)
            if !messages.isEmpty {
                changes.kinds.insert(.firewall)
                note(&changes)
            }
        } else if try NFTable(of: message).map(tables.contains) ?? false {
            message.bytes.withUnsafeBytes { transaction.append(contentsOf: $0) }
            while transaction.count % 4 != 0 { transaction.append(0) }
        }
    }

    /// Generations begin again behind the highest number.
    private func isOlder(_ generation: UInt32, _ other: UInt32) -> Bool {
        Int32(bitPattern: generation &- other) < 0
    }

    private mutating func apply(
        _ messages: [UInt8], _ generation: UInt32, _ snapshot: inout NFSnapshot
    ) throws(CodecError) {
        var reader = MessageReader(messages.span.bytes)
        // Chains that the transaction took rules from.
        var shortened: Set<String> = []
        while let message = try reader.next() {
            guard let table = try NFTable(of: message), !isContained(.table(table), generation) else { continue }
            if message.type == .tables(NFT_MSG_NEWTABLE) {
                touched = nil
                try addTable(message, table, &snapshot)
            } else if message.type == .tables(NFT_MSG_DELTABLE) {
                touched = nil
                removeTable(table, &snapshot)
            } else if let index = snapshot.tables.firstIndex(where: { $0.table == table }) {
                try touch(message, table)
                try apply(message, generation, &snapshot.tables[index], &shortened)
            } else {
                stale.parts.insert(.table(table))
            }
        }
    }

    private func isContained(_ part: Part, _ generation: UInt32) -> Bool {
        readings[part].map { isOlder(generation, $0) } ?? false
    }

    private mutating func apply(
        _ message: borrowing Message, _ generation: UInt32, _ table: inout NFObservedTable,
        _ shortened: inout Set<String>
    ) throws(CodecError) {
        switch message.type {
        case .tables(NFT_MSG_NEWSETELEM): try changeElements(message, isRemoval: false, generation, table)
        case .tables(NFT_MSG_DELSETELEM): try changeElements(message, isRemoval: true, generation, table)
        case .tables(NFT_MSG_NEWSET): try addSet(message, generation, &table)
        case .tables(NFT_MSG_DELSET): try removeSet(message, generation, &table)
        case .tables(NFT_MSG_NEWCHAIN): try addChain(message, generation, &table)
        case .tables(NFT_MSG_DELCHAIN): try removeChain(message, generation, &table)
        case .tables(NFT_MSG_NEWRULE): try addRule(message, generation, &table, shortened)
        case .tables(NFT_MSG_DELRULE): try removeRule(message, generation, &table, &shortened)
        case .tables(NFT_MSG_NEWOBJ): try setObject(message, isRemoved: false, &table)
        case .tables(NFT_MSG_DELOBJ): try setObject(message, isRemoved: true, &table)
        case .tables(NFT_MSG_NEWFLOWTABLE): try addFlowtable(message, generation, &table)
        // Whether it is gone or has lost these devices is not said.
        case .tables(NFT_MSG_DELFLOWTABLE): stale.parts.insert(.flowtables(table.table))
        default: stale.parts.insert(.table(table.table))
        }
    }

    private mutating func note(_ changes: inout NamespaceChanges) {
        if let touched { changes.objects.firewall.insert(touched) } else { changes.objects.firewall = .any }
        touched = []
    }

    private mutating func touch(_ kind: NFPart.Kind, _ name: String?, _ table: NFTable) {
        guard let name else { return touched = nil }
        let wanted = kind == .set ? NFSet.wantedName(ofSetNamed: name) : name
        touched?.insert(NFPart(table, kind, wanted))
        if wanted != name { touched?.insert(NFPart(table, kind, name)) }
    }

    /// Notes what a message is about.
    private mutating func touch(_ message: borrowing Message, _ table: NFTable) throws(CodecError) {
        switch message.type {
        case .tables(NFT_MSG_NEWSETELEM), .tables(NFT_MSG_DELSETELEM):
            touch(.set, try message.text(NFTA_SET_ELEM_LIST_SET), table)
        case .tables(NFT_MSG_NEWSET), .tables(NFT_MSG_DELSET): touch(.set, try message.text(NFTA_SET_NAME), table)
        case .tables(NFT_MSG_NEWCHAIN), .tables(NFT_MSG_DELCHAIN):
            touch(.chain, try message.text(NFTA_CHAIN_NAME), table)
        case .tables(NFT_MSG_NEWRULE), .tables(NFT_MSG_DELRULE):
            touch(.chain, try message.text(NFTA_RULE_CHAIN), table)
        case .tables(NFT_MSG_NEWFLOWTABLE), .tables(NFT_MSG_DELFLOWTABLE):
            touch(.flowtable, try message.text(NFTA_FLOWTABLE_NAME), table)
        case .tables(NFT_MSG_NEWOBJ), .tables(NFT_MSG_DELOBJ): touch(.object, try message.text(NFTA_OBJ_NAME), table)
        default: touched = nil
        }
    }

    // MARK: Tables

    private func addTable(
        _ message: borrowing Message, _ table: NFTable, _ snapshot: inout NFSnapshot
    ) throws(CodecError) {
        let index = snapshot.tables.partitionPoint { $0.table < table }
        if index == snapshot.tables.count || snapshot.tables[index].table != table {
            snapshot.tables.insert(NFObservedTable(table), at: index)
        }
        try snapshot.tables[index].read(message)
    }

    private mutating func removeTable(_ table: NFTable, _ snapshot: inout NFSnapshot) {
        snapshot.tables.removeAll { $0.table == table }
        stale.parts = stale.parts.filter { $0.table != table }
        elementEdits = elementEdits.filter { $0.key.table != table }
        unnamed = unnamed.filter { $0.table != table }
    }

    // MARK: Sets

    private mutating func addSet(
        _ message: borrowing Message, _ generation: UInt32, _ table: inout NFObservedTable
    ) throws(CodecError) {
        guard let set = try NFObservedSet(message) else {
            if let name = try message.text(NFTA_SET_NAME) { unnamed.insert(.set(table.table, name)) }
            return
        }
        let part = Part.set(table.table, set.name)
        if isContained(part, generation) { return }
        let index = table.sets.partitionPoint { $0.name < set.name }
        if index == table.sets.count || table.sets[index].name != set.name {
            table.sets.insert(set, at: index)
        } else if table.sets[index].shape != set.shape {
            stale.parts.insert(.table(table.table))
        }
    }

    private mutating func removeSet(
        _ message: borrowing Message, _ generation: UInt32, _ table: inout NFObservedTable
    ) throws(CodecError) {
        guard let name = try message.text(NFTA_SET_NAME) else { return }
        let part = Part.set(table.table, name)
        if isContained(part, generation) { return }
        if let position = table.position(ofSet: name) { table.sets.remove(at: position) }
        elementEdits[part] = nil
        stale.parts.remove(part)
        unnamed.remove(part)
    }

    private mutating func changeElements(
        _ message: borrowing Message, isRemoval: Bool, _ generation: UInt32, _ table: NFObservedTable
    ) throws(CodecError) {
        guard let name = try message.text(NFTA_SET_ELEM_LIST_SET) else { return }
        let part = Part.set(table.table, name)
        if isContained(part, generation) || stale.parts.contains(part) || unnamed.contains(part) { return }
        guard let set = table.position(ofSet: name).map({ table.sets[$0] }) else {
            if !isRemoval { stale.parts.insert(.table(table.table)) }
            return
        }
        if set.shape.timeout != nil { return }
        if set.isIrregular {
            stale.parts.insert(part)
        } else {
            try elementEdits[part, default: FirewallElementEdits(shape: set.shape)]
                .read(message, isRemoval: isRemoval)
        }
    }

    // MARK: Chains and rules

    private mutating func addChain(
        _ message: borrowing Message, _ generation: UInt32, _ table: inout NFObservedTable
    ) throws(CodecError) {
        if isContained(.chains(table.table), generation) { return }
        guard let chain = try NFObservedChain.read(message, table.table.family)?.1 else {
            if let name = try message.text(NFTA_CHAIN_NAME) {
                unnamed.insert(.rules(table.table, chain: name))
            }
            return
        }
        let index = table.chains.partitionPoint { $0.name < chain.name }
        let isKnown = index < table.chains.count && table.chains[index].name == chain.name
        if chain.isOfDevices || isKnown && table.chains[index].isOfDevices {
            // When it gets one more device, the kernel tells of that one alone.
            stale.parts.insert(.chains(table.table))
        } else if isKnown {
            table.chains[index].base = chain.base
        } else if message.flags.contains(.create) {
            table.chains.insert(chain, at: index)
        } else {
            // A chain that was there under another name, by which rules and elements refer to it.
            stale.parts.insert(.table(table.table))
        }
    }

    private mutating func removeChain(
        _ message: borrowing Message, _ generation: UInt32, _ table: inout NFObservedTable
    ) throws(CodecError) {
        guard !isContained(.chains(table.table), generation), let name = try message.text(NFTA_CHAIN_NAME) else {
            return
        }
        unnamed.remove(.rules(table.table, chain: name))
        guard let index = table.position(ofChain: name) else { return }
        // Newer kernels can take single devices from a chain.
        if table.chains[index].isOfDevices { stale.parts.insert(.chains(table.table)) }
        table.chains.remove(at: index)
        stale.parts.remove(.rules(table.table, chain: name))
    }

    /// Where a rule was put is said by the one before it, unless it is the first or the last one; which of these, by
    /// NLM_F_APPEND (nf_tables_rule_notify).
    private mutating func addRule(
        _ message: borrowing Message, _ generation: UInt32, _ table: inout NFObservedTable, _ shortened: Set<String>
    ) throws(CodecError) {
        let (name, rule) = try NFObservedRule.read(message)
        let part = Part.rules(table.table, chain: name)
        if isContained(.chains(table.table), generation) || isContained(part, generation) || unnamed.contains(part) {
            return
        }
        guard let index = table.position(ofChain: name) else {
            stale.parts.insert(.table(table.table))
            return
        }
        let rules = table.chains[index].rules
        if let known = rules.firstIndex(where: { $0.handle == rule.handle }) {
            table.chains[index].rules[known] = rule
        } else if let before = try message.longNumber(NFTA_RULE_POSITION) {
            if let position = rules.firstIndex(where: { $0.handle == before }) {
                table.chains[index].rules.insert(rule, at: position + 1)
            } else {
                stale.parts.insert(part)
            }
        } else if rules.isEmpty || !message.flags.contains(.append) {
            table.chains[index].rules.insert(rule, at: 0)
        } else if shortened.contains(name) {
            // It may have become the first one because the others before it are gone.
            stale.parts.insert(part)
        } else {
            table.chains[index].rules.append(rule)
        }
    }

    private mutating func removeRule(
        _ message: borrowing Message, _ generation: UInt32, _ table: inout NFObservedTable,
        _ shortened: inout Set<String>
    ) throws(CodecError) {
        guard let name = try message.text(NFTA_RULE_CHAIN), let handle = try message.longNumber(NFTA_RULE_HANDLE),
            !isContained(.chains(table.table), generation),
            !isContained(.rules(table.table, chain: name), generation)
        else { return }
        shortened.insert(name)
        guard let index = table.position(ofChain: name) else { return }
        table.chains[index].rules.removeAll { $0.handle == handle }
    }

    // MARK: Objects

    private mutating func setObject(
        _ message: borrowing Message, isRemoved: Bool, _ table: inout NFObservedTable
    ) throws(CodecError) {
        let object = try NFObservedObject(message)
        let index = table.objects.partitionPoint { $0.name < object.name }
        let held = index < table.objects.count && table.objects[index].name == object.name ? table.objects[index] : nil
        if let held, held.type != object.type {
            // Objects of different types can have one name.
            stale.parts.insert(.table(table.table))
        } else if isRemoved {
            if held != nil { table.objects.remove(at: index) }
        } else if held != nil {
            table.objects[index] = object
        } else {
            table.objects.insert(object, at: index)
        }
    }

    // MARK: Flowtables

    /// Of one that is there only the devices are told that it gets.
    private mutating func addFlowtable(
        _ message: borrowing Message, _ generation: UInt32, _ table: inout NFObservedTable
    ) throws(CodecError) {
        if isContained(.flowtables(table.table), generation) { return }
        let told = try NFObservedFlowtable(message)
        let index = table.flowtables.partitionPoint { $0.name < told.name }
        if index == table.flowtables.count || table.flowtables[index].name != told.name {
            table.flowtables.insert(told, at: index)
        } else {
            let devices = Set(table.flowtables[index].devices).union(told.devices)
            table.flowtables[index] = told
            table.flowtables[index].devices = devices.sorted()
        }
    }

    // MARK: Settling

    /// Chains and flowtables lose their devices, and older kernels whole chains with them, without a word.
    mutating func note(_ vanished: Set<InterfaceName>, _ snapshot: NFSnapshot) {
        if vanished.isEmpty { return }
        for table in snapshot.tables {
            let isConcerned = table.chains.contains { $0.base?.devices.contains(where: vanished.contains) ?? false }
            if isConcerned { stale.parts.insert(.chains(table.table)) }
            if table.flowtables.contains(where: { $0.devices.contains(where: vanished.contains) }) {
                stale.parts.insert(.flowtables(table.table))
            }
        }
    }

    /// Makes the changes that were gathered and reads again what has to be.
    mutating func settle(
        _ snapshot: inout NFSnapshot, _ changes: inout NamespaceChanges, _ namespace: NetworkNamespace
    ) throws(NetlinkError) {
        if stale.everything {
            // What has come of a transaction, the kernel did before it told of it.
            transaction = []
            elementEdits = [:]
        } else {
            applyElementEdits(&snapshot)
        }
        if stale.isEmpty { return }
        let parts = stale.parts
        defer { stale = Stale(everything: false) }
        if tables.isEmpty {
            if snapshot != NFSnapshot(generation: 0) { changes.insert(.firewall) }
            snapshot = NFSnapshot(generation: 0)
            return
        }
        var driver = try FirewallDriver(in: namespace)
        if stale.everything {
            let read = try driver.observe(tables.sorted())
            if read.tables != snapshot.tables { changes.insert(.firewall) }
            snapshot = read
            readings = [:]
            unnamed = []
        } else {
            for part in parts where !isCovered(part, by: parts) {
                let former = snapshot.flowtables(part.table)
                try read(part, &driver, &snapshot)
                guard case .flowtables(let table) = part else {
                    changes.insert(.firewall)
                    continue
                }
                let different = Set(former).symmetricDifference(snapshot.flowtables(table)).map(\.name)
                changes.kinds.insert(.firewall)
                changes.objects.firewall.insert(Set(different).map { NFPart(table, .flowtable, $0) })
            }
        }
        changes.objectsRead += driver.objectCount
    }

    private mutating func applyElementEdits(_ snapshot: inout NFSnapshot) {
        for (part, edits) in elementEdits where !stale.parts.contains(part) {
            guard case .set(let table, let name) = part,
                let index = snapshot.tables.firstIndex(where: { $0.table == table }),
                let position = snapshot.tables[index].position(ofSet: name)
            else { continue }
            if let set = edits.applied(to: snapshot.tables[index].sets[position]) {
                snapshot.tables[index].sets[position] = set
            } else {
                stale.parts.insert(part)
            }
        }
        elementEdits = [:]
    }

    private func isCovered(_ part: Part, by parts: Set<Part>) -> Bool {
        switch part {
        case .table: false
        case .chains(let table), .set(let table, _), .flowtables(let table): parts.contains(.table(table))
        case .rules(let table, _): parts.contains(.table(table)) || parts.contains(.chains(table))
        }
    }

    /// Reads a part, or the whole table where the part is gone, of which we are told later.
    private mutating func read(
        _ part: Part, _ driver: inout FirewallDriver, _ snapshot: inout NFSnapshot
    ) throws(NetlinkError) {
        let index = snapshot.tables.firstIndex { $0.table == part.table }
        do throws(NetlinkError) {
            if let index, let generation = try read(part, &driver, &snapshot.tables[index]) {
                readings[part] = generation
                return
            }
        } catch {
            guard error.isAbsence else { throw error }
        }
        let (observed, generation) = try driver.consistently { driver throws(NetlinkError) in
            try driver.observe(part.table)
        }
        snapshot.tables.removeAll { $0.table == part.table }
        if let observed { snapshot.tables.append(observed) }
        snapshot.tables.sort { $0.table < $1.table }
        readings[.table(part.table)] = generation
    }

    /// - Returns: The generation of what was read; nil when only the whole table will do.
    private func read(
        _ part: Part, _ driver: inout FirewallDriver, _ observed: inout NFObservedTable
    ) throws(NetlinkError) -> UInt32? {
        switch part {
        case .table: return nil
        case .chains(let table):
            let (chains, generation) = try driver.consistently { driver throws(NetlinkError) in
                try driver.readChains(of: table)
            }
            observed.chains = chains
            return generation
        case .rules(let table, let name):
            guard let position = observed.position(ofChain: name) else { return nil }
            let (rules, generation) = try driver.consistently { driver throws(NetlinkError) in
                try driver.rules(of: name, in: table)
            }
            observed.chains[position].rules = rules
            return generation
        case .set(let table, let name):
            guard let position = observed.position(ofSet: name) else { return nil }
            let held = observed.sets[position]
            let (set, generation) = try driver.consistently { driver throws(NetlinkError) in
                var set = held
                try driver.readElements(of: &set, table)
                return set
            }
            observed.sets[position] = set
            return generation
        case .flowtables(let table):
            let (flowtables, generation) = try driver.consistently { driver throws(NetlinkError) in
                try driver.flowtables(of: table)
            }
            observed.flowtables = flowtables
            return generation
        }
    }
}

extension FirewallState.Part {
    var table: NFTable {
        switch self {
        case .table(let table), .chains(let table), .rules(let table, _), .set(let table, _), .flowtables(let table):
            table
        }
    }
}

extension NFSnapshot {
    fileprivate func flowtables(_ table: NFTable) -> [NFObservedFlowtable] { self.table(table)?.flowtables ?? [] }
}

extension NFObservedTable {
    fileprivate func position(ofSet name: String) -> Int? {
        let position = sets.partitionPoint { $0.name < name }
        return position < sets.count && sets[position].name == name ? position : nil
    }

    fileprivate func position(ofChain name: String) -> Int? {
        let position = chains.partitionPoint { $0.name < name }
        return position < chains.count && chains[position].name == name ? position : nil
    }
}

extension NFObservedChain {
    fileprivate var isOfDevices: Bool { base.map { !$0.devices.isEmpty } ?? false }
}

extension NFTable {
    /// The table that a message of nf_tables is about: its name is the first attribute of all of them
    /// (`NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, …). Nil for a family that is not known.
    init?(of message: borrowing Message) throws(CodecError) {
        let header = try message.header(as: nfgenmsg.self)
        guard let family = NFFamily.allCases.first(where: { FirewallCodes.family($0) == header.nfgen_family }),
            let name = try message.text(NFTA_TABLE_NAME)
        else { return nil }
        self.init(family, name)
    }
}

extension Message {
    fileprivate func text(_ type: some RawRepresentable<UInt32>) throws(CodecError) -> String? {
        var attributes = attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            if attribute.type == Int(type.rawValue) { return attribute.string() }
        }
        return nil
    }

    fileprivate func longNumber(_ type: some RawRepresentable<UInt32>) throws(CodecError) -> UInt64? {
        var attributes = attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            if attribute.type == Int(type.rawValue) { return try attribute.longNumber() }
        }
        return nil
    }
}
