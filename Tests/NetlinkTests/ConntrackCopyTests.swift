import Netlink
import TestSupport
import Testing

/// Connections as another host has them, made in a namespace of their own.
@Suite(.timeLimit(minutes: 10)) struct ConntrackCopyTests {
    private static let anybody: UInt32 = 0xC633_6407

    private static func copy(_ number: UInt8, port: UInt16 = 40000, outside: UInt16 = 1024) -> ConntrackCopy {
        var copy = ConntrackCopy()
        (copy.protocol, copy.zone, copy.timeout, copy.status) = (number, 7, 1000, 0b1110)
        (copy.original.source, copy.original.destination) = (0x0A00_010B, anybody)
        (copy.reply.source, copy.reply.destination) = (anybody, 0xCB00_710A)
        if number == 1 {
            (copy.original.sourcePort, copy.original.destinationPort) = (port, 0x0800)
            (copy.reply.sourcePort, copy.reply.destinationPort) = (outside, 0)
        } else {
            (copy.original.sourcePort, copy.original.destinationPort) = (port, 443)
            (copy.reply.sourcePort, copy.reply.destinationPort) = (443, outside)
        }
        return copy
    }

    private static func all(_ socket: inout ConntrackCopySocket) throws -> [ConntrackCopy] {
        var copies: [ConntrackCopy] = []
        try socket.forEach { copies.append($0) }
        return copies
    }

    @Test(arguments: [6, 17, 1] as [UInt8], [1024, 40000] as [UInt16]) func copiesAreTranslatedAsTheirOriginals(
        _ number: UInt8, _ outside: UInt16
    ) throws {
        try withScratchNamespace { _, namespace in
            var socket = try ConntrackCopySocket(in: namespace)
            let copy = Self.copy(number, outside: outside)
            let outcome = try socket.create([copy])
            #expect(outcome.made == 1 && outcome.error == nil, "\(String(describing: outcome.error))")
            let made = try #require(try Self.all(&socket).first)
            #expect(made.original == copy.original && made.reply == copy.reply && made.zone == 7)
            // IPS_SRC_NAT, and what it was given.
            #expect(made.status & (1 << 4) != 0 && made.status & 0b1110 == 0b1110)
            #expect((990...1000).contains(made.timeout))
            // Who is there stays.
            var other = copy
            other.timeout = 5
            #expect(try socket.create([other]).made == 0)
            #expect(try Self.all(&socket).count == 1)
            #expect(try socket.setTimeouts([other]) == 1)
            #expect(try #require(try Self.all(&socket).first).timeout <= 5)
            #expect(try socket.delete([copy, copy]) == 1)
            #expect(try Self.all(&socket).isEmpty)
        }
    }

    /// The end of a copy is told, also where nobody listened when it was made.
    @Test func endsAreTold() throws {
        try withScratchNamespace { name, namespace in
            try run("ip", "netns", "exec", name, "sysctl", "-qw", "net.netfilter.nf_conntrack_events=1")
            var socket = try ConntrackCopySocket(in: namespace)
            let copies = (0..<100).map { Self.copy(6, port: 40000 + $0, outside: 20000 + $0) }
            #expect(try socket.create(copies).made == 100)
            var monitor = try ConntrackMonitor(in: namespace)
            #expect(try socket.delete(copies) == 100)
            var ended: Set<ConntrackCopy.Name> = []
            let (isOverrun, isEmpty) = try monitor.receive(limit: 1000) { event in
                if case .ended(let copy) = event { ended.insert(copy.name) }
            }
            #expect(!isOverrun && isEmpty && ended == Set(copies.map(\.name)))
        }
    }

    @Test func whatTheKernelThrowsAwayIsNoticed() throws {
        try withScratchNamespace { name, namespace in
            try run("ip", "netns", "exec", name, "sysctl", "-qw", "net.netfilter.nf_conntrack_events=1")
            var socket = try ConntrackCopySocket(in: namespace)
            let copies = (0..<2000).map { Self.copy(6, port: 10000 + $0, outside: 30000 + $0) }
            #expect(try socket.create(copies).made == 2000)
            var monitor = try ConntrackMonitor(in: namespace, receiveBuffer: 4096)
            _ = try socket.delete(copies)
            #expect(try monitor.receive(limit: 10000) { _ in }.isOverrun)
        }
    }
}
