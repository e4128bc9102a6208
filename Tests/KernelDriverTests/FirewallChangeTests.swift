import Glibc
import IPAddressing
import NFTables
import Netlink
import TestSupport
import Testing

@testable import KernelDriver

/// What changes, and nothing else, is written.
@Suite(.timeLimit(minutes: 10)) struct FirewallChangeTests {
    private let address = FirewallTables.address

    /// Applies `change` to `table` and expects exactly these operations, one message each.
    private func expect(
        _ driver: inout FirewallDriver, _ table: inout NFTableIntent, _ operations: [String],
        sourceLocation: SourceLocation = #_sourceLocation, _ change: (inout NFTableIntent) -> Void
    ) throws {
        change(&table)
        let before = driver.writes
        let changes = try driver.apply(table)
        let items = changes.items.map { "\($0.action.rawValue) \($0.object)" }
        #expect(items.count == operations.count, "\(items)", sourceLocation: sourceLocation)
        for (item, operation) in zip(items, operations) {
            #expect(item.hasPrefix(operation), sourceLocation: sourceLocation)
        }
        #expect(driver.writes - before == changes.operations.count, sourceLocation: sourceLocation)
        #expect(try driver.plan(table).0.description == "", sourceLocation: sourceLocation)
    }

    private func rules(_ driver: inout FirewallDriver, _ chain: String) throws -> [NFObservedRule] {
        try driver.rules(of: chain, in: FirewallTables.table)
    }

    @Test func rulesThatStayAreNotTouched() throws {
        try withFirewall { _, driver in
            var table = NFTableIntent(FirewallTables.table)
            func rule(_ number: UInt32) -> NFRule { NFRule(in: .inet, .match(.mark, number), .counter) }
            table.chains = [NFChain("c", rules: (0..<8).map(rule))]
            try driver.apply(table)
            let first = try rules(&driver, "c").map(\.handle)

            let add = "create rule inet probe c"
            let remove = "delete rule inet probe c"
            try expect(&driver, &table, [remove, add]) { $0.chains[0].rules[3] = rule(33) }
            var handles = try rules(&driver, "c").map(\.handle)
            #expect(handles[..<3] == first[..<3] && handles[4...] == first[4...])

            try expect(&driver, &table, [add, add, add, add]) { table in
                table.chains[0].rules.insert(contentsOf: [rule(100), rule(101)], at: 0)
                table.chains[0].rules.insert(rule(102), at: 5)
                table.chains[0].rules.append(rule(103))
            }
            handles = try rules(&driver, "c").map(\.handle)
            #expect(Set(first).subtracting([first[3]]).isSubset(of: handles))

            try expect(&driver, &table, [remove, add]) { $0.chains[0].rules.swapAt(0, 1) }
            try expect(&driver, &table, [remove]) { $0.chains[0].rules.removeLast() }
            // Equal rules are told apart by their order.
            try expect(&driver, &table, [add, add]) { $0.chains[0].rules += [rule(7), rule(7)] }
            try expect(&driver, &table, [remove]) { $0.chains[0].rules.removeLast() }
            try expect(&driver, &table, [remove, add]) { $0.chains[0].rules[2].comment = "new" }
            try expect(&driver, &table, ["delete rules of chain inet probe c", add]) { $0.chains[0].rules = [rule(9)] }
            try expect(&driver, &table, ["delete rules of chain inet probe c"]) { $0.chains[0].rules = [] }
        }
    }

    @Test func countersOfRulesThatStaySurvive() throws {
        try withFirewall { scratch, driver in
            try scratch.run("ip", "link", "set", "lo", "up")
            var table = NFTableIntent(FirewallTables.table)
            table.counters = [NFCounter("total")]
            table.chain("out", NFBaseChain(.filter, .output, priority: 0)) { chain in
                chain.rule(.counter)
                chain.rule(.counter("total"))
            }
            try driver.apply(table)
            try scratch.sendDatagram(to: 9)
            table.chains[0].rules.insert(NFRule(in: .inet, .match(.mark, 9), .drop), at: 1)
            try driver.apply(table)
            try scratch.sendDatagram(to: 9)
            let rules = try rules(&driver, "out")
            // A datagram to a closed port is answered by ICMP, so there are two packets for each.
            #expect(rules[0].counts?.packets == 4)
            #expect(rules[1].counts == nil)
            let counters = try driver.counters(of: table.table)
            #expect(counters.map(\.name) == ["total"])
            #expect(counters[0].counts == rules[0].counts)
            #expect(counters[0].counts.bytes > 0)
        }
    }

    /// Each element has a rate of its own, and what has passed is no difference.
    @Test func ratesAreEachElementsOwn() throws {
        try withFirewall { scratch, driver in
            try scratch.run("ip", "link", "set", "lo", "up")
            var table = NFTableIntent(FirewallTables.table)
            table.counters = [NFCounter("within")]
            var rates = NFSet("rates", of: .internetService, grows: true, limit: NFLimit(1, per: 3600, burst: 3))
            rates.add(NFPort(9))
            rates.add(NFPort(10))
            table.sets = [rates]
            table.chain("out", NFBaseChain(.filter, .output, priority: 0)) { chain in
                chain.rule(.match(.udpDestination, in: "rates"), .counter("within"))
            }
            try driver.apply(table)
            for port: UInt16 in [9, 9, 9, 9, 9, 10, 11] { try scratch.sendDatagram(to: port) }
            #expect(try driver.counters(of: table.table)[0].counts.packets == 4)
            #expect(try driver.plan(table).0.description == "")

            // Another rate is another set.
            table.sets[0] = NFSet("rates", of: .internetService, grows: true, limit: NFLimit(2, per: 3600, burst: 3))
            table.sets[0].add(NFPort(9))
            try driver.apply(table)
            #expect(try driver.plan(table).0.description == "")
            try scratch.sendDatagram(to: 9)
            #expect(try driver.counters(of: table.table)[0].counts.packets == 5)
        }
    }

    @Test func chains() throws {
        try withFirewall { _, driver in
            var table = NFTableIntent(FirewallTables.table)
            table.chain("a") { $0.rule(.jump("b")) }
            table.chain("b") { $0.rule(.accept) }
            table.chain("base", NFBaseChain(.filter, .input, priority: 0)) { $0.rule(.jump("a")) }
            try driver.apply(table)

            let created = "create chain inet probe base { type filter hook"
            let rule = "create rule inet probe base"
            try expect(
                &driver, &table,
                ["change chain inet probe base { type filter hook input priority 0 policy drop }"]
            ) { $0.chains[2].base?.policy = .drop }
            try expect(
                &driver, &table,
                [
                    "delete rules of chain inet probe base", "delete chain inet probe base",
                    "\(created) forward", rule,
                ]
            ) { $0.chains[2].base?.hook = .forward }
            try expect(
                &driver, &table,
                [
                    "delete rules of chain inet probe base", "delete chain inet probe base",
                    "\(created) forward priority -5", rule,
                ]
            ) { $0.chains[2].base?.priority = -5 }
            // Chains that refer to each other go together, whatever their names.
            try expect(
                &driver, &table,
                [
                    "delete rules of chain inet probe base", "create rule inet probe base",
                    "delete rules of chain inet probe a", "delete rules of chain inet probe b",
                    "delete chain inet probe a", "delete chain inet probe b",
                ]
            ) { table in
                table.chains.removeFirst(2)
                table.chains[0].rules = [NFRule(in: .inet, .drop)]
            }
            // A base chain becomes an ordinary one.
            try expect(
                &driver, &table,
                [
                    "delete rules of chain inet probe base", "delete chain inet probe base",
                    "create chain inet probe base", rule,
                ]
            ) { $0.chains[0].base = nil }
        }
    }

    @Test func sets() throws {
        try withFirewall { _, driver in
            var table = NFTableIntent(FirewallTables.table)
            var set = NFSet("s", of: .ipv4Address, size: 3)
            for last in 1...3 { set.add(address("10.0.0.\(last)")) }
            table.sets = [set]
            table.chain("c") { chain in
                chain.rule(.match(.mark, 1), .drop)
                chain.rule(.match(.ipSource, in: "s"), .drop)
            }
            try driver.apply(table)
            let kept = try rules(&driver, "c")[0].handle

            // The set is full: what goes makes room for what comes.
            try expect(
                &driver, &table,
                ["delete element inet probe s { 10.0.0.2 }", "create element inet probe s { 10.0.0.9 }"]
            ) { table in
                var set = NFSet("s", of: .ipv4Address, size: 3)
                for last in [1, 3, 9] { set.add(address("10.0.0.\(last)")) }
                table.sets = [set]
            }
            // Another kind of set of that name: the rule that looks things up is turned to a new one.
            try expect(
                &driver, &table,
                [
                    "create set inet probe s.1", "create element inet probe s.1 { 10.0.0.0-10.255.255.255 }",
                    "delete rule inet probe c", "create rule inet probe c", "delete set inet probe s",
                ]
            ) { table in
                var set = NFSet("s", of: .ipv4Address, isInterval: true)
                set.add(FirewallTables.prefix("10.0.0.0/8"))
                table.sets = [set]
            }
            #expect(try rules(&driver, "c")[0].handle == kept)
            // The set and the rule that refers to it.
            try expect(&driver, &table, ["delete rule inet probe c", "delete set inet probe s.1"]) { table in
                table.sets = []
                table.chains[0].rules.removeLast()
            }
            // A constant set is made anew with every change.
            try expect(
                &driver, &table,
                [
                    "create set inet probe k", "create element inet probe k { 10.0.0.1 }", "create rule inet probe c",
                ]
            ) { table in
                var set = NFSet("k", of: .ipv4Address, isConstant: true)
                set.add(address("10.0.0.1"))
                table.sets = [set]
                table.chains[0].rules.append(NFRule(in: .inet, .match(.ipSource, in: "k"), .drop))
            }
            try expect(
                &driver, &table,
                [
                    "create set inet probe k.1", "create element inet probe k.1 { 10.0.0.2 }",
                    "delete rule inet probe c", "create rule inet probe c", "delete set inet probe k",
                ]
            ) { table in
                var set = NFSet("k", of: .ipv4Address, isConstant: true)
                set.add(address("10.0.0.2"))
                table.sets = [set]
            }
        }
    }

    @Test func aFullSetGrows() throws {
        try withFirewall { _, driver in
            func table(_ count: UInt32) -> NFTableIntent {
                var table = NFTableIntent(FirewallTables.table)
                var set = NFSet("s", of: .ipv4Address, grows: true)
                for number in 0..<count { set.add(IPAddress(v4: 0x0A00_0000 + number)) }
                table.sets = [set]
                table.chain("c") { $0.rule(.match(.ipSource, in: "s"), .drop) }
                return table
            }
            for (count, name, size) in [(64, "s", 64), (65, "s.1", 1024), (3, "s.1", 1024), (1025, "s", 16384)] {
                try driver.apply(table(UInt32(count)))
                let set = try #require(try driver.observe([FirewallTables.table]).tables.first?.sets.first)
                #expect((set.name, set.elements.count) == (name, count))
                #expect(set.shape.size == UInt32(size))
                #expect(try driver.plan(table(UInt32(count))).0.isEmpty)
            }
        }
    }

    @Test func maps() throws {
        try withFirewall { _, driver in
            var table = NFTableIntent(FirewallTables.table)
            func map(_ verdicts: [(Int, NFVerdict)]) -> NFSet {
                var map = NFSet("v", of: .ipv4Address, to: .verdict)
                for (last, verdict) in verdicts { map.add(address("10.0.0.\(last)"), verdict: verdict) }
                return map
            }
            table.sets = [map([(1, .jump("a")), (2, .jump("b")), (3, .drop)])]
            table.chain("a") { _ in }
            table.chain("b") { $0.rule(.goto("a")) }
            table.chain("base", NFBaseChain(.filter, .input, priority: 0)) { $0.rule(.vmap(.ipSource, map: "v")) }
            try driver.apply(table)

            // A verdict that changes is one element that goes and one that comes, of the same key.
            try expect(
                &driver, &table,
                [
                    "delete element inet probe v { 10.0.0.3 : drop }",
                    "create element inet probe v { 10.0.0.3 : accept }",
                ]
            ) { $0.sets = [map([(1, .jump("a")), (2, .jump("b")), (3, .accept)])] }
            // A chain and the element that leads to it; another chain and its element.
            try expect(
                &driver, &table,
                [
                    "create chain inet probe n", "create rule inet probe n",
                    "delete element inet probe v { 10.0.0.2 : jump b }",
                    "create element inet probe v { 10.0.0.2 : jump n }", "delete rules of chain inet probe b",
                    "delete chain inet probe b",
                ]
            ) { table in
                table.sets = [map([(1, .jump("a")), (2, .jump("n")), (3, .accept)])]
                table.chains.remove(at: 1)
                table.chain("n") { $0.rule(.goto("a")) }
            }
            // A counter and the elements and rules that refer to it.
            try expect(
                &driver, &table,
                [
                    "create counter inet probe n1", "create counter inet probe n2", "create map inet probe m",
                    "create element inet probe m { 10.0.0.1 : \"n1\" }", "create rule inet probe a",
                ]
            ) { table in
                table.counters = [NFCounter("n1"), NFCounter("n2")]
                var map = NFSet("m", of: .ipv4Address, to: .counter)
                map.add(address("10.0.0.1"), counter: "n1")
                table.sets.append(map)
                table.chains[0].rules = [NFRule(in: .inet, .counter("n2"))]
            }
            try expect(
                &driver, &table,
                [
                    "delete rules of chain inet probe a", "delete set inet probe m",
                    "delete counter inet probe n1", "delete counter inet probe n2",
                ]
            ) { table in
                table.counters = []
                table.sets.removeLast()
                table.chains[0].rules = []
            }
            try expect(
                &driver, &table,
                [
                    "delete rules of chain inet probe base", "delete chain inet probe base",
                    "delete rules of chain inet probe n", "delete set inet probe v", "delete chain inet probe a",
                    "delete chain inet probe n",
                ]
            ) { table in
                table.sets = []
                table.chains = []
            }
        }
    }

    @Test func theTableGoesWithEverythingInIt() throws {
        try withFirewall { scratch, driver in
            try driver.apply(FirewallTables.router)
            let snapshot = try driver.observe([FirewallTables.table])
            let removal = try #require(snapshot.table(FirewallTables.table)).removal
            let before = driver.writes
            let outcome = try driver.commit([removal], generation: snapshot.generation)
            #expect(outcome == .committed(generation: snapshot.generation + 1))
            #expect(driver.writes - before == 1)
            #expect(try driver.observe([FirewallTables.table]).tables.isEmpty)
            #expect(try scratch.run("nft", "list", "ruleset") == "")
        }
    }

    /// The bytes that one more element takes do not depend on how many there are.
    @Test func oneElementMoreIsOneSmallMessage() throws {
        try withFirewall { _, driver in
            var table = NFTableIntent(FirewallTables.table)
            var set = NFSet("s", of: .ipv4Address, size: 200_000)
            for index in 0..<100_000 as Range<UInt32> { set.add(IPAddress(v4: 0x0A00_0000 + index &* 7)) }
            table.sets = [set]
            try driver.apply(table)
            table.sets[0].add(address("192.0.2.1"))
            let (changes, generation) = try driver.plan(table)
            #expect(changes.description == "create element inet probe s { 192.0.2.1 }")
            var encoder = FirewallEncoder()
            var writer = MessageWriter()
            encoder.encode([changes], into: &writer)
            #expect(writer.messageCount == 1)
            #expect(writer.byteCount == 60)
            let before = driver.writes
            #expect(try driver.commit([changes], generation: generation) == .committed(generation: generation + 1))
            #expect(driver.writes - before == 1)
            #expect(try driver.plan(table).0.isEmpty)
        }
    }

    /// From any table to any other, in one transaction or step by step, and nothing left to do.
    @Test(arguments: 0..<4) func anyTableBecomesAnyOther(seed: Int) throws {
        try withFirewall { scratch, driver in
            var generator = FirewallGenerator(seed: UInt64(seed))
            for step in 0..<40 {
                let table = generator.table()
                do {
                    try driver.apply(table, inOneTransaction: seed % 2 == 0)
                } catch {
                    Issue.record("seed \(seed) step \(step): \(error)")
                    return
                }
                let rest = try driver.plan(table).0.description
                #expect(rest == "", "seed \(seed) step \(step)")
            }
        }
    }
}

