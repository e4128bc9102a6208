import KernelNames
import NFTables
import TestSupport
import Testing

@testable import KernelDriver

/// Sets that hold the new elements of others for a while.
@Suite(.timeLimit(minutes: 10)) struct FirewallNewcomerTests {
    private func table(_ ports: [String], seconds: UInt32 = 500) throws -> NFTableIntent {
        var table = NFTableIntent(FirewallTables.table)
        var set = NFSet("ports", of: .interfaceName, grows: true)
        for port in ports { set.add(try #require(InterfaceName(port))) }
        table.sets = [set, NFSet("new_ports", newcomersTo: set, seconds: seconds)]
        return table
    }

    /// Milliseconds that an element has left; nil when it is gone.
    private func left(_ port: String, _ scratch: FirewallScratch) throws -> Int? {
        let text = try scratch.run("nft", "list", "set", "inet", FirewallTables.table.name, "new_ports")
        let words = text.split { " ,\n\t".contains($0) }.map(String.init)
        guard let start = words.firstIndex(of: "\"\(port)\""),
            let place = words[start...].firstIndex(of: "expires")
        else { return nil }
        // 8m19s984ms
        var (sum, number) = (0, "")
        var rest = words[place + 1][...]
        while let next = rest.popFirst() {
            if next.isNumber {
                number.append(next)
                continue
            }
            let isMilli = next == "m" && rest.first == "s"
            if isMilli { rest.removeFirst() }
            sum += (Int(number) ?? 0) * (isMilli ? 1 : next == "m" ? 60_000 : next == "s" ? 1000 : 3_600_000)
            number = ""
        }
        return sum
    }

    @Test func whoComesIsNewForAWhile() throws {
        try withFirewall { scratch, driver in
            try driver.apply(table(["a"]))
            #expect(try left("a", scratch) != nil)
            // What is in there, and what is not, is nobody's to repair.
            #expect(try driver.plan(table(["a"])).0.isEmpty)
            try scratch.nft("flush set inet \(FirewallTables.table.name) new_ports")
            #expect(try driver.plan(table(["a"])).0.isEmpty)
            // Somebody else comes: he is new, and nobody else.
            let changes = try driver.apply(table(["a", "b"]))
            #expect(changes.items.map(\.object).filter { $0.contains("new_ports") }.count == 1)
            #expect(try left("a", scratch) == nil)
            let first = try #require(try left("b", scratch))
            #expect(first > 490_000)
        }
    }

    /// Who goes and comes back begins anew, however long he has still been new.
    @Test func whoComesAgainIsNewAgain() throws {
        try withFirewall { scratch, driver in
            try driver.apply(table(["a", "b"]))
            // Until what is gone tells whether the time began anew: coming again takes its own. In milliseconds.
            var (gone, renewal) = (0, 50)
            while gone <= renewal {
                while gone <= 2 * renewal { gone = 500_000 - (try #require(try left("b", scratch))) }
                try driver.apply(table(["a"]))
                let begin = ContinuousClock.now
                try driver.apply(table(["a", "b"]))
                let goneAgain = 500_000 - (try #require(try left("b", scratch)))
                // The kernel counts in ticks of its own.
                renewal = Int((ContinuousClock.now - begin) / .milliseconds(1)) + 20
                #expect(goneAgain <= renewal)
            }
            // And a set that is made anew, because it is too small, makes nobody new.
            try scratch.nft("flush set inet \(FirewallTables.table.name) new_ports")
            try driver.apply(table(["a", "b"] + (0..<70).map { "c\($0)" }))
            #expect(try left("b", scratch) == nil)
            #expect(try left("c69", scratch) != nil)
        }
    }

    /// The kernel forgets them by itself, and the mirror does not miss them.
    @Test func whoHasBeenThereForLongIsNotNew() throws {
        try withFirewall { scratch, driver in
            try driver.apply(table(["a"], seconds: 1))
            while try left("a", scratch) != nil {}
            #expect(try driver.plan(table(["a"], seconds: 1)).0.isEmpty)
        }
    }
}
