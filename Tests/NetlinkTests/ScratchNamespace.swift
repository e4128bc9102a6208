import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Netlink

private let counter = Atomic<Int>(0)

/// A namespace with a name that nobody else uses, gone when `body` has ended.
func withScratchNamespace<Result>(
    _ body: (_ name: String, NetworkNamespace) throws -> Result
) throws -> Result {
    // This file is part of several modules of tests, each with a counter of its own, in one process.
    let module = #fileID.prefix { $0 != "/" }
    let name = "nltest-\(module)-\(getpid())-\(counter.add(1, ordering: .relaxed).newValue)"
    let namespace = try NetworkNamespace.create(named: name)
    defer { try? NetworkNamespace.remove(named: name) }
    return try body(name, namespace)
}

struct CommandFailure: Error, CustomStringConvertible {
    var description: String
}

/// Runs a command and returns what it printed.
@discardableResult
func run(_ command: String...) throws -> String { try Run.checked(command) }

/// What `ip -j -d` says in a namespace: the independent witness of what our messages did.
func ip(_ name: String, _ arguments: String...) throws -> [[String: Any]] {
    let data = Data(try Run.checked(["ip", "-j", "-d", "-n", name] + arguments).utf8)
    if data.allSatisfy({ $0 == 0x0A || $0 == 0x20 }) { return [] }
    let list = try #require(try JSONSerialization.jsonObject(with: data) as? [[String: Any]])
    return list.filter { !$0.isEmpty }
}

/// The names of a namespace's devices but for those that the kernel puts into every one (`lo`, and with ip_gre loaded
/// the fallback tunnels).
func devices(_ name: String) throws -> [String] {
    let always: Set = ["lo", "gre0", "gretap0", "erspan0", "tunl0", "sit0", "ip6tnl0", "ip6gre0"]
    return try ip(name, "link").compactMap { $0["ifname"] as? String }.filter { !always.contains($0) }.sorted()
}
