import Foundation
import KernelModel
import Netlink
import Synchronization

@testable import KernelDriver

private let counter = Atomic<Int>(0)

/// A network namespace that nobody else uses, with a driver inside; gone when `body` has ended.
func withFirewall<Result>(
    _ body: (_ scratch: FirewallScratch, inout FirewallDriver) throws -> Result
) throws -> Result {
    let name = "nftest-\(getpid())-\(counter.add(1, ordering: .relaxed).newValue)"
    let namespace = try NetworkNamespace.create(named: name)
    defer { try? NetworkNamespace.remove(named: name) }
    var driver = try FirewallDriver(in: namespace)
    return try body(FirewallScratch(name: name, namespace: namespace), &driver)
}

struct FirewallScratch {
    let name: String
    let namespace: NetworkNamespace

    /// Runs a command inside and returns what it printed.
    @discardableResult
    func run(_ command: String..., input: String? = nil) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["ip", "netns", "exec", name] + command
        process.environment = ProcessInfo.processInfo.environment.merging(["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]) {
            _, new in new
        }
        let (output, errors, source) = (Pipe(), Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = source
        try process.run()
        try source.fileHandleForWriting.write(contentsOf: Data((input ?? "").utf8))
        try source.fileHandleForWriting.close()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let complaint = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationReason == .exit, process.terminationStatus == 0 else {
            throw FirewallCommandFailure(
                description: "\(command.joined(separator: " ")): status \(process.terminationStatus): \(complaint)")
        }
        return text
    }

    /// Feeds commands to nft(8), the somebody else of these tests.
    func nft(_ script: String) throws { try run("nft", "-f", "-", input: script) }
}

struct FirewallCommandFailure: Error, CustomStringConvertible {
    var description: String
}

extension NFTableIntent {
    /// As it is handed to the difference.
    var normalized: NFTableIntent {
        var table = self
        table.normalize()
        return table
    }
}

extension FirewallDriver {
    /// Observes, compares, commits: what a reconciler does. Returns the work that was there to be done.
    @discardableResult
    mutating func apply(_ intent: NFTableIntent) throws -> NFChangeSet {
        let snapshot = try observe([intent.table])
        let changes = intent.normalized.changes(from: snapshot.table(intent.table))
        let outcome = try commit([changes], generation: snapshot.generation)
        guard case .committed = outcome else { throw FirewallCommandFailure(description: "\(outcome)") }
        return changes
    }
}
