import CLinux
import IPAddressing
import Netlink
import TestSupport
import Testing

@testable import KernelDriver

/// What others do to our table is seen and undone; what others have beside it is not.
@Suite(.timeLimit(minutes: 10)) struct FirewallDriftTests {
    static let deeds: [(String, String)] = [
        ("adds a rule at the end", "add rule inet probe pass drop"),
        ("adds a rule in front", "insert rule inet probe fwd_policy accept"),
        ("deletes a rule", "delete rule inet probe raw_pre handle RAW"),
        ("replaces a rule", "replace rule inet probe raw_pre handle RAW iifgroup 31 accept"),
        (
            "replaces a rule by the same with another comment",
            "replace rule inet probe raw_pre handle RAW iifgroup 30 accept comment \"x\""
        ),
        ("empties a chain", "flush chain inet probe raw_pre"),
        ("adds a chain", "add chain inet probe foreign\nadd rule inet probe foreign drop"),
        (
            "adds a base chain",
            "add chain inet probe foreign { type filter hook forward priority -10; policy accept; }"
        ),
        ("jumps from ours to his", "add chain inet probe foreign\ninsert rule inet probe pass jump foreign"),
        ("jumps to rules without a chain's name", "insert rule inet probe pass jump { ip saddr 10.0.0.1 drop; }"),
        ("looks up in a set without a name", "insert rule inet probe pass ip saddr { 10.0.0.1, 10.0.0.2 } accept"),
        ("changes a policy", "chain inet probe fwd_policy { policy accept; }"),
        ("adds an element", "add element inet probe vteps { 192.0.2.1 }"),
        ("deletes an element", "delete element inet probe vteps { 172.31.0.2 }"),
        ("empties a set", "flush set inet probe vteps"),
        ("adds a box", "add element inet probe sg1_in { 192.0.2.0/24 . tcp . 1-2 }"),
        ("deletes a box", "delete element inet probe sg1_in { 10.0.0.0/16 . udp . 53 }"),
        ("adds an interval", "add element inet probe blocks { 192.0.2.0/24 }"),
        ("deletes an interval", "delete element inet probe blocks { 10.0.0.0/24 }"),
        ("adds a verdict", "add element inet probe acl_out { \"v9\" : accept }"),
        (
            "changes a verdict",
            "delete element inet probe acl_out { \"v1\" }\nadd element inet probe acl_out { \"v1\" : accept }"
        ),
        ("adds a verdict for everything", "add element inet probe acl_out { * : accept }"),
        ("adds everything to a set", "add element inet probe vteps { * }"),
        (
            "comments an element",
            "delete element inet probe vteps { 172.31.0.1 }\nadd element inet probe vteps { 172.31.0.1 comment \"x\" }"
        ),
        ("changes a mark", "flush set inet probe ep_full\nadd element inet probe ep_full { 1 }"),
        (
            "gives an element another rate",
            "delete element inet probe rates { \"v1\" }\nadd element inet probe rates { \"v1\" limit rate 5/second }"
        ),
        ("adds an element with a rate", "add element inet probe rates { \"v9\" }"),
        ("adds a set", "add set inet probe foreign { type ipv4_addr; flags timeout; }"),
        ("adds a counter", "add counter inet probe foreign"),
        ("adds a quota", "add quota inet probe foreign { over 1 mbytes }"),
        ("switches the table off", "add table inet probe { flags dormant; }"),
        ("deletes the table", "delete table inet probe"),
    ]

    @Test func everyDeedIsUndone() throws {
        try withFirewall { scratch, driver in
            let table = FirewallTables.router
            try driver.apply(table)
            // Some sets are listed in the order in which their elements were added.
            let words = { (text: String) in text.split { " ,\t\n".contains($0) }.sorted() }
            let wanted = try words(scratch.listing())
            for (name, deed) in Self.deeds {
                let first = try driver.rules(of: "raw_pre", in: table.table)[0].handle
                let script = deed.replacing("RAW", with: "\(first)")
                do {
                    try scratch.nft(script)
                } catch {
                    Issue.record("\(name): \(error)")
                    continue
                }
                let changes = try driver.apply(table)
                #expect(!changes.isEmpty, "\(name)")
                #expect(try driver.plan(table).0.description == "", "\(name)")
                #expect(try words(scratch.listing()) == wanted, "\(name)")
            }
        }
    }

    /// Rules of others are known by what they lack.
    @Test func ourRulesBearTheirDigest() throws {
        try withFirewall { scratch, driver in
            let table = FirewallTables.router
            try driver.apply(table)
            try scratch.nft("insert rule inet probe pass accept")
            let rules = try driver.rules(of: "pass", in: table.table)
            #expect(rules.map { $0.digest == nil } == [true, false, false, false])
            #expect(rules.dropFirst().allSatisfy { $0.digest == $0.rule.digest })
        }
    }

    static let foreign = """
        table ip probe {
            chain c {
                type filter hook input priority 0
                ip saddr 10.0.0.1 counter drop
            }
        }
        table inet probe2 {
            counter n { packets 5 bytes 500
            }
            set s {
                type ipv4_addr
                flags interval
                elements = { 10.0.0.0/8 comment "theirs", 192.0.2.1 }
            }
            map m {
                type ifname : verdict
                elements = { "lo" : jump x }
            }
            chain x {
                counter name n
            }
            chain forwarded {
                type filter hook forward priority 5; policy drop
                ct state vmap { established : accept }
            }
        }
        table inet prob {
            set s {
                type ipv4_addr
                elements = { 10.0.0.1 }
            }
            chain probe {
                accept
            }
        }
        table netdev probe {
            chain i {
                type filter hook ingress device lo priority 0
                counter
            }
        }
        table arp probe {
            chain c {
                type filter hook input priority 0
                arp operation request accept
            }
        }
        """

    @Test func tablesOfOthersStayAsTheyAre() throws {
        try withFirewall { scratch, driver in
            try scratch.nft(Self.foreign)
            let before = try scratch.run("nft", "-a", "list", "ruleset")
            #expect(before.contains("theirs"))
            let listings = { (text: String) in
                text.split(separator: "table ").filter { !$0.hasPrefix("inet probe {") }.map(String.init)
            }
            var generator = FirewallGenerator(seed: 7)
            for table in [FirewallTables.router, generator.table(), generator.table()] {
                try driver.apply(table)
                #expect(try listings(scratch.run("nft", "-a", "list", "ruleset")) == listings(before))
            }
            let snapshot = try driver.observe([FirewallTables.table])
            _ = try driver.commit(snapshot.tables.map(\.removal), generation: snapshot.generation)
            #expect(try scratch.run("nft", "-a", "list", "ruleset") == before)
        }
    }

    /// The kernel hands over what is in our table and, of chains, what is in the family.
    @Test func theKernelFiltersListings() throws {
        try withFirewall { scratch, driver in
            try scratch.nft(Self.foreign)
            try driver.apply(FirewallTables.router)
            var socket = try NFTablesSocket(in: scratch.namespace)
            func tables(
                _ message: nf_tables_msg_types, _ filter: some RawRepresentable<UInt32> & Sendable
            ) throws -> Set<String> {
                try socket.dump(message, family: FirewallCodes.family(.inet), into: []) { writer in
                    writer.put(filter, "probe")
                } each: { names, message throws(CodecError) in
                    var attributes = message.attributes(after: nfgenmsg.self)
                    // The table's name is attribute 1 of each of them.
                    if let attribute = try attributes.next(), attribute.type == 1 { names.insert(attribute.string()) }
                }
            }
            #expect(try tables(NFT_MSG_GETRULE, NFTA_RULE_TABLE) == ["probe"])
            #expect(try tables(NFT_MSG_GETSET, NFTA_SET_TABLE) == ["probe"])
            #expect(try tables(NFT_MSG_GETOBJ, NFTA_OBJ_TABLE) == ["probe"])
            #expect(try tables(NFT_MSG_GETCHAIN, NFTA_CHAIN_TABLE).contains("probe"))
        }
    }
}