/// Makes tables that have much in common.
struct FirewallGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

    private mutating func next(_ limit: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int(state % UInt64(limit))
    }

    private mutating func chance(_ percent: Int) -> Bool { next(100) < percent }

    mutating func table() -> NFTableIntent {
        var table = NFTableIntent(FirewallTables.table)
        table.counters = (0..<3).filter { _ in chance(60) }.map { NFCounter("n\($0)") }
        // A chain only leads to later ones.
        let chains = (0..<6).filter { _ in chance(70) }.map { "c\($0)" }
        for number in 0..<5 where chance(75) { table.sets.append(set(number, chains, table.counters.map(\.name))) }
        for (index, name) in chains.enumerated() {
            let base = NFBaseChain(
                .filter, chance(50) ? .input : .forward, priority: Int32(index), policy: chance(50) ? .accept : .drop)
            var chain = NFChain(name, index == 0 && chance(80) ? base : nil)
            for _ in 0..<next(7) { chain.rules.append(rule(Array(chains[(index + 1)...]), table, isBase: index == 0)) }
            table.chains.append(chain)
        }
        return table
    }

    private mutating func set(_ number: Int, _ chains: [String], _ counters: [String]) -> NFSet {
        let isInterval = chance(50)
        let isConstant = chance(15)
        var data: NFSet.Data? = [nil, .verdict, .values(.mark)][next(3)]
        if number == 4, !isInterval, let counter = counters.first {
            data = .counter
            var set = NFSet("s4", of: .ipv4Address, to: data)
            for _ in 0..<next(6) { set.add(IPAddress(v4: UInt32(next(20))), counter: counter) }
            return set
        }
        var set: NFSet
        if number % 2 == 0 {
            set = NFSet("s\(number)", of: .ipv4Address, to: data, isInterval: isInterval, isConstant: isConstant)
        } else {
            set = NFSet(
                "s\(number)", of: .ipv4Address, .internetService, to: data, isInterval: isInterval,
                isConstant: isConstant, size: isInterval ? nil : 64)
        }
        for slot in 0..<12 as Range<UInt32> where chance(50) {
            // Ranges that never overlap, some of which touch.
            let lower = IPAddress(v4: slot * 16)
            let upper = IPAddress(v4: slot * 16 + (isInterval ? UInt32([15, 7, 0][next(3)]) : 0))
            let comment = chance(10) ? "slot \(slot)" : nil
            let addresses = lower...upper
            let ports = NFPort(80)...NFPort(isInterval ? 90 : 80)
            // Only the last chain leads nowhere, so that no chain can be led in a circle.
            let verdict: NFVerdict = chains.count > 1 && chance(40) ? .goto(chains[chains.count - 1]) : .drop
            switch (number % 2 == 0, data) {
            case (true, nil): set.add(addresses, comment: comment)
            case (false, nil): set.add(addresses, ports, comment: comment)
            case (true, .verdict): set.add(addresses, verdict: verdict, comment: comment)
            case (false, .verdict): set.add(addresses, ports, verdict: verdict, comment: comment)
            case (true, _): set.add(addresses, data: NFMark(UInt32(next(3))), comment: comment)
            case (false, _): set.add(addresses, ports, data: NFMark(UInt32(next(3))), comment: comment)
            }
        }
        return set
    }

    private mutating func rule(_ later: [String], _ table: NFTableIntent, isBase: Bool) -> NFRule {
        var statements: [NFStatement] = [.match(.mark, UInt32(next(6)))]
        if let set = table.sets.first, chance(50) {
            let fields: Bool = set.name == "s0" || set.name == "s2" || set.name == "s4"
            switch set.shape.data {
            case nil:
                statements.append(
                    fields ? .match(.ipSource, in: set.name) : .match(.ipSource, .tcpDestination, in: set.name))
            case .verdict where later.count > 0:
                statements.append(
                    fields
                        ? .vmap(.ipSource, map: set.name) : .vmap(.ipSource, .tcpDestination, map: set.name))
                return NFRule(in: .inet, statements)
            default: break
            }
        }
        if let counter = table.counters.last, chance(30) { statements.append(.counter(counter.name)) }
        if chance(30) { statements.append(.counter) }
        if let chain = later.last, chance(40) {
            statements.append(chance(50) ? .jump(chain) : .goto(chain))
        } else {
            statements.append(.drop)
        }
        return NFRule(in: .inet, statements)
    }
}

extension FirewallScratch {
    /// Sends one datagram to this host itself.
    func sendDatagram(to port: UInt16) throws {
        try namespace.enter { () throws(NetlinkError) in
            let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
            defer { close(descriptor) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            _ = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(descriptor, "x", 1, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
    }
}
