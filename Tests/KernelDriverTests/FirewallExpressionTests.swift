import CLinux
import IPAddressing
import KernelModel
import NFTables
import Netlink
import TestSupport
import Testing

@testable import KernelDriver

/// Every expression and every kind of set comes back from the kernel as it was written.
@Suite(.timeLimit(minutes: 10)) struct FirewallExpressionTests {
    static let expressions: [(String, NFFamily, NFBaseChain, [NFExpression])] = {
        let forward = NFBaseChain(.filter, .forward, priority: 0)
        let early = NFBaseChain(.filter, .prerouting, priority: -300)
        var list: [(String, NFFamily, NFBaseChain, [NFExpression])] = []
        func add(_ name: String, _ base: NFBaseChain = forward, _ family: NFFamily = .inet, _ rule: NFExpression...) {
            list.append((name, family, base, rule))
        }
        for key in NFMetaKey.allCases where key != .nftrace { add("meta \(key)", forward, .inet, .meta(key, into: 0)) }
        add("set meta nftrace", forward, .inet, .immediate([1], into: 0), .setMeta(.nftrace, from: 0))
        // It can only be set.
        for key in NFConnectionKey.allCases where key != .eventMask && key != .ipDestination {
            add("ct \(key)", forward, .inet, .connection(key, into: 4))
        }
        add("set ct event", forward, .inet, .immediate([4, 0, 0, 0], into: 0), .setConnection(.eventMask, from: 0))
        for register in 0..<16 as Range<UInt8> {
            add("register \(register)", forward, .inet, .meta(.mark, into: NFRegister(register)))
        }
        add("ct original zone", forward, .inet, .connection(.zone, .original, into: 0))
        add("set meta mark", forward, .inet, .immediate([1, 0, 0, 0], into: 0), .setMeta(.mark, from: 0))
        add("set ct mark", forward, .inet, .immediate([1, 0, 0, 0], into: 0), .setConnection(.mark, from: 0))
        add("set ct zone", early, .inet, .immediate([1, 0], into: 0), .setConnection(.zone, from: 0))
        add(
            "set ct zone of one direction", early, .inet, .immediate([1, 0], into: 0),
            .setConnection(.zone, .reply, from: 0))
        add("payload", forward, .inet, .payload(NFPayload(.network, 12, 4), into: 0))
        add("payload, link, odd", forward, .inet, .payload(NFPayload(.link, 6, 6), into: 4))
        add("payload, transport", forward, .inet, .payload(NFPayload(.transport, 0, 8), into: 8))
        for (name, checksum) in [
            ("none", nil), ("header", NFChecksum(offset: 10, coversPseudoHeader: false)),
            ("both", NFChecksum(offset: 10, coversPseudoHeader: true)),
        ] as [(String, NFChecksum?)] {
            add(
                "write payload, checksum \(name)", forward, .inet, .immediate([10, 0, 0, 1], into: 0),
                .writePayload(NFPayload(.network, 12, 4), from: 0, checksum))
        }
        for comparison in [.equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual] as [NFComparison] {
            add(
                "compare \(comparison)", forward, .inet, .payload(NFPayload(.transport, 2, 2), into: 0),
                .compare(0, comparison, [0, 80]))
        }
        for length in [1, 2, 3, 4, 5, 16] {
            add(
                "compare \(length) bytes", forward, .inet,
                .payload(NFPayload(.network, 0, UInt32(length)), into: 0),
                .compare(0, .equal, (1...length).map { UInt8($0) }))
        }
        for isNegated in [false, true] {
            add(
                "range \(isNegated)", forward, .inet, .payload(NFPayload(.transport, 2, 2), into: 0),
                .range(0, isNegated: isNegated, [0, 80], [0, 90]))
        }
        for length in [2, 4, 6, 16] {
            add(
                "bitwise \(length) bytes", forward, .inet,
                .payload(NFPayload(.network, 0, UInt32(length)), into: 0),
                .bitwise(
                    0, into: 4, and: Array(repeating: 0xF0, count: length), xor: Array(repeating: 1, count: length)))
        }
        for toNetwork in [false, true] {
            add(
                "byte order \(toNetwork)", forward, .inet, .meta(.mark, into: 0),
                .byteOrder(0, into: 0, toNetwork: toNetwork, length: 4, size: 4))
        }
        for length in [1, 4, 6, 16] {
            add(
                "immediate \(length) bytes", forward, .inet,
                .immediate((0..<length).map { UInt8($0) }, into: 0))
        }
        for verdict in [.accept, .drop, .continue, .return, .jump("other"), .goto("other")] as [NFVerdict] {
            add("verdict \(verdict)", forward, .inet, .verdict(verdict))
        }
        add("lookup", forward, .inet, .meta(.mark, into: 0), .lookup(set: "marks", 0))
        add("lookup, not", forward, .inet, .meta(.mark, into: 0), .lookup(set: "marks", 0, isNegated: true))
        add("map", forward, .inet, .meta(.mark, into: 0), .lookup(set: "map", 0, into: 5))
        add("verdict map", forward, .inet, .meta(.mark, into: 0), .verdictMap(set: "verdicts", 0))
        add("counter", forward, .inet, .counter)
        add("named counter", forward, .inet, .namedCounter("named"))
        add("counter map", forward, .inet, .meta(.mark, into: 0), .objectMap(set: "counters", 0))
        add("log", forward, .inet, .log(NFLog(group: 5, prefix: "spoof", snapLength: 64, threshold: 3)))
        add("log to group 0", forward, .inet, .log(NFLog(group: 0)))
        add("log to the kernel", forward, .inet, .log(NFLog(prefix: "x", level: 4)))
        add("log to the kernel, as it pleases", forward, .inet, .log(NFLog(snapLength: 7, threshold: 2)))
        add("limit without a burst", forward, .inet, .limit(NFLimit(3, burst: 0)))
        add("limit", forward, .inet, .limit(NFLimit(100)))
        add("limit, over, minutes", forward, .inet, .limit(NFLimit(7, per: 60, burst: 9, isOver: true)))
        add("limit, bytes", forward, .inet, .limit(NFLimit(1 << 20, burst: 4096, unit: .bytes)))
        add("notrack", early, .inet, .notrack)
        add("reject, reset", forward, .inet, .meta(.l4proto, into: 0), .compare(0, .equal, [6]), .reject(.tcpReset))
        for code in [.noRoute, .port, .host, .prohibited] as [NFReject.Code] {
            add("reject \(code)", forward, .inet, .reject(.unreachable(code)))
        }
        add("reject, ICMP", forward, .ip, .reject(.icmp(code: 3)))
        let source = NFBaseChain(.nat, .postrouting, priority: 100)
        let destination = NFBaseChain(.nat, .prerouting, priority: -100)
        add(
            "snat", source, .inet, .immediate([192, 0, 2, 1], into: 0),
            .translate(NFTranslation(.source, .ip, address: 0)))
        add(
            "snat to a range, persistent", source, .inet, .immediate([192, 0, 2, 1], into: 0),
            .immediate([192, 0, 2, 9], into: 4),
            .translate(
                NFTranslation(.source, .ip, address: 0, lastAddress: 4, options: [.persistent, .fullyRandom])))
        add(
            "dnat with ports", destination, .inet, .immediate([192, 0, 2, 1], into: 0), .immediate([0, 80], into: 1),
            .immediate([0, 90], into: 2),
            .translate(NFTranslation(.destination, .ip, address: 0, port: 1, lastPort: 2, options: .random)))
        add(
            "dnat, IPv6", destination, .inet, .immediate(Array(repeating: 1, count: 16), into: 0),
            .translate(NFTranslation(.destination, .ip6, address: 0)))
        add("masquerade", source, .inet, .masquerade([]))
        add("masquerade, random", source, .inet, .masquerade(.random))
        add(
            "snat to where it was sent", source, .inet, .connection(.ipDestination, .original, into: 0),
            .translate(NFTranslation(.source, .ip, address: 0)))
        add(
            "jhash", forward, .inet, .payload(NFPayload(.network, 12, 4), into: 4),
            .hash(4, length: 4, into: 0, NFHash(modulus: 16, seed: 0x5eed, offset: 3)))
        return list
    }()

    @Test func everyExpressionComesBack() throws {
        for (family, expressions) in Dictionary(grouping: Self.expressions, by: \.1) {
            try withFirewall { _, driver in
                var table = NFTableIntent(NFTable(family, "probe"))
                table.counters = [NFCounter("named")]
                var counters = NFSet("counters", of: .mark, to: .counter)
                counters.add(NFMark(1), counter: "named")
                table.sets = [
                    NFSet("marks", of: .mark), NFSet("map", of: .mark, to: .values(.mark)),
                    NFSet("verdicts", of: .mark, to: .verdict), counters,
                ]
                table.chain("other") { _ in }
                for (index, (name, _, base, rule)) in expressions.enumerated() {
                    table.chains.append(
                        NFChain("c\(index)", base, rules: [NFRule(expressions: rule, comment: name)]))
                }
                try driver.apply(table)
                #expect(try driver.plan(table).0.description == "")
                let observed = try #require(try driver.observe([table.table]).table(table.table))
                for (index, (name, _, _, rule)) in expressions.enumerated() {
                    let chain = try #require(observed.chains.first { $0.name == "c\(index)" })
                    #expect(chain.rules.map(\.rule.expressions) == [rule], "\(name)")
                    #expect(chain.rules.map(\.rule.comment) == [name])
                    #expect(chain.rules.map(\.digest) == [NFRule(expressions: rule, comment: name).digest])
                }
            }
        }
    }

    /// What is longer than can be stored is cut in the model, so that it is not taken for a difference.
    @Test func longCommentsAreCut() throws {
        try withFirewall { _, driver in
            let long = String(repeating: "ä", count: 200)
            var table = NFTableIntent(FirewallTables.table, comment: long)
            var set = NFSet("s", of: .ipv4Address)
            set.add(FirewallTables.address("10.0.0.1"), comment: long)
            table.sets = [set]
            table.chains = [NFChain("c", rules: [NFRule(in: .inet, .drop, comment: long)])]
            table.chains[0].rules.append(NFRule(in: .inet, .accept))
            table.chains[0].rules[1].comment = long + "x"
            try driver.apply(table)
            #expect(try driver.plan(table).0.description == "")
            let observed = try #require(try driver.observe([table.table]).table(table.table))
            #expect(observed.comment == table.comment)
            #expect(observed.comment == String(repeating: "ä", count: 63))
        }
    }

    /// An expression that has no word here is kept as it is: it is never mistaken for one of ours.
    @Test func foreignExpressionsAreKept() throws {
        try withFirewall { scratch, driver in
            try scratch.nft(
                """
                table inet probe {
                    chain c {
                        fib daddr type local accept
                        meta mark set numgen inc mod 2
                        ip option rr exists drop
                    }
                }
                """)
            let observed = try #require(try driver.observe([FirewallTables.table]).table(FirewallTables.table))
            let rules = observed.chains[0].rules
            #expect(rules.count == 3)
            for (rule, name) in zip(rules, ["fib", "numgen", "exthdr"]) {
                let isKept = rule.rule.expressions.contains { expression in
                    if case .unknown(name, let bytes) = expression { !bytes.isEmpty } else { false }
                }
                #expect(isKept, "\(name)")
                #expect(rule.digest == nil)
            }
            // Written again as it was read, it is the same.
            var copy = NFTableIntent(NFTable(.inet, "copy"))
            copy.chains = [NFChain("c", rules: rules.map(\.rule))]
            try driver.apply(copy)
            #expect(try driver.plan(copy).0.description == "")
            #expect(
                try scratch.listing(copy.table)
                    == scratch.listing().replacingOccurrences(of: "inet probe", with: "inet copy"))
        }
    }

    // MARK: Sets

    @Test func everySetComesBack() throws {
        let address = FirewallTables.address
        let prefix = FirewallTables.prefix
        var sets: [NFSet] = []
        func add(_ set: NFSet, _ body: (inout NFSet) -> Void) {
            var set = set
            body(&set)
            sets.append(set)
        }
        for (index, type) in NFType.allCases.enumerated() {
            sets.append(NFSet("type\(index)", of: type, to: .values(type), size: 10))
        }
        add(NFSet("empty", of: .ipv4Address, isInterval: true)) { _ in }
        add(NFSet("everything", of: .ipv4Address, isInterval: true)) { $0.add(prefix("0.0.0.0/0")) }
        add(NFSet("lowest", of: .ipv4Address, isInterval: true)) { $0.add(address("0.0.0.0")) }
        add(NFSet("highest", of: .ipv4Address, isInterval: true)) { $0.add(address("255.255.255.255")) }
        add(NFSet("adjacent", of: .ipv4Address, isInterval: true)) { set in
            for third in 0..<4 { set.add(prefix("10.0.\(third).0/24")) }
            set.add(address("10.0.5.1"))
            set.add(address("10.0.5.2"))
        }
        add(NFSet("halves", of: .ipv4Address, isInterval: true)) { set in
            set.add(prefix("0.0.0.0/1"))
            set.add(prefix("128.0.0.0/1"))
        }
        add(NFSet("ipv6", of: .ipv6Address, isInterval: true)) { set in
            set.add(prefix("2001:db8::/32"))
            set.add(prefix("fe80::/10"))
            set.add(address("::ffff:ffff:ffff:ffff"))
            set.add(prefix("ff00::/8"))
        }
        add(NFSet("ports", of: .internetService, to: .verdict, isInterval: true)) { set in
            set.add(NFPort(0)...NFPort(79), verdict: .drop)
            set.add(NFPort(80), verdict: .jump("target"))
            set.add(NFPort(81)...NFPort(65535), verdict: .return)
        }
        add(NFSet("protocols", of: .internetProtocol, to: .values(.mark), isInterval: true)) { set in
            set.add(NFProtocol(0)...NFProtocol(5), data: NFMark(1))
            set.add(NFProtocol(7)...NFProtocol(255), data: NFMark(2))
        }
        add(NFSet("names", of: .interfaceName, .ipv4Address, to: .values(.zone), size: 64)) { set in
            set.add(FirewallTables.device("a"), address("10.0.0.1"), data: NFZone(1), comment: "the first")
            set.add(FirewallTables.device("fifteen-letters"), address("10.0.0.1"), data: NFZone(65535))
        }
        add(NFSet("wide", of: .ipv6Address, .ipv6Address, .internetProtocol, .internetService)) { set in
            set.add(address("::1"), address("::2"), NFProtocol.tcp, NFPort(1))
        }
        add(NFSet("boxes", of: .ipv4Address, .ipv4Address, .internetProtocol, .internetService, isInterval: true)) {
            $0.add(prefix("10.0.0.0/8"), prefix("10.0.0.0/8"), NFProtocol.tcp, NFPort(1)...NFPort(1023))
            $0.add(prefix("10.0.0.0/8"), prefix("10.0.0.0/8"), NFProtocol.udp, NFPort.any, comment: "any")
        }
        add(NFSet("boxes6", of: .ipv6Address, .internetProtocol, .internetService, to: .verdict, isInterval: true)) {
            $0.add(prefix("2001:db8::/32"), NFProtocol.any, NFPort.any, verdict: .goto("target"))
        }
        add(NFSet("macs", of: .etherAddress, .ipv4Address, to: .values(.ipv4Address, .internetService))) {
            $0.add(
                FirewallTables.mac("02:00:00:00:00:01"), address("10.0.0.1"),
                data: NFKey(address("10.0.0.2"), NFPort(8080)))
        }
        add(NFSet("counted", of: .ipv4Address, .internetService, to: .counter, size: 4)) {
            $0.add(address("10.0.0.1"), NFPort(80), counter: "named")
        }
        add(NFSet("constant", of: .interfaceGroup, isConstant: true)) { $0.add(NFInterfaceGroup(7)) }
        try withFirewall { scratch, driver in
            var table = NFTableIntent(FirewallTables.table)
            table.counters = [NFCounter("named")]
            table.sets = sets
            table.chain("target") { _ in }
            table.chain("lookups") { chain in
                chain.rule(.vmap(.ip6Source, .l4proto, .destinationPort, map: "boxes6"))
                chain.rule(.match(.ipSource, .ipDestination, .l4proto, .destinationPort, in: "boxes"), .drop)
                chain.rule(.vmap(.destinationPort, map: "ports"))
                chain.rule(.match(.ip6Source, in: "ipv6"), .drop)
                chain.rule(.set(.ctMark, map: "protocols", .l4proto))
            }
            try driver.apply(table)
            #expect(try driver.plan(table).0.description == "")
            let observed = try #require(try driver.observe([table.table]).table(table.table))
            for set in table.normalized.sets {
                let seen = try #require(observed.sets.first { $0.name == set.name })
                #expect(!seen.isIrregular, "\(set.name)")
                #expect(seen.elements == set.elements, "\(set.name)")
            }
            // And each can be emptied again, element by element.
            for index in table.sets.indices where !table.sets[index].shape.isConstant {
                table.sets[index].elements = NFElements(layout: table.sets[index].shape.layout)
            }
            try driver.apply(table)
            #expect(try driver.plan(table).0.description == "")
            _ = try scratch.listing()
        }
    }

    /// The numbers that `KernelModel` writes down itself, which knows no kernel headers.
    @Test func numbersAreTheKernels() {
        #expect(NFConnectionState.invalid.rawValue == UInt32(NF_CT_STATE_INVALID_BIT))
        #expect(NFConnectionState.established.rawValue == 1 << (UInt32(IP_CT_ESTABLISHED.rawValue) + 1))
        #expect(NFConnectionState.related.rawValue == 1 << (UInt32(IP_CT_RELATED.rawValue) + 1))
        #expect(NFConnectionState.new.rawValue == 1 << (UInt32(IP_CT_NEW.rawValue) + 1))
        #expect(NFConnectionState.untracked.rawValue == UInt32(NF_CT_STATE_UNTRACKED_BIT))
        #expect(NFDirection.original.rawValue == 0 && NFDirection.reply.rawValue == 1)
        #expect(NFPROTO_IPV4 == 2 && NFPROTO_IPV6 == 10)
        #expect(NFProtocol.tcp.rawValue == UInt8(IPPROTO_TCP) && NFProtocol.gre.rawValue == UInt8(IPPROTO_GRE))
        #expect(NFT_OBJECT_COUNTER == 1)
        for family in NFFamily.allCases {
            for hook in [.prerouting, .input, .forward, .output, .postrouting, .ingress, .egress] as [NFBaseChain.Hook]
            {
                let code = FirewallCodes.hook(hook, family)
                if code != .max { #expect(FirewallCodes.hook(code, family) == hook) }
            }
        }
    }
}
