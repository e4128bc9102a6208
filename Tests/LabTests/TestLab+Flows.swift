import IPAddressing
import TestSupport
import Testing

@testable import VPCLab

/// Connections that pass by flowtables.
extension TestLab {
    /// The connections of a host that are in a flowtable now, as conntrack(8) shows them.
    func offloaded(on host: String, _ port: UInt16) throws -> [String] {
        try tracked(on: host, port).filter { $0.contains("[OFFLOAD]") }
    }

    /// The connections of a host, by the source port of the first packet.
    func tracked(on host: String, _ port: UInt16) throws -> [String] {
        try shell("vpc-\(host)", "conntrack -L -p udp --orig-port-src \(port) 2>/dev/null || true")
            .split(separator: "\n").map(String.init)
    }

    /// Sends one question after the other until the connection is in the flowtable of these hosts.
    /// - Returns: how many packets it took.
    @discardableResult
    func establish(
        _ from: String, to: IPAddress, _ port: UInt16, on hosts: [String], answeredBy name: String
    ) throws -> Int {
        let station = try station(from)
        for number in 1...40 {
            #expect(try station.ask(to, sourcePort: port)?.name == name)
            if try hosts.allSatisfy({ host in try offloaded(on: host, port).count == 1 }) { return number }
        }
        Issue.record("the connection from \(from) to \(to) does not get into the flowtables of \(hosts)")
        return 0
    }

    /// How many packets a chain of the rules has seen, counted by a rule of the test's own.
    func whileCounting(
        on host: String, _ transport: String = "udp", port: UInt16 = Station.udpPort, _ body: () throws -> Void
    ) throws -> Int {
        let table = "inet test_forwarded"
        try shell(
            "vpc-\(host)",
            "nft 'table \(table) { chain forward { type filter hook forward priority -200; \(transport) sport \(port) counter; "
                + "\(transport) dport \(port) counter; }; }'")
        defer { _ = try? shell("vpc-\(host)", "nft delete table \(table)") }
        try body()
        let text = try shell("vpc-\(host)", "nft list table \(table)")
        return text.matches(of: /packets ([0-9]+)/).compactMap { Int($0.1) }.reduce(0, +)
    }

    func askAgain(
        _ count: Int, _ from: String, _ to: IPAddress, _ port: UInt16, answeredBy name: String
    ) throws {
        for _ in 0..<count {
            let answer = try ask(from, to, port)
            #expect(answer == name)
        }
    }

    /// Who answers one question that is sent once.
    func ask(_ from: String, _ to: IPAddress, _ port: UInt16) throws -> String? {
        try station(from).ask(to, sourcePort: port, timeout: .milliseconds(300), attempts: 1)?.name
    }
}
