import Foundation
import IPAddressing
import NFTables
import Netlink
import TestSupport
import Testing

@testable import KernelDriver

@Suite(.timeLimit(minutes: 10)) struct FirewallTests {
    @Test func aWholeTableIsWrittenAndReadBack() throws {
        try withFirewall { scratch, driver in
            let changes = try driver.apply(FirewallTables.router)
            #expect(!changes.isEmpty)
            let written = driver.writes
            #expect(try driver.apply(FirewallTables.router).operations == [])
            #expect(driver.writes == written)
        }
    }

    /// What nft(8) lists of our table and loads again is, expression by expression, what we had written.
    @Test func nftUnderstandsAndWritesTheSame() throws {
        try withFirewall { scratch, driver in
            var table = FirewallTables.router
            // nft(8) will not set a zone from a map of marks, nor load the port of a translation that it lists without.
            table.sets.removeAll { ["dev_zone", "port_zone"].contains($0.name) }
            // An interval that does not begin at the lowest key is preceded by an end there, which says nothing.
            table.sets.removeAll { ["blocks"].contains($0.name) }
            table[chain: "sub2_o"].rules.remove(at: 1)
            table.chains.removeAll { ["raw_out", "raw_pre", "lb1"].contains($0.name) }
            table[set: "lb_vip"].elements = NFElements(layout: table[set: "lb_vip"].shape.layout)
            // It merges neighbouring header fields.
            table[chain: "port_miss"].rules.remove(at: 0)
            try driver.apply(table)
            let listing = try scratch.listing()
            try withFirewall { copy, copyDriver in
                try copy.nft(listing)
                let (changes, _) = try copyDriver.plan(table)
                #expect(changes.description == "")
                #expect(try copy.listing() == listing)
            }
        }
    }

    /// As long as `NFT_NAME_MAXLEN` says: the compiler's names count on it.
    @Test func longNames() throws {
        try withFirewall { _, driver in
            for length in [255, 256] {
                let name = String(repeating: "n", count: length)
                var table = NFTableIntent(FirewallTables.table)
                table.counters = [NFCounter(name)]
                table.sets = [NFSet(name, of: .ipv4Address)]
                table.chain(name) { $0.rule(.match(.ipSource, in: name), .counter(name), .drop) }
                let (changes, generation) = try driver.plan(table)
                let outcome = try driver.commit([changes], generation: generation)
                if length == 255 {
                    #expect(outcome == .committed(generation: generation + 1))
                    #expect(try driver.plan(table).0.isEmpty)
                } else if case .committed = outcome {
                    Issue.record("a longer one")
                }
            }
        }
    }

    /// Counting reads no elements where the kernel counts them itself, and says the same where it does not.
    @Test func listingsCountWhatIsThere() throws {
        try withFirewall { scratch, driver in
            var table = FirewallTables.router
            table[set: "vteps"] = NFSet("vteps", of: .ipv4Address, grows: true)
            for number in 0..<5000 as Range<UInt32> { table[set: "vteps"].add(IPAddress(v4: number)) }
            #expect(try driver.listings(of: [table.table]).isEmpty)
            #expect(try driver.presence(of: [table.table]).tables.isEmpty)
            try driver.apply(table)
            try scratch.nft("insert rule inet probe pass ip saddr { 10.0.0.1, 10.0.0.2 } accept")
            let observed = try #require(try driver.observe([table.table]).tables.first)
            let listing = try #require(try driver.listings(of: [NFTable(.ip, "other"), table.table]).first)
            #expect(listing.objects == observed.objects)
            #expect(listing.sets.map(\.name) == observed.sets.map(\.name))
            #expect(listing.sets.map(\.count) == observed.sets.map(\.elements.count))
            #expect(listing.sets.map(\.shape) == observed.sets.map(\.shape))
            #expect(listing.chains.map(\.name) == observed.chains.map(\.name))
            #expect(listing.chains.map(\.base) == observed.chains.map(\.base))
            #expect(listing.chains.map(\.count) == observed.chains.map(\.rules.count))
            #expect(try driver.presence(of: [table.table]).tables == [NFObservedTable(table.table)])
        }
    }
}
