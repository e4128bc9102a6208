import Foundation
import IPAddressing
import Netlink
import Synchronization
import TestSupport
import Testing

@testable import GatewayPair

/// Connections of one namespace that come to be in another one, over the loopback device. No packets: those are in the lab.
@Suite(.enabled(if: geteuid() == 0, "needs root"), .serialized, .timeLimit(minutes: 10)) struct StateSyncTests {
    private static let counter = Atomic<Int>(0)
    private static let gateway: UInt32 = 0x8000_1234

    /// Two namespaces, in which the same gateway has different zones.
    private final class World {
        let names: [String]
        let addresses: [IPAddress]
        private(set) var syncs: [StateSync] = []
        var isActive = [true, false]

        init(
            keys: [String] = ["the same key of both", "the same key of both"],
            receiveBuffer: Int = ConntrackMonitor.roomForBursts
        ) throws {
            // As vpcgw does: who speaks to one that has gone hears an error.
            signal(SIGPIPE, SIG_IGN)
            let number = UInt32(StateSyncTests.counter.add(1, ordering: .relaxed).newValue)
            addresses = [1, 2].map { IPAddress(v4: 0x7F4D_0000 + number << 8 + $0) }
            names = [1, 2].map { "gptest-\(getpid())-\(number)-\($0)" }
            for name in names {
                let namespace = try NetworkNamespace.create(named: name)
                try namespace.run {
                    try "1".write(
                        toFile: "/proc/sys/net/netfilter/nf_conntrack_events", atomically: false, encoding: .utf8)
                }
            }
            syncs = try keys.map {
                try StateSync(key: Array($0.utf8), receiveBuffer: receiveBuffer) { _, text in print(text) }
            }
            follow()
        }

        func remove() {
            for sync in syncs { sync.stop() }
            for name in names { try? NetworkNamespace.remove(named: name) }
        }

        func follow(_ number: Int? = nil) {
            for index in [0, 1] where number ?? index == index {
                let plan = StateSync.Plan(
                    pair: IPAddress(v4: 0xAC1F_0064), own: addresses[index], peer: addresses[1 - index],
                    isActive: isActive[index], zones: [StateSyncTests.gateway: UInt16(7 + index)])
                syncs[index].follow([plan], in: .init(namespace: .named(names[index]), identity: 0))
            }
        }

        func restart(_ index: Int) throws {
            syncs[index].stop()
            syncs[index] = try StateSync(key: Array("the same key of both".utf8)) { _, text in print(text) }
            follow(index)
        }

        func report(_ index: Int) -> StateSync.Report {
            syncs[index].report(of: IPAddress(v4: 0xAC1F_0064)) ?? StateSync.Report()
        }

        func make(_ range: Range<Int>, in index: Int, timeout: UInt32 = 432_000) throws {
            var socket = try ConntrackCopySocket(in: .named(names[index]))
            let copies = range.map { StateSyncTests.copy($0, zone: UInt16(7 + index), timeout: timeout) }
            #expect(try socket.create(copies).made == range.count)
        }

        func end(_ range: Range<Int>, in index: Int) throws {
            var socket = try ConntrackCopySocket(in: .named(names[index]))
            let copies = range.map { StateSyncTests.copy($0, zone: UInt16(7 + index)) }
            #expect(try socket.delete(copies) == range.count)
        }

        func all(in index: Int) throws -> [ConntrackCopy] {
            var socket = try ConntrackCopySocket(in: .named(names[index]))
            var copies: [ConntrackCopy] = []
            try socket.forEach { copies.append($0) }
            return copies
        }

        func waitUntil(
            _ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Bool
        ) async throws {
            let end = ContinuousClock.now + .seconds(60)
            while try !body() {
                try #require(
                    ContinuousClock.now < end, "\(what): \(report(0)) \(report(1))", sourceLocation: sourceLocation)
                try await Task.sleep(for: .milliseconds(5))
            }
        }
    }

    private static func copy(_ number: Int, zone: UInt16, timeout: UInt32 = 432_000) -> ConntrackCopy {
        var copy = ConntrackCopy()
        (copy.protocol, copy.zone, copy.timeout, copy.status) = (6, zone, timeout, 0b1110)
        (copy.original.source, copy.original.destination) = (0x0A00_0000 + UInt32(number >> 14), 0xC633_6407)
        (copy.original.sourcePort, copy.original.destinationPort) = (UInt16(number & 0x3FFF) + 1024, 443)
        (copy.reply.source, copy.reply.destination) = (0xC633_6407, 0xCB00_7100 + UInt32(number >> 14))
        (copy.reply.sourcePort, copy.reply.destinationPort) = (443, UInt16(number & 0x3FFF) + 20000)
        return copy
    }

    @Test func whatIsThereComesAndWhatEndsGoes() async throws {
        let world = try World()
        defer { world.remove() }
        try world.make(0..<1000, in: 0)
        // Left from before, and nobody's any more.
        try world.make(5000..<5010, in: 1)
        try await world.waitUntil("connected") { world.report(0).isConnected && world.report(1).isSynchronized }
        // Read before or after they were made.
        try world.restart(1)
        try await world.waitUntil("all there") { try world.all(in: 1).count == 1000 && world.report(1).isSynchronized }
        let there = try world.all(in: 1)
        #expect(there.allSatisfy { $0.zone == 8 && $0.timeout > 900_000 && $0.reply.destination == 0xCB00_7100 })
        try world.end(100..<200, in: 0)
        try await world.waitUntil("ended") { try world.all(in: 1).count == 900 }
        #expect(world.report(1).connections == 900)
    }

    @Test func aFlushBringsWhatIsNoConnectionYet() async throws {
        let world = try World()
        defer { world.remove() }
        try await world.waitUntil("connected") { world.report(1).isSynchronized }
        var young = Self.copy(1, zone: 7)
        // IPS_SEEN_REPLY alone: SYN and its answer.
        (young.status, young.tcpState, young.timeout) = (0b1010, 2, 60)
        var socket = try ConntrackCopySocket(in: .named(world.names[0]))
        #expect(try socket.create([young]).made == 1)
        let number = world.syncs[0].flush(IPAddress(v4: 0xAC1F_0064))
        try await world.waitUntil("flushed") { world.report(0).flushed == number }
        let made = try #require(try world.all(in: 1).first)
        #expect(!made.isAssured && made.tcpState == 2 && made.timeout <= 60 && made.zone == 8)
    }

    /// Who takes over gives idle connections the time that they have, and has all sent to the other one.
    @Test func rolesChange() async throws {
        let world = try World()
        defer { world.remove() }
        try world.make(0..<100, in: 0)
        try await world.waitUntil("connected") { world.report(1).isSynchronized }
        try world.restart(0)
        try await world.waitUntil("all there") { try world.all(in: 1).count == 100 }
        world.isActive = [false, true]
        world.follow()
        try await world.waitUntil("the other way") { world.report(0).isSynchronized }
        #expect(try world.all(in: 1).allSatisfy { $0.timeout <= 1800 })
        try world.end(0..<50, in: 1)
        try await world.waitUntil("ended there") { try world.all(in: 0).count == 50 }
    }

    /// Both were active and could not know of each other: nothing is lost when one of them gives in.
    @Test func whatBothHaveBegunIsPutTogether() async throws {
        let world = try World()
        defer { world.remove() }
        try await world.waitUntil("connected") { world.report(1).isSynchronized }
        world.syncs[0].stop()
        world.isActive = [true, true]
        world.follow(1)
        try world.make(0..<10, in: 0, timeout: 1000)
        try world.make(10..<30, in: 1, timeout: 1000)
        try await world.waitUntil("apart") { !world.report(1).isConnected }
        try world.restart(0)
        try await world.waitUntil("together") { world.report(1).isConnected }
        world.isActive = [true, false]
        world.follow(1)
        try await world.waitUntil("all on both") {
            try world.all(in: 0).count == 30 && world.all(in: 1).count == 30 && world.report(1).isSynchronized
        }
    }

    /// The kernel throws away what there is no room for: then everything is compared, and counted.
    @Test func whatTheKernelThrowsAwayIsMadeUpFor() async throws {
        let world = try World(receiveBuffer: 4096)
        defer { world.remove() }
        try world.make(0..<3000, in: 0)
        try await world.waitUntil("connected") { world.report(1).isSynchronized }
        // Read before or after they were made.
        try world.restart(1)
        try await world.waitUntil("all there") { world.report(1).connections == 3000 && world.report(1).isSynchronized }
        try world.end(0..<2000, in: 0)
        try await world.waitUntil("thrown away") { world.report(0).resyncs > 0 }
        try await world.waitUntil("ended") { try world.all(in: 1).count == 1000 }
        #expect(world.report(1).connections == 1000)
    }

    @Test func whoHasAnotherKeyIsNotSpokenWith() async throws {
        let world = try World(keys: ["the key of one of them", "the key of another one"])
        defer { world.remove() }
        try world.make(0..<10, in: 0)
        try await world.waitUntil("refused") { world.report(0).complaint?.contains("same key") ?? false }
        #expect(!world.report(1).isConnected)
        #expect(try world.all(in: 1).isEmpty)
    }

    /// Nothing is lost among many. What it takes is printed: in the lab, by the clock that counts instructions, that is both
    /// ends' work and the kernels'.
    @Test func manyComeAndEnd() async throws {
        let count = 10_000
        let world = try World()
        defer { world.remove() }
        try await world.waitUntil("connected") { world.report(1).isSynchronized }
        world.syncs[1].stop()
        try await world.waitUntil("apart") { !world.report(0).isConnected }
        for start in stride(from: 0, to: count, by: 1000) { try world.make(start..<start + 1000, in: 0) }
        let begin = ContinuousClock.now
        try world.restart(1)
        try await world.waitUntil("all there") {
            world.report(1).connections == count && world.report(1).isSynchronized
        }
        let copied = begin.duration(to: .now)
        #expect(try world.all(in: 1).count == count)
        let endBegin = ContinuousClock.now
        try world.end(0..<count, in: 0)
        try await world.waitUntil("all gone") { world.report(1).connections == 0 }
        let ended = endBegin.duration(to: .now)
        #expect(try world.all(in: 1).isEmpty)
        print("a connection: \(copied / count) to copy, \(ended / count) to end")
    }
}
