import Glibc
import IPAddressing
import KernelDriver
import VPCCompiler
import VPCLab

/// Whoever waits for nothing to come would wait for ever, or not long enough. What is denied is counted instead: once the
/// counter has risen, the packet is gone.
extension TestLab {
    /// How many packets the firewalls of all hosts have dropped, for whatever reason.
    func dropCount() throws -> UInt64 {
        try lab.plan.hosts.reduce(0) { sum, host in
            let outside = KernelDriver(namespace: .named(namespace(host.name)))
            let counters = try FirewallTables.all.flatMap { try kernel(host.name).counters(of: $0) }
            return try (counters + outside.counters(of: FirewallTables.underlay))
                .filter { Self.dropCounters.contains($0.name) }
                .reduce(sum) { $0 + $1.counts.packets }
        }
    }

    private static let dropCounters: Set = [
        "denied_by_acl", "denied_by_group", "excess_fragments", "foreign_tunnel", "spoofed", "to_host", "unknown_key",
        "unknown_port",
    ]

    /// Whether a datagram is dropped by a firewall of the lab: asks until that has been counted, or there is an answer.
    func drops(from station: Station, to destination: IPAddress) throws -> Bool {
        try drops { try station.ask(destination, timeout: .milliseconds(50), attempts: 1) == nil }
    }

    /// The same of the beginning of a connection.
    func dropsConnections(from station: Station, to destination: IPAddress) throws -> Bool {
        try drops { try station.connect(destination, timeout: .milliseconds(50)) == .silent }
    }

    private func drops(_ isSilent: () throws -> Bool) throws -> Bool {
        let before = try dropCount()
        let deadline = ContinuousClock.now + .seconds(20)
        while ContinuousClock.now < deadline {
            if !(try isSilent()) { return false }
            if try dropCount() > before { return true }
        }
        return false
    }

    /// Whether of a stream that is denied nothing is answered any more, once what was under way has arrived.
    func endsAnswers(of stream: Stream) throws -> Bool {
        // So many requests after the first one that was dropped, its predecessors have been answered.
        try awaitDrops(5)
        let answered = stream.answerCount
        try awaitDrops(25)
        return stream.answerCount == answered
    }

    /// Waits until so many more packets have been dropped than now.
    func awaitDrops(_ count: UInt64) throws {
        let wanted = try dropCount() + count
        let deadline = ContinuousClock.now + .seconds(60)
        while try dropCount() < wanted {
            guard ContinuousClock.now < deadline else { throw LabError(.system, "nothing is dropped") }
            usleep(5000)
        }
    }
}
