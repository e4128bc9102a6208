import Foundation
import IPAddressing
import NFTables
import Netlink
import Synchronization
import TestSupport
import Testing

@testable import KernelDriver

/// Not one packet is lost while the policy that allows it changes.
@Suite(.timeLimit(minutes: 10)) struct FirewallExchangeTests {
    /// What a policy says: in which pieces the allowed ports are, and whether they are allowed by address or by group.
    private struct Policy {
        var cut: UInt16
        var isByGroup: Bool
    }

    /// A policy as it is compiled: every packet to the host itself is counted, counted for the line that decides it, and
    /// judged; the same packets are allowed however the policy is cut.
    private func table(_ policy: Policy) -> NFTableIntent {
        var table = NFTableIntent(FirewallTables.table)
        table.counters = ["denied", "line", "other", "seen"].map { NFCounter($0) }
        var verdicts = NFSet(
            "acl", of: .ipv4Address, .internetProtocol, .internetService, to: .verdict, isInterval: true)
        var counters = NFSet(
            "acl_count", of: .ipv4Address, .internetProtocol, .internetService, to: .counter, isInterval: true)
        func add(_ prefix: String, _ ports: ClosedRange<UInt16>, _ verdict: NFVerdict, _ counter: String) {
            let prefix = FirewallTables.prefix(prefix)
            let range = NFPort(ports.lowerBound)...NFPort(ports.upperBound)
            verdicts.add(prefix, NFProtocol.udp, range, verdict: verdict)
            counters.add(prefix, NFProtocol.udp, range, counter: counter)
        }
        add("127.0.0.0/8", 0...policy.cut, .return, "line")
        add("127.0.0.0/8", policy.cut + 1...65535, .return, "line")
        // What makes the exchange take its time.
        for number in 0..<300 as Range<UInt16> { add("10.0.0.0/8", number...number, .goto("deny"), "other") }
        var byAddress = NFSet("sg", of: .ipv4Address, .internetService, isInterval: true)
        var byGroup = NFSet("sg_from", of: .internetService, isInterval: true)
        for number in 0..<100 as Range<UInt16> {
            byAddress.add(FirewallTables.prefix("10.0.0.0/8"), NFPort(number))
        }
        if policy.isByGroup {
            byGroup.add(NFPort.any)
        } else {
            byAddress.add(FirewallTables.prefix("127.0.0.0/8"), NFPort.any)
        }
        var members = NFSet("members", of: .ipv4Address, grows: true)
        members.add(FirewallTables.address("127.0.0.1"))
        table.sets = [verdicts, counters, byAddress, byGroup, members]
        table.chain("input", NFBaseChain(.filter, .input, priority: 0)) { chain in
            chain.rule(.match(.l4proto, NFProtocol.udp), .counter("seen"), .jump("judge"))
        }
        table.chain("judge") { chain in
            chain.rule(.counter(map: "acl_count", .ipSource, .ipProtocol, .destinationPort))
            chain.rule(.vmap(.ipSource, .ipProtocol, .destinationPort, map: "acl"))
            chain.rule(.goto("deny"))
        }
        table.chain("group", NFBaseChain(.filter, .input, priority: 1)) { chain in
            chain.rule(.match(.ipSource, .destinationPort, in: "sg"), .accept)
            chain.rule(.match(.ipSource, in: "members"), .match(.destinationPort, in: "sg_from"), .accept)
            chain.rule(.match(.l4proto, NFProtocol.udp), .goto("deny"))
        }
        table.chain("deny") { $0.rule(.counter("denied"), .drop) }
        return table
    }

    /// Who is killed between two transactions leaves nothing behind that the next one does not use or remove.
    @Test func anInterruptedChangeIsFinished() throws {
        try withFirewall { scratch, driver in
            let before = table(Policy(cut: 1000, isByGroup: false))
            let after = table(Policy(cut: 2000, isByGroup: true))
            let other = table(Policy(cut: 3000, isByGroup: false))
            for wanted in [before, after, other] {
                for done in 0...2 {
                    try driver.apply(before)
                    let (changes, generation) = try driver.plan(after)
                    let transactions = changes.transactions()
                    #expect(transactions.count == 3)
                    _ = try driver.commit(inOrder: Array(transactions[..<done]), generation: generation)
                    try driver.apply(wanted)
                    let snapshot = try driver.observe([FirewallTables.table])
                    #expect(wanted.normalized.changes(from: snapshot.tables.first).isEmpty)
                    #expect(snapshot.tables.first?.sets.count == wanted.sets.count, "\(done)")
                    #expect(snapshot.tables.first?.chains.count == wanted.chains.count, "\(done)")
                }
            }
        }
    }

    @Test func noPacketIsLostWhileThePolicyChanges() throws {
        try withFirewall { scratch, driver in
            try scratch.run("ip", "link", "set", "lo", "up")
            try driver.apply(table(Policy(cut: 1000, isByGroup: false)))
            let flood = try Flood(in: scratch.namespace)
            var changes = 0
            var transactions = 0
            for round in 0..<60 {
                let policy = Policy(cut: UInt16(2000 + round), isByGroup: round % 2 == 0)
                let work = try driver.apply(table(policy))
                transactions += work.transactions().count
                changes += work.turn.isEmpty ? 0 : 1
                #expect(try driver.plan(table(policy)).0.isEmpty)
            }
            flood.stop()
            #expect(changes == 60)
            #expect(transactions == 180)
            let counts = Dictionary(
                uniqueKeysWithValues: try driver.counters(of: FirewallTables.table).map { ($0.name, $0.counts.packets) }
            )
            #expect(counts["denied"] == 0)
            // A miss in a counters' map loses no packet, only its count: not one of those either.
            #expect(counts["seen"] == counts["line"])
            #expect(try #require(counts["seen"]) > 10_000)
        }
    }
}

/// Datagrams to this host itself, as fast as one thread can.
private final class Flood: Sendable {
    private let isStopped = Atomic<Bool>(false)
    private let end = DispatchSemaphore(value: 0)

    init(in namespace: NetworkNamespace) throws {
        let descriptor = try namespace.enter { () throws(NetlinkError) in
            socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        }
        try #require(descriptor >= 0)
        Thread {
            defer {
                close(descriptor)
                self.end.signal()
            }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            var port: UInt16 = 1
            while !self.isStopped.load(ordering: .relaxed) {
                address.sin_port = port.bigEndian
                port = port == .max ? 1 : port + 1
                _ = withUnsafePointer(to: &address) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        sendto(descriptor, "x", 1, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                    }
                }
            }
        }.start()
    }

    func stop() {
        isStopped.store(true, ordering: .relaxed)
        end.wait()
    }
}
