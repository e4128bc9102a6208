import Foundation
import KernelModel
import NFTables
import Netlink
import TestSupport

@testable import KernelDriver

/// A network namespace that nobody else uses, with a driver inside; gone when `body` has ended.
func withFirewall<Result>(
    _ body: (_ scratch: FirewallScratch, inout FirewallDriver) throws -> Result
) throws -> Result {
    try withScratchNamespace { name, namespace in
        var driver = try FirewallDriver(in: namespace)
        return try body(FirewallScratch(name: name, namespace: namespace), &driver)
    }
}

struct FirewallScratch {
    let name: String
    let namespace: NetworkNamespace

    /// Runs a command inside and returns what it printed.
    @discardableResult
    func run(_ command: String...) throws -> String {
        try Run.checked(["ip", "netns", "exec", name] + command)
    }

    /// Feeds commands to nft(8), the somebody else of these tests.
    func nft(_ script: String) throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(name).nft")
        try Data(script.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        try run("nft", "-f", file.path)
    }

    /// What nft(8) lists, without handles.
    func listing(_ table: NFTable = FirewallTables.table) throws -> String {
        try run("nft", "list", "table", table.family.rawValue, table.name)
    }
}

struct FirewallRefusal: Error, CustomStringConvertible {
    var outcome: NFOutcome
    var description: String { "\(outcome)" }
}

extension NFTableIntent {
    /// As it is handed to the difference.
    var normalized: NFTableIntent {
        var table = self
        table.normalize()
        return table
    }

    /// The set of that name, for changing it.
    subscript(set name: String) -> NFSet {
        get { sets.first { $0.name == name } ?? NFSet(name, of: .mark) }
        set {
            sets.removeAll { $0.name == name }
            sets.append(newValue)
        }
    }

    /// The chain of that name, for changing it.
    subscript(chain name: String) -> NFChain {
        get { chains.first { $0.name == name } ?? NFChain(name) }
        set {
            chains.removeAll { $0.name == name }
            chains.append(newValue)
        }
    }
}

extension FirewallDriver {
    /// The work there is to be done.
    mutating func plan(_ intent: NFTableIntent) throws -> (NFChangeSet, generation: UInt32) {
        let snapshot = try observe([intent.table])
        return (intent.normalized.changes(from: snapshot.table(intent.table)), snapshot.generation)
    }

    /// Observes, compares, commits: what a reconciler does. Returns the work that there was.
    @discardableResult
    mutating func apply(_ intent: NFTableIntent, inOneTransaction: Bool = false) throws -> NFChangeSet {
        let (changes, generation) = try plan(intent)
        let transactions = inOneTransaction ? [changes] : changes.transactions()
        let (outcome, _) = try commit(inOrder: transactions, generation: generation)
        guard case .committed = outcome else { throw FirewallRefusal(outcome: outcome) }
        return changes
    }
}
