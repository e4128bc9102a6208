import CLinux
import Glibc
import IPAddressing
import KernelNames
import NFTables
import Netlink
import TestSupport
import Testing

@testable import KernelDriver

/// All or nothing, and only on what was seen.
@Suite(.timeLimit(minutes: 10)) struct FirewallTransactionTests {
    private func addresses(_ numbers: Range<UInt32>, size: UInt32? = nil) -> NFTableIntent {
        var table = NFTableIntent(FirewallTables.table)
        var set = NFSet("s", of: .ipv4Address, size: size)
        set.elements.reserveCapacity(numbers.count)
        for number in numbers { set.add(IPAddress(v4: 0x0A00_0000 + number), origin: Origin(number)) }
        table.sets = [set]
        return table
    }

    @Test func whatWasSeenBeforeAnothersChangeIsStale() throws {
        try withFirewall { scratch, driver in
            let (changes, generation) = try driver.plan(FirewallTables.router)
            try scratch.nft("add table ip another")
            #expect(try driver.commit([changes], generation: generation) == .stale)
            #expect(try driver.observe([FirewallTables.table]).tables.isEmpty)
            // Looking again is all it takes.
            try driver.apply(FirewallTables.router)
            // Nobody asked: it takes effect whatever happened.
            try scratch.nft("add table ip third")
            var changed = FirewallTables.router
            changed.counters.append(NFCounter("late"))
            let (more, _) = try driver.plan(changed)
            try scratch.nft("add table ip fourth")
            guard case .committed = try driver.commit([more], generation: nil) else {
                Issue.record("not committed")
                return
            }
        }
    }

    @Test func generationsCount() throws {
        try withFirewall { _, driver in
            let (changes, generation) = try driver.plan(FirewallTables.router)
            #expect(try driver.commit([changes], generation: generation) == .committed(generation: generation + 1))
            #expect(try driver.generation() == generation + 1)
            #expect(try driver.commit([], generation: generation) == .committed(generation: generation))
            #expect(try driver.generation() == generation + 1)
        }
    }

    /// Expects that `spoil` makes the kernel refuse the whole table, for that reason.
    private func expectRefusal(
        _ reason: String, sourceLocation: SourceLocation = #_sourceLocation, _ spoil: (inout NFTableIntent) -> Void
    ) throws {
        try withFirewall { scratch, driver in
            var table = FirewallTables.router
            spoil(&table)
            let (changes, generation) = try driver.plan(table)
            guard case .refused(let failures) = try driver.commit([changes], generation: generation) else {
                Issue.record("not refused", sourceLocation: sourceLocation)
                return
            }
            let texts = failures.map(\.description)
            #expect(texts.contains { $0.hasPrefix(reason) }, "\(texts)", sourceLocation: sourceLocation)
            #expect(try scratch.run("nft", "list", "ruleset") == "", sourceLocation: sourceLocation)
            #expect(try driver.generation() == generation, sourceLocation: sourceLocation)
        }
    }

    @Test func oneBadElementRefusesEverything() throws {
        // It begins inside another box.
        try expectRefusal(
            "element inet probe sg1_in { 10.0.0.0-10.0.255.255 . 17 . 53-60 }: kernel said \"File exists\" (EEXIST"
        ) { $0[set: "sg1_in"].add(FirewallTables.prefix("10.0.0.0/16"), NFProtocol.udp, NFPort(53)...NFPort(60)) }
        try expectRefusal(
            "element inet probe acl_out { \"v9\" : jump nowhere }: kernel said \"No such file or directory\" (ENOENT"
        ) { $0[set: "acl_out"].add(FirewallTables.device("v9"), verdict: .jump("nowhere")) }
        try expectRefusal(
            "element inet probe counted { 10.0.1.10 : \"nobody\" }: kernel said \"No such file or directory\" (ENOENT"
        ) { $0[set: "counted"].add(FirewallTables.address("10.0.1.10"), counter: "nobody") }
        // One more than the set has room for.
        try expectRefusal("element inet probe ep_full { 0xc0000007 }: kernel said") { table in
            for number in 1...4 as ClosedRange<UInt32> { table[set: "ep_full"].add(NFMark(number)) }
        }
        // Intervals that overlap: of two the second is refused.
        try expectRefusal(
            "element inet probe blocks { 10.0.1.128-10.0.1.255 }: kernel said \"File exists\" (EEXIST"
        ) { $0[set: "blocks"].add(FirewallTables.prefix("10.0.1.128/25")) }
    }

    @Test func oneBadRuleOrChainRefusesEverything() throws {
        try expectRefusal(
            "rule inet probe pass goto nowhere: kernel said \"No such file or directory\" (ENOENT"
        ) { $0[chain: "pass"].rules[2] = NFRule(in: .inet, .goto("nowhere")) }
        try expectRefusal("rule inet probe pass meta mark => r0; lookup @nowhere r0; accept: kernel said") {
            $0[chain: "pass"].rules[2] = NFRule(in: .inet, .match(.mark, in: "nowhere"), .accept)
        }
        // A loop is found when everything is in place: the transaction itself is refused, or the rule that closes it.
        try expectRefusal("") { table in
            table[chain: "sub1_o"].rules.append(NFRule(in: .inet, .goto("acl8_o")))
            table[chain: "acl8_o"].rules.insert(NFRule(in: .inet, .jump("sub1_o")), at: 0)
        }
        try expectRefusal("chain inet probe nat_pre") { $0[chain: "nat_pre"].base?.hook = .forward }
    }

    /// The element is named by its position in the whole operation, whichever message it is in.
    @Test func theBadElementIsFoundAmongMany() throws {
        try withFirewall { _, driver in
            for bad in [0, 1, 4321, 19_999] as [UInt32] {
                var table = NFTableIntent(FirewallTables.table)
                var set = NFSet("v", of: .ipv4Address, to: .verdict)
                for number in 0..<20_000 as Range<UInt32> {
                    set.add(
                        IPAddress(v4: number), verdict: number == bad ? .jump("nowhere") : .drop,
                        origin: Origin(number))
                }
                table.sets = [set]
                let (changes, generation) = try driver.plan(table)
                guard case .refused(let failures) = try driver.commit([changes], generation: generation) else {
                    Issue.record("not refused")
                    return
                }
                #expect(failures.count == 1)
                #expect(failures.first?.element == Int(bad))
                #expect(failures.first?.origin == Origin(bad))
            }
        }
    }

    @Test func ofManyFailuresTheFirstAreReported() throws {
        try withFirewall { _, driver in
            var table = NFTableIntent(FirewallTables.table)
            table.chains = [NFChain("c", rules: (0..<5000).map { NFRule(in: .inet, .goto("nowhere\($0)")) })]
            let (changes, generation) = try driver.plan(table)
            guard case .refused(let failures) = try driver.commit([changes], generation: generation) else {
                Issue.record("not refused")
                return
            }
            #expect(failures.count == 64)
            // What was not read of the answers does not disturb what follows.
            try driver.apply(FirewallTables.router)
            #expect(try driver.plan(FirewallTables.router).0.isEmpty)
        }
    }

    /// The kernel takes a transaction in one piece or not at all: the socket's buffer has to grow with it.
    @Test func aTransactionLargerThanTheBuffer() throws {
        try withFirewall { _, driver in
            var table = NFTableIntent(FirewallTables.table)
            var set = NFSet("s", of: .ipv6Address, .ipv6Address, .ipv6Address, .ipv6Address)
            let nowhere = FirewallTables.address("::")
            for number in 0..<40_000 as Range<UInt64> {
                set.add(nowhere, nowhere, nowhere, IPAddress(family: .ipv6, high: 0, low: number))
            }
            table.sets = [set]
            var encoder = FirewallEncoder()
            var writer = MessageWriter()
            encoder.encode([table.changes(from: nil)], into: &writer)
            #expect(writer.byteCount > 3_000_000)
            try driver.apply(table)
            #expect(try driver.observe([table.table]).tables[0].sets[0].elements.count == 40_000)
        }
    }

    @Test func aHundredThousandElements() throws {
        try withFirewall { scratch, driver in
            let table = addresses(0..<100_000)
            try driver.apply(table)
            let rest = try driver.plan(table).0.operations.map { ($0, $0.elements?.count ?? 0) }
            #expect(rest.isEmpty, "\(rest.map(\.1))")
            let snapshot = try driver.observe([table.table])
            #expect(snapshot.tables[0].sets[0].elements.count == 100_000)
            #expect(snapshot.tables[0].sets[0].elements == table.sets[0].elements)
            // All but the ends, out and in again.
            try driver.apply(addresses(50_000..<50_010))
            #expect(try driver.observe([table.table]).tables[0].sets[0].elements.count == 10)
        }
    }

    @Test func aLargeFirstLoadInPieces() throws {
        try withFirewall { scratch, driver in
            var table = FirewallTables.router
            var members = table[set: "grp_client"]
            for number in 0..<25_000 as Range<UInt32> { members.add(IPAddress(v4: 0x0B00_0000 + number)) }
            table[set: "grp_client"] = members
            let (changes, generation) = try driver.plan(table)
            let transactions = changes.transactions(limit: 10_000)
            // The structure and three for the policies.
            #expect(transactions.count == 4)
            let (outcome, committed) = try driver.commit(inOrder: transactions, generation: generation)
            #expect(outcome == .committed(generation: generation + 4))
            #expect(committed == 4)
            #expect(try driver.plan(table).0.description == "")
            // Somebody comes in between: the rest waits for another look.
            let (removal, seen) = try driver.plan(FirewallTables.router)
            try scratch.nft("add table ip another")
            let (stale, none) = try driver.commit(inOrder: removal.transactions(), generation: seen)
            #expect(stale == .stale)
            #expect(none == 0)
        }
    }

    /// Two tables change together.
    @Test func severalTablesInOneTransaction() throws {
        try withFirewall { _, driver in
            let second = NFTable(.netdev, "second")
            var device = NFTableIntent(second)
            device.chain("in", NFBaseChain(.filter, .ingress, priority: 0, devices: [FirewallTables.device("lo")])) {
                $0.rule(.match(.arpOperation, 1), .accept)
            }
            let tables = [FirewallTables.table, second]
            let snapshot = try driver.observe(tables)
            let changes = [FirewallTables.router, device].map { $0.normalized.changes(from: snapshot.table($0.table)) }
            let outcome = try driver.commit(changes, generation: snapshot.generation)
            #expect(outcome == .committed(generation: snapshot.generation + 1))
            #expect(try driver.observe(tables).tables.map(\.table) == tables)
            // One bad one takes the other with it.
            var bad = device
            bad.chains[0].rules.append(NFRule(in: .netdev, .goto("nowhere")))
            var changed = FirewallTables.router
            changed.counters.append(NFCounter("late"))
            let now = try driver.observe(tables)
            let more = [changed, bad].map { $0.normalized.changes(from: now.table($0.table)) }
            guard case .refused(let failures) = try driver.commit(more, generation: now.generation) else {
                Issue.record("not refused")
                return
            }
            #expect(failures.map(\.table) == [second])
            #expect(try driver.observe(tables) == now)
        }
    }

    // MARK: Being told

    @Test func changesAreHeardOf() throws {
        try withFirewall { scratch, driver in
            var monitor = try FirewallMonitor(in: scratch.namespace)
            #expect(try monitor.next(timeout: .zero) == .timedOut)
            let (changes, generation) = try driver.plan(FirewallTables.router)
            _ = try driver.commit([changes], generation: generation)
            guard case .generation(let ours) = try monitor.next(timeout: .seconds(5)) else {
                Issue.record("nothing heard")
                return
            }
            #expect(ours.number == generation + 1)
            #expect(ours.portID == driver.portID)
            try scratch.nft("add table ip another")
            guard case .generation(let theirs) = try monitor.next(timeout: .seconds(5)) else {
                Issue.record("nothing heard")
                return
            }
            #expect(theirs.number == generation + 2)
            #expect(theirs.portID != driver.portID)
            #expect(theirs.processName == "nft")
            #expect(try monitor.next(timeout: .zero) == .timedOut)
        }
    }
}
